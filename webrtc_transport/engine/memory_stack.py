"""An engine without sockets, for tests: peers that meet on a :class:`~.memory_network.MemoryNetwork`.

It keeps the whole contract of :mod:`webrtc_transport.abc`: phases, candidates, DTLS roles and fingerprints, credits,
back-pressure, the closing of channels and the loss of a peer that falls silent. What it leaves out is the protocols
themselves, and with them STUN, TURN and the policy ``relay``: there is one candidate, and it is made up.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import ClassVar, Final

from ..abc import (
    CandidatePair,
    ChannelEvents,
    Engine,
    EngineChannel,
    PeerSettings,
    PeerStatistics,
    SignaledPeer,
    SignaledPeerEvents,
)
from ..errors import ConnectionClosed, ConnectionLost, DtlsFailed, IceFailed, SctpFailed
from ..protocol.certificate import Certificate
from ..protocol.sdp import IceCandidate, SessionDescription
from .description import answer, describe, is_dtls_server
from .memory_channels import MemoryChannels
from .memory_network import (
    Check,
    CheckAnswer,
    ConsentAnswer,
    ConsentCheck,
    GoodBye,
    Grant,
    Hello,
    Init,
    MemoryNetwork,
    Message,
    Open,
    Packet,
    Reset,
    SetupPacket,
)

CHECK_INTERVAL: Final = 0.05
"""Seconds between two checks of a peer that doesn't answer."""

CHECK_TIMEOUT: Final = 10.0
"""Seconds of checks, once all candidates are known, until ICE has failed."""

CONSENT_CHECKS: Final = 6
"""Consent checks per liveness timeout (RFC 7675, section 5.1: every 5 s of 30 s)."""

HOST_PRIORITY: Final = (126 << 24) + (65535 << 8) + 255
"""Of a host candidate (RFC 8445, section 5.1.2.1)."""

HOST_ADDRESS: Final = "192.0.2.1"
"""Nobody's (RFC 5737); the ports tell the peers apart."""

_ports = itertools.cycle(range(1024, 65536))

_default_network: Final = MemoryNetwork()


class MemoryEngine(Engine):
    """The engine ``memory``.

    :param network: where its peers are; by default one that all such engines of the process share
    """

    name: ClassVar[str] = "memory"

    def __init__(self, network: MemoryNetwork = _default_network) -> None:
        self.network = network

    def create_peer(self, settings: PeerSettings, events: SignaledPeerEvents) -> SignaledPeer:
        return MemoryPeer(self.network, settings, events)


