"""The UDP ports of webrtc-direct: one for all inbound connections of a listener, and one for each dial."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from OpenSSL import SSL

from ..abc import PeerEvents
from ..config import TransportConfig
from ..errors import ConnectionClosed, LimitExceeded
from ..protocol.demux import Demultiplexer, DropReason, Newcomer
from ..protocol.ice_controlling import ControllingAgent
from ..protocol.ice_lite import LiteAgent
from ..protocol.limits import MAX_DIRECT_PEERS, MAX_STRANGERS_PER_SECOND
from ..protocol.load_shedding import WINDOW, LoadShedder
from ..protocol.rate_limit import Rate, TokenBucket
from ..protocol.sdp import Fingerprint
from ..protocol.stun import PacketKind, classify
from ..protocol.stun_message import Address, StunError, StunMessage
from ..protocol.ufrag import DirectCredentials
from .direct_hosts import local_address
from .direct_peer import DirectPeer
from .driver import Driver, TimerHandle
from .udp_port import UdpPort

_REPORTS: Final = Rate(1 / 60, 1)
"""Warnings of a flood: as many as whoever sends it can cause in a log."""

_logger = logging.getLogger("libp2p.transport.webrtc.engine")


class DirectListenerPort:
    """One bound UDP socket, and the connections that others make to it.

    :param host: the local IP address
    :param port: the local port; 0 lets the kernel choose
    :param context: for DTLS, with the certificate whose hash the listener announces
    :param accept: called when a newcomer has begun DTLS; gives the events of its connection, or None to refuse it
    :param gater: asked with the address of a newcomer before anything is computed for it
    :param max_strangers: datagrams per second that are read from unknown sources; of more than that the kernel lets a
        share through, if it can
    :raises OSError: if the address can't be bound
    """

    def __init__(
        self,
        driver: Driver,
        host: str,
        port: int,
        *,
        context: SSL.Context,
        accept: Callable[[DirectPeer], PeerEvents | None],
        config: TransportConfig,
        gater: Callable[[Address], bool] | None = None,
        max_peers: int = MAX_DIRECT_PEERS,
        max_strangers: float = MAX_STRANGERS_PER_SECOND,
    ) -> None:
        self._driver = driver
        self._context = context
        self._accept = accept
        self._config = config
        self._demux: Demultiplexer[DirectPeer] = Demultiplexer(driver.now(), gater=gater, max_peers=max_peers)
        self._proven: set[DirectPeer] = set()
        self._is_stopped = False
        self._udp = UdpPort(driver, host, self._datagram_received, port=port)
        self._shedder = LoadShedder(driver.now(), rate=max_strangers)
        self._window: TimerHandle | None = None
        """While there are unknown sources: when the next window of the load shedder begins."""
        self._can_shed = True
        """Whether the kernel may drop what comes from unknown sources."""
        self._reports = TokenBucket(_REPORTS, driver.now())

    @property
    def address(self) -> Address:
        """The local address and port."""
        return self._udp.address

    def __len__(self) -> int:
        """Connections, whether they stand or are being set up."""
        return len(self._demux)

    @property
    def dropped(self) -> Counter[DropReason]:
        """Datagrams that went nowhere, by reason."""
        return self._demux.dropped

    def established(self, peer: DirectPeer) -> None:
        """Tell that the peer has proven who it is: no newcomer displaces it any more."""
        self._demux.established(peer)
        self._proven.add(peer)

    def stop(self) -> None:
        """Let nobody else in. The proven connections stand; the socket is closed with the last of them."""
        self._is_stopped = True
        for peer in self._demux.peers():
            if peer not in self._proven:
                peer.close(ConnectionClosed("the listener was closed"))
        self._close_if_unused()

    def close(self) -> None:
        """Close every connection, and the socket. Safe to call twice."""
        self._is_stopped = True
        for peer in self._demux.peers():
            peer.close(ConnectionClosed("the listener was closed"))
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._is_stopped and not self._demux:
            self._can_shed = False
            if self._window is not None:
                self._window.cancel()
            self._udp.close()

    def _peer_begun(self, peer: DirectPeer) -> PeerEvents | None:
        self._demux.begun(peer)
        return self._accept(peer)

    def _peer_gone(self, peer: DirectPeer) -> None:
        self._demux.forget(peer)
        self._proven.discard(peer)
        self._close_if_unused()

    def _datagram_received(self, data: bytes, address: Address) -> None:
        kind = classify(data)
        if kind is PacketKind.STUN:
            self._stun_received(data, address)
            return
        peer = self._demux.peer_at(address)
        if peer is None:
            self._stranger_refused()
        elif kind is PacketKind.DTLS:
            peer.packet_received(data, address)

    def _stun_received(self, data: bytes, address: Address) -> None:
        now = self._driver.now()
        arrival = self._demux.route_stun(data, address, now)
        if arrival is None:
            self._stranger_refused()
            return
        if isinstance(arrival, Newcomer):
            if self._is_stopped:
                return
            if arrival.displaced is not None:
                arrival.displaced.close(
                    LimitExceeded("there are too many handshakes, and this one took longest")
                )
            peer = self._make_peer(arrival.credentials, now)
            self._demux.add(peer, arrival, address, now)
        else:
            peer = arrival.peer
        peer.stun_received(arrival.message, len(data), address)

    # --- floods -----------------------------------------------------------------------------------------------------

    def _stranger_refused(self) -> None:
        if self._window is None and self._can_shed:
            self._window = self._driver.call_at(self._driver.now() + WINDOW, self._begin_window)

    def _begin_window(self) -> None:
        self._window = None
        now = self._driver.now()
        share = self._shedder.next_window(self._demux.strangers, now)
        source_filter = self._udp.source_filter
        if share is None:
            source_filter.allow_all()
            return
        try:
            source_filter.allow(self._demux.addresses(now), share)
        except OSError as exc:
            self._can_shed = source_filter.is_supported
            self._shedder.mistaken(1.0)
            again = "for now" if self._can_shed else "for good"
            outcome = (
                f"all are looked at {again}, because the kernel refuses a socket filter ({exc.strerror})"
            )
        else:
            self._shedder.mistaken(source_filter.part_known)
            outcome = f"one in {share.count} is looked at"
        if self._can_shed:
            self._window = self._driver.call_at(now + WINDOW, self._begin_window)
        if self._reports.take(now) or not self._can_shed:
            _logger.warning(
                "a flood of datagrams from unknown sources comes to %s port %d: %s", *self.address, outcome
            )

    # --- peers ------------------------------------------------------------------------------------------------------

    def _make_peer(self, credentials: DirectCredentials, now: float) -> DirectPeer:
        return DirectPeer(
            self._driver,
            LiteAgent(credentials, now, consent_timeout=self._config.liveness_timeout),
            self._udp.send_batch,
            local_towards=partial(local_address, self._udp.address),
            context=self._context,
            fingerprints=None,
            accept=self._peer_begun,
            on_gone=self._peer_gone,
            config=self._config,
        )


class DirectDialPort:
    """One bound UDP socket, and the connection that is made with it.

    :param host: the local IP address, ``0.0.0.0`` or ``::`` for whichever the system takes
    :param remote: where the listener may be, the best first
    :param credentials: made for this dial alone
    :param context: for DTLS, with a certificate of ours
    :param fingerprints: of which the listener's certificate has to have one
    :param events: of the connection
    :raises OSError: if no socket can be bound
    """

    def __init__(
        self,
        driver: Driver,
        host: str,
        remote: Sequence[Address],
        *,
        credentials: DirectCredentials,
        context: SSL.Context,
        fingerprints: Sequence[Fingerprint],
        events: PeerEvents,
        config: TransportConfig,
    ) -> None:
        self._udp = UdpPort(driver, host, self._datagram_received)
        self.peer = DirectPeer(
            driver,
            ControllingAgent(credentials, remote, driver.now(), consent_timeout=config.liveness_timeout),
            self._udp.send_batch,
            local_towards=partial(local_address, self._udp.address),
            context=context,
            fingerprints=fingerprints,
            accept=lambda _peer: events,
            on_gone=lambda _peer: self._udp.close(),
            config=config,
        )

    @property
    def address(self) -> Address:
        """The local address and port."""
        return self._udp.address

    def close(self, reason: Exception) -> None:
        """Close the connection, and the socket. Safe to call twice."""
        self.peer.close(reason)

    def _datagram_received(self, data: bytes, address: Address) -> None:
        kind = classify(data)
        if kind is PacketKind.DTLS:
            self.peer.packet_received(data, address)
        elif kind is PacketKind.STUN:
            try:
                message = StunMessage(data)
            except StunError:
                return
            self.peer.stun_received(message, len(data), address)
