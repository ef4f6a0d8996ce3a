"""A peer connection: ICE, then a stack of DTLS and SCTP on top of it.

It lives in the loop of its driver. However it ends there is one way out: the first reason is kept, the stack says
good-bye, ICE releases its sockets, and then ``on_closed`` is told, within a second.
"""

from __future__ import annotations

import logging
from typing import Final, Literal

from ..abc import (
    CandidatePair,
    ChannelEvents,
    EngineChannel,
    PeerSettings,
    PeerStatistics,
    SignaledPeer,
    SignaledPeerEvents,
)
from ..errors import ConnectionClosed, ConnectionLost, DtlsFailed, EngineError, SctpFailed
from ..portal import Portal
from ..protocol.sdp import IceCandidate, SessionDescription
from .description import answer, describe, is_dtls_server
from .driver import Driver
from .ice_session import IceEvents, IceSession
from .stack import Stack, StackEvents, StackFactory

_logger = logging.getLogger("libp2p.transport.webrtc.engine")

EARLY_PACKETS: Final = 16
"""DTLS packets kept until our own checks are done: a flight of two datagrams, and retransmissions of it."""


class IcePeer(SignaledPeer, IceEvents, StackEvents):
    """A :class:`~webrtc_transport.abc.SignaledPeer` over full ICE, with the stack that ``make_stack`` builds.

    :param driver: of the loop that it lives in
    :param portal: between that and asyncio, which ICE needs
    """

    def __init__(
        self,
        driver: Driver,
        portal: Portal,
        settings: PeerSettings,
        events: SignaledPeerEvents,
        make_stack: StackFactory,
    ) -> None:
        self._portal = portal
        self._settings = settings
        self._events = events
        self._make_stack = make_stack
        self._stack: Stack | None = None
        self._early_packets: list[bytes] = []
        self._local = describe(settings)
        self._remote: SessionDescription | None = None
        self._phase = "new"
        self._end: Exception | None = None
        self._ice = IceSession(driver, portal, self, settings, self._local)

    # --- SignaledPeer ---------------------------------------------------------------------------------------------

    @property
    def local_description(self) -> SessionDescription:
        return self._local

    def gather(self) -> None:
        if self._end is None:
            self._ice.gather()

    def start(self, remote: SessionDescription) -> None:
        if self._end is not None:
            return
        assert self._remote is None, "start() is called once"
        self._remote = remote
        if not self._settings.offerer:
            self._local = answer(self._local, remote)
        self._enter("ice")
        # Whoever is told a phase may close the peer.
        if self._end is None:
            self._ice.start(remote)

    def add_remote_candidate(self, candidate: IceCandidate | None) -> None:
        self._ice.add_remote(candidate)

    def open_channel(
        self, events: ChannelEvents, *, label: str = "", negotiated_id: int | None = None
    ) -> EngineChannel:
        if self._end is not None:
            raise ConnectionClosed(f"the peer connection is over: {self._end}")
        assert self._stack is not None, "channels are opened on a peer that is connected"
        # After fork there are two that believe that they are this end.
        self._portal.check()
        return self._stack.open_channel(events, label, negotiated_id)

    def grant(self, size: int) -> None:
        if self._stack is not None:
            self._stack.grant(size)

    @property
    def candidate_pair(self) -> CandidatePair | None:
        return self._ice.selected_pair

    @property
    def max_message_size(self) -> int:
        return self._remote.max_message_size if self._remote is not None else 0

    def statistics(self) -> PeerStatistics:
        return self._stack.statistics() if self._stack is not None else PeerStatistics(0, 0, 0, 0, 0, 0)

    def close(self, reason: Exception) -> None:
        if self._end is not None:
            return
        self._end = reason
        if self._stack is not None:
            self._stack.close(self._ice.close)
        else:
            self._ice.close()

    # --- IceEvents -----------------------------------------------------------------------------------------

    def on_local_candidate(self, candidate: IceCandidate | None) -> None:
        if self._end is None:
            self._events.on_candidate(candidate)

    def on_nominated(self) -> None:
        self._enter("dtls")
        if self._end is not None:
            return
        try:
            self._start_stack()
        except Exception as exc:
            _logger.exception("error in the engine")
            self.close(EngineError(f"{type(exc).__name__}: {exc}"))

    def _start_stack(self) -> None:
        remote = self._remote
        assert remote is not None
        stack = self._stack = self._make_stack(
            self._ice.transmit, is_dtls_server(self._local, remote), remote, self._settings, self
        )
        stack.start()
        for data in self._early_packets:
            stack.packet_received(data)
        self._early_packets.clear()

    def on_packet(self, data: bytes) -> None:
        if self._stack is not None:
            self._stack.packet_received(data)
        elif len(self._early_packets) < EARLY_PACKETS:
            self._early_packets.append(data)

    def on_consent(self, state: Literal["fresh", "missed", "expired"]) -> None:
        if state == "expired":
            error = {"dtls": DtlsFailed, "sctp": SctpFailed}.get(self._phase, ConnectionLost)
            self.close(error(f"the peer has not answered for {self._settings.config.liveness_timeout:g} s"))
        elif self._phase in ("connected", "disconnected"):
            self._enter("connected" if state == "fresh" else "disconnected")

    def on_ice_failed(self, reason: Exception) -> None:
        self.close(reason)

    def on_ice_closed(self) -> None:
        assert self._end is not None
        self._events.on_closed(self._end)

    # --- StackEvents ----------------------------------------------------------------------------------------------

    def on_secured(self) -> None:
        self._enter("sctp")

    def on_established(self) -> None:
        self._enter("connected")

    def on_channel(self, channel: EngineChannel) -> None:
        self._events.on_channel(channel)

    def on_ended(self, reason: Exception) -> None:
        self.close(reason)

    def _enter(self, phase: str) -> None:
        if self._end is None:
            self._phase = phase
            self._events.on_phase(phase)