class MemoryPeer(SignaledPeer):
    """One end of a connection."""

    def __init__(self, network: MemoryNetwork, settings: PeerSettings, events: SignaledPeerEvents) -> None:
        self._settings = settings
        self._events = events
        self._loop = asyncio.get_running_loop()
        self._local = describe(settings)
        self._remote: SessionDescription | None = None
        self._candidate = IceCandidate(
            "1", 1, "udp", HOST_PRIORITY, address=HOST_ADDRESS, port=next(_ports), type="host"
        )
        self._port = network.attach(self._local.ufrag, self._arrived, self._peer_closed)
        self._phase = "new"
        self._reason: Exception | None = None
        self._is_gathering = False
        self._knows_candidate = False
        self._candidates_ended = False
        self._check_deadline: float | None = None
        self._pair: CandidatePair | None = None
        self._certificate: Certificate | None = None
        self._channels: MemoryChannels | None = None
        self._last_answer = 0.0
        self._is_answered = True
        self._timer: asyncio.TimerHandle | None = None

    # --- SignaledPeer ---------------------------------------------------------------------------------------------

    @property
    def local_description(self) -> SessionDescription:
        return self._local

    def gather(self) -> None:
        if not self._is_gathering:
            self._is_gathering = True
            self._loop.call_soon(self._tell_candidates)

    def start(self, remote: SessionDescription) -> None:
        if self._reason is not None:
            return
        assert self._remote is None, "start() is called once"
        self._remote = remote
        if not self._settings.offerer:
            self._local = answer(self._local, remote)
        self._loop.call_soon(self._begin)

    def add_remote_candidate(self, candidate: IceCandidate | None) -> None:
        if candidate is None:
            self._candidates_ended = True
        elif (candidate.transport, candidate.component) == ("udp", 1):
            self._knows_candidate = True
        self._check()

    def open_channel(
        self, events: ChannelEvents, *, label: str = "", negotiated_id: int | None = None
    ) -> EngineChannel:
        if self._reason is not None:
            raise ConnectionClosed(f"the peer connection is over: {self._reason}")
        assert self._channels is not None, "channels are opened on a peer that is connected"
        return self._channels.open(events, label, negotiated_id)

    def grant(self, size: int) -> None:
        if self._channels is not None:
            self._channels.grant(size)

    @property
    def candidate_pair(self) -> CandidatePair | None:
        return self._pair

    @property
    def max_message_size(self) -> int:
        return self._remote.max_message_size if self._remote is not None else 0

    def statistics(self) -> PeerStatistics:
        return self._channels.statistics() if self._channels is not None else PeerStatistics(0, 0, 0, 0, 0, 0)

    def close(self, reason: Exception) -> None:
        if self._reason is None:
            self.send(GoodBye())
            self._end(reason)

    # --- setting up -----------------------------------------------------------------------------------------------

    def _tell_candidates(self) -> None:
        for candidate in (self._candidate, None):
            if self._reason is None:
                self._events.on_candidate(candidate)

    def _begin(self) -> None:
        if self._reason is not None:
            return
        assert self._remote is not None
        self._enter("ice")
        for candidate in self._remote.candidates:
            self.add_remote_candidate(candidate)
        if self._remote.end_of_candidates:
            self.add_remote_candidate(None)
        self.gather()
        self._check()

    def _check(self) -> None:
        """Check the peer, and again until it answers or there is no hope."""
        if self._phase != "ice" or self._reason is not None:
            return
        assert self._remote is not None
        now = self._loop.time()
        if self._candidates_ended and not self._knows_candidate:
            self._end(
                IceFailed("no candidate pair worked: the peer sent no usable candidate; ours were host")
            )
            return
        if self._candidates_ended and self._check_deadline is None:
            self._check_deadline = now + CHECK_TIMEOUT
        if self._check_deadline is not None and now >= self._check_deadline:
            self._end(IceFailed("no candidate pair worked: tried host to host on a network in memory"))
            return
        if self._knows_candidate:
            self.send(Check(self._local.ufrag, self._remote.pwd, self._candidate), repeat=False)
            self._call_later(CHECK_INTERVAL, self._check)

    def _arrived(self, packet: Packet) -> None:
        if isinstance(packet, Open | Message | Reset | Grant):
            if self._channels is not None:
                self._channels.arrived(packet)
        else:
            self._setup_arrived(packet)

    def _setup_arrived(self, packet: SetupPacket) -> None:
        match packet:
            case Check():
                self._checked(packet)
            case CheckAnswer(candidate):
                self._check_answered(candidate)
            case Hello(certificate):
                self._certificate = certificate
                self._shake_hands()
            case Init(window):
                self._associated(window)
            case ConsentCheck():
                self.send(ConsentAnswer(), repeat=False)
            case ConsentAnswer():
                self._consented()
            case GoodBye():
                self._peer_closed()

    def _checked(self, check: Check) -> None:
        # As in ICE, only those who know both descriptions are answered. Whoever doesn't know the other's yet is asked
        # again.
        if self._remote is None or (check.ufrag, check.pwd) != (self._remote.ufrag, self._local.pwd):
            return
        self.send(CheckAnswer(self._candidate), repeat=False)
        if not self._knows_candidate:
            self.add_remote_candidate(check.candidate)

    def _check_answered(self, candidate: IceCandidate) -> None:
        if self._phase != "ice":
            return
        self._pair = CandidatePair(local=self._candidate, remote=candidate)
        self._last_answer = self._loop.time()
        self._enter("dtls")
        self.send(Hello(self._settings.certificate))
        self._ask_consent()
        self._shake_hands()

    def _shake_hands(self) -> None:
        if self._phase != "dtls" or self._certificate is None:
            return
        assert self._remote is not None
        if not any(
            self._certificate.fingerprint(expected.algorithm) == expected.digest
            for expected in self._remote.fingerprints
        ):
            self.close(
                DtlsFailed("the DTLS handshake failed: the peer's certificate does not match its description")
            )
            return
        self._enter("sctp")
        self.send(Init(self._settings.config.receive_buffer))

    def _associated(self, window: int) -> None:
        assert self._remote is not None
        self._channels = MemoryChannels(
            self.send,
            self._events,
            is_server=is_dtls_server(self._local, self._remote),
            window=window,
            max_message_size=self._remote.max_message_size,
        )
        self._enter("connected")

    # --- being connected ------------------------------------------------------------------------------------------

    def _ask_consent(self) -> None:
        timeout = self._settings.config.liveness_timeout
        interval = timeout / CONSENT_CHECKS
        if self._loop.time() - self._last_answer >= timeout - interval:
            error = {"dtls": DtlsFailed, "sctp": SctpFailed}.get(self._phase, ConnectionLost)
            self._end(error(f"the peer has not answered for {timeout:g} s"))
            return
        if not self._is_answered and self._phase == "connected":
            self._enter("disconnected")
        self._is_answered = False
        self.send(ConsentCheck(), repeat=False)
        self._call_later(interval, self._ask_consent)

    def _consented(self) -> None:
        self._last_answer = self._loop.time()
        self._is_answered = True
        if self._phase == "disconnected":
            self._enter("connected")

    def send(self, packet: Packet, *, repeat: bool = True) -> None:
        """Send a packet to the peer, if it is known."""
        if self._remote is not None:
            self._port.send(self._remote.ufrag, packet, repeat=repeat)

    # Whoever is told of a phase may close the peer: then nothing more is told, and no timer is left.

    def _enter(self, phase: str) -> None:
        if self._reason is None:
            self._phase = phase
            self._events.on_phase(phase)

    def _call_later(self, delay: float, func: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._reason is None:
            self._timer = self._loop.call_later(delay, func)

    # --- the end --------------------------------------------------------------------------------------------------

    def _peer_closed(self) -> None:
        message = "the peer closed the connection"
        error = {"dtls": DtlsFailed, "sctp": SctpFailed}.get(self._phase, ConnectionClosed)
        self._end(error(message))

    def _end(self, reason: Exception) -> None:
        if self._reason is not None:
            return
        self._reason = reason
        self._port.close()
        if self._timer is not None:
            self._timer.cancel()
        if self._channels is not None:
            self._channels.end()
        self._loop.call_soon(self._events.on_closed, reason)
