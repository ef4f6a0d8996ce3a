"""One connection of webrtc-direct: an ICE agent of our own below, DTLS and SCTP above, on whichever event loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from OpenSSL import SSL

from ..abc import CandidatePair, ChannelEvents, EngineChannel, EnginePeer, PeerEvents, PeerStatistics
from ..config import TransportConfig
from ..errors import ConnectionClosed, ConnectionLost, ConnectTimeout, IceFailed
from ..protocol.ice_agent import IceAgent
from ..protocol.ice_events import ChecksFailed, ConsentExpired, PathValidated
from ..protocol.limits import MAX_FRAME_LENGTH
from ..protocol.sdp import Fingerprint, IceCandidate
from ..protocol.stun_message import Address, StunMessage
from ..protocol.ufrag import Flow
from .driver import Driver, TimerHandle
from .dtls import DtlsConnection, is_handshake
from .native_stack import NativeStack
from .stack import StackEvents

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds from the first check until SCTP stands: js, which is the least patient, gives a dial up by then."""

SILENCE_BEFORE_CHECK: Final = 0.8
"""Seconds since anything came, after which whatever is sent has ICE check the path: less than the shortest timeout of
SCTP (RFC 9260, section 16: RTO.Min is 1 s), so that its first retransmission does."""

TYPE_PREFERENCES: Final = {"host": 126, "prflx": 110}
"""What the priority of a candidate begins with (RFC 8445, section 5.1.2.2)."""


class SendDatagrams(Protocol):
    """Sends datagrams to an address. See :class:`.stack.SendPackets`."""

    def __call__(
        self, datagrams: Sequence[bytes], address: Address, *, may_fragment: bool = False
    ) -> bool: ...


class _Dtls(DtlsConnection):
    """Remembers whether the last datagram was authentic."""

    took_data = False

    def receive(self, datagram: bytes) -> bytes:
        content = super().receive(datagram)
        self.took_data = bool(content)
        return content


class DirectPeer(EnginePeer, StackEvents):
    """One end of a connection. In its phase ``connected`` it isn't proven yet who the peer is: Noise does that.

    :param local_towards: gives the local address that packets to an address leave from
    :param context: for DTLS, with our certificate
    :param fingerprints: of which the peer's certificate has to have one; None at the listener, who can't know it
    :param accept: gives the events of this connection, or None to refuse it. A listener is asked when DTLS begins, a
        dialer at once.
    :param on_gone: told once, whatever ends it
    """

    def __init__(
        self,
        driver: Driver,
        agent: IceAgent,
        send: SendDatagrams,
        *,
        local_towards: Callable[[Address], Address],
        context: SSL.Context,
        fingerprints: Sequence[Fingerprint] | None,
        accept: Callable[[DirectPeer], PeerEvents | None],
        on_gone: Callable[[DirectPeer], None],
        config: TransportConfig,
    ) -> None:
        self._driver = driver
        self._agent = agent
        self._send = send
        self._local_towards = local_towards
        self._context = context
        self._fingerprints = fingerprints
        self._accept = accept
        self._on_gone = on_gone
        self._config = config
        self._is_server = fingerprints is None
        self._dtls: _Dtls | None = None
        self._stack: NativeStack | None = None
        self._events: PeerEvents | None = None
        self._is_established = False
        self._is_silent = False
        """Whether the phase is ``disconnected``."""
        self._is_over = False
        self._heard_at = driver.now()
        self._heard_from: Address | None = None
        self._deadline = driver.now() + HANDSHAKE_TIMEOUT
        self._timer: TimerHandle | None = None
        self._timer_due = 0.0
        if not self._is_server:
            self._events = accept(self)
            self._tell_phase("ice")
        self._advance()

    # --- datagrams ------------------------------------------------------------------------------------------------

    def stun_received(self, message: StunMessage, size: int, address: Address) -> None:
        """A STUN message of ``size`` bytes arrived."""
        if not self._is_over:
            self._agent.receive(message, size, address, self._driver.now())
            self._advance()

    def packet_received(self, data: bytes, address: Address) -> None:
        """A datagram arrived that isn't STUN."""
        if self._is_over or not self._agent.accepts(len(data), address):
            return
        if self._stack is None and self._is_server and is_handshake(data):
            # An authentic check came from there.
            self._heard_from = address
            self._events = self._accept(self)
            if self._events is None:
                self._leave()
            self._begin()
        stack, dtls = self._stack, self._dtls
        if stack is None or dtls is None:
            # Who doesn't begin with a handshake has nothing that can be read.
            return
        was_connected = dtls.is_connected
        stack.packet_received(data)
        if dtls.took_data or (dtls.is_connected and not was_connected):
            dtls.took_data = False
            self._heard_at, self._heard_from = self._driver.now(), address
            self._agent.confirm(address, self._heard_at)
            if self._agent.events or self._is_silent:
                self._advance()

    def _send_packets(self, packets: Sequence[bytes], *, may_fragment: bool = False) -> bool:
        # All of a flight or nothing: a part of it helps nobody, and DTLS and SCTP send again what got lost.
        address = self._agent.destination(sum(map(len, packets))) if packets else None
        fits = address is None or self._send(packets, address, may_fragment=may_fragment)
        now = self._driver.now()
        if self._is_established and now - self._heard_at >= SILENCE_BEFORE_CHECK:
            self._heard_at = now
            self._agent.ask_consent(now)
            self._advance()
        return fits

    # --- ICE ------------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Do what the agent wants, after whatever may have changed it."""
        for datagram, address in self._agent.transmit():
            self._send((datagram,), address)
        events = list(self._agent.events)
        self._agent.events.clear()
        for event in events:
            match event:
                case PathValidated() if not self._is_server and self._stack is None:
                    self._begin()
                case ChecksFailed(reason=reason):
                    self._end(IceFailed(reason))
                case ConsentExpired(silence=silence) if self._is_established:
                    self._end(ConnectionLost(f"the peer has been silent for {silence:.1f} s"))
                case ConsentExpired(silence=silence):
                    self._end(IceFailed(f"the peer fell silent for {silence:.1f} s during the set-up"))
        self._look_for_silence()
        self._arm_timer()

    def _look_for_silence(self) -> None:
        """Tell when the peer misses signs of life, and when it is back."""
        if self._is_over or not self._is_established:
            return
        is_silent = self._driver.now() >= self._agent.silent_at
        if is_silent is not self._is_silent:
            self._is_silent = is_silent
            self._tell_phase("disconnected" if is_silent else "connected")

    def _arm_timer(self) -> None:
        due = self._agent.timer
        if self._is_over or due is None:
            return
        if not self._is_established:
            due = min(due, self._deadline)
        elif not self._is_silent:
            due = min(due, self._agent.silent_at)
        # As in the stack: a timer that fires too early costs one look.
        if self._timer is None or due < self._timer_due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_due = self._driver.call_at(due, self._timer_fired), due

    def _timer_fired(self) -> None:
        self._timer = None
        now = self._driver.now()
        if now >= self._deadline and not self._is_established:
            phase = "ICE" if self._dtls is None else "SCTP" if self._dtls.is_connected else "DTLS"
            self._end(
                ConnectTimeout(f"{phase} wasn't done within {HANDSHAKE_TIMEOUT:.0f} s of the first check")
            )
            return
        self._agent.handle_timer(now)
        self._advance()

    # --- DTLS and SCTP --------------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._is_over:
            return
        self._tell_phase("dtls")
        self._dtls = _Dtls(self._context, is_server=self._is_server, fingerprints=self._fingerprints)
        # The size that the specification puts into both descriptions, which are never exchanged.
        self._stack = NativeStack(
            self._driver,
            self._dtls,
            self._send_packets,
            self,
            is_server=self._is_server,
            max_message_size=MAX_FRAME_LENGTH,
            config=self._config,
        )
        self._stack.start()

    def on_secured(self) -> None:
        self._tell_phase("sctp")

    def on_established(self) -> None:
        self._is_established = True
        self._tell_phase("connected")
        self._arm_timer()

    def _tell_phase(self, phase: str) -> None:
        if self._events is not None:
            self._events.on_phase(phase)

    def on_channel(self, channel: EngineChannel) -> None:
        if self._events is not None:
            self._events.on_channel(channel)

    def on_ended(self, reason: Exception) -> None:
        self._end(reason)

    # --- EnginePeer -----------------------------------------------------------------------------------------------

    @property
    def flow(self) -> Flow:
        """How the dialer told the ICE credentials: the version of webrtc-direct."""
        return self._agent.flow

    @property
    def remote_address(self) -> Address | None:
        """Where the peer is: the address that was nominated, or to which it moved."""
        # DTLS and SCTP don't wait for the nomination, and may be done first.
        return self._agent.selected or self._heard_from

    def remote_fingerprint(self, algorithm: str) -> Fingerprint:
        """That of the peer's certificate. The connection is established.

        :param algorithm: ``sha-256``, ``sha-384`` or ``sha-512``
        """
        assert self._dtls is not None
        return self._dtls.peer_fingerprint(algorithm)

    def open_channel(
        self, events: ChannelEvents, *, label: str = "", negotiated_id: int | None = None
    ) -> EngineChannel:
        if self._is_over:
            raise ConnectionClosed("the peer connection is over")
        assert self._stack is not None, "channels are opened on a peer that is connected"
        return self._stack.open_channel(events, label, negotiated_id)

    def grant(self, size: int) -> None:
        if self._stack is not None:
            self._stack.grant(size)

    @property
    def candidate_pair(self) -> CandidatePair | None:
        remote = self.remote_address
        if remote is None:
            return None
        # A listener learns the address of who dials from its checks (RFC 8445, section 7.3.1.3).
        return CandidatePair(
            local=_candidate(self._local_towards(remote), "host"),
            remote=_candidate(remote, "prflx" if self._is_server else "host"),
        )

    @property
    def max_message_size(self) -> int:
        return MAX_FRAME_LENGTH

    def statistics(self) -> PeerStatistics:
        return self._stack.statistics() if self._stack is not None else PeerStatistics(0, 0, 0, 0, 0, 0)

    def close(self, reason: Exception) -> None:
        if self._is_over:
            return
        self._leave()
        if self._events is not None:
            self._events.on_closed(reason)

    def _leave(self) -> None:
        """Release everything, and tell the peer if it can be told."""
        self._is_over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._stack is not None:
            self._stack.close()
        self._on_gone(self)

    def _end(self, reason: Exception) -> None:
        self.close(reason)


def _candidate(address: Address, kind: str) -> IceCandidate:
    priority = TYPE_PREFERENCES[kind] << 24 | 65535 << 8 | 255
    return IceCandidate("1", 1, "udp", priority, *address, kind)
