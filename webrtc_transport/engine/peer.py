"""A peer connection: ICE, then a stack of DTLS and SCTP on top of it.

One task takes a peer from the first check to its end, and another one sees to it that there is one way out:
whatever happens, the first reason is kept, everything is released within a second, and then ``on_closed`` is told.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, suppress
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
from ..errors import (
    LOOP_ENDED,
    ConnectionClosed,
    ConnectionLost,
    DtlsFailed,
    EngineError,
    SctpFailed,
    WebRTCError,
)
from ..protocol.sdp import IceCandidate, SessionDescription
from .description import answer, describe, is_dtls_server
from .ice import IceAgent, IceEvents
from .ice_port import TurnServer
from .stack import Stack, StackEvents, StackFactory

_logger = logging.getLogger("libp2p.transport.webrtc.engine")

CLOSE_TIMEOUT: Final = 0.9
"""Seconds for saying good-bye and releasing everything; a closed peer is noticed in under one."""

EARLY_PACKETS: Final = 16
"""DTLS packets kept until our own checks are done: a flight of two datagrams, and retransmissions of it."""


class IcePeer(SignaledPeer, IceEvents, StackEvents):
    """A :class:`~webrtc_transport.abc.SignaledPeer` over full ICE, with the stack that ``make_stack`` builds."""

    def __init__(self, settings: PeerSettings, events: SignaledPeerEvents, make_stack: StackFactory) -> None:
        self._settings = settings
        self._events = events
        self._make_stack = make_stack
        self._stack: Stack | None = None
        self._early_packets: list[bytes] = []
        self._local = describe(settings)
        self._remote: SessionDescription | None = None
        self._phase = "new"
        self._end: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._task: asyncio.Task[None] | None = None
        config = settings.config
        self._ice = IceAgent(
            self,
            controlling=settings.offerer,
            stun_servers=[url for server in settings.ice_servers for url in server.parsed if not url.is_turn],
            turn_servers=[
                TurnServer(url, server.username or "", server.password)
                for server in settings.ice_servers
                for url in server.parsed
                if url.is_turn
            ],
            relay_only=config.ice_transport_policy == "relay",
            bind_addresses=config.bind_addresses,
            liveness_timeout=config.liveness_timeout,
            ufrag=self._local.ufrag,
            pwd=self._local.pwd,
        )

    # --- SignaledPeer ---------------------------------------------------------------------------------------------

    @property
    def local_description(self) -> SessionDescription:
        return self._local

    def gather(self) -> None:
        self._ice.gather()

    def start(self, remote: SessionDescription) -> None:
        if self._end.done():
            return
        assert self._task is None, "start() is called once"
        self._remote = remote
        if not self._settings.offerer:
            self._local = answer(self._local, remote)
        self._task = asyncio.get_running_loop().create_task(self._run(remote))

    def add_remote_candidate(self, candidate: IceCandidate | None) -> None:
        self._ice.add_remote(candidate)

    def open_channel(
        self, events: ChannelEvents, *, label: str = "", negotiated_id: int | None = None
    ) -> EngineChannel:
        if self._end.done():
            raise ConnectionClosed(f"the peer connection is over: {self._end.result()}")
        assert self._stack is not None, "channels are opened on a peer that is connected"
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
        if self._end.done():
            return
        self._end.set_result(reason)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._finish(None))

    # --- IceEvents ------------------------------------------------------------------------------------------------

    def on_local_candidate(self, candidate: IceCandidate | None) -> None:
        self._events.on_candidate(candidate)

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

    # --- StackEvents ----------------------------------------------------------------------------------------------

    def on_secured(self) -> None:
        self._enter("sctp")

    def on_established(self) -> None:
        self._enter("connected")

    def on_channel(self, channel: EngineChannel) -> None:
        self._events.on_channel(channel)

    def on_ended(self, reason: Exception) -> None:
        if not self._end.done():
            self._end.set_result(reason)

    # --- the life of a peer ---------------------------------------------------------------------------------------

    async def _run(self, remote: SessionDescription) -> None:
        connecting = asyncio.get_running_loop().create_task(self._connect(remote))
        with suppress(asyncio.CancelledError):
            # Nobody cancels this task but an event loop that is shutting down. Awaited by itself, the future would
            # be cancelled with it.
            await asyncio.wait([self._end])
        self.on_ended(EngineError(LOOP_ENDED))
        connecting.cancel()
        await self._finish(connecting)

    async def _connect(self, remote: SessionDescription) -> None:
        """Run the checks and hand over to a stack, or tell why that failed."""
        try:
            await self._establish(remote)
        except WebRTCError as exc:
            self.on_ended(exc)
        except Exception as exc:
            _logger.exception("error in the engine")
            self.on_ended(EngineError(f"{type(exc).__name__}: {exc}"))

    async def _establish(self, remote: SessionDescription) -> None:
        self._enter("ice")
        for candidate in remote.candidates:
            self._ice.add_remote(candidate)
        if remote.end_of_candidates:
            self._ice.add_remote(None)
        await self._ice.establish(remote.ufrag, remote.pwd, is_lite=remote.ice_lite)
        self._enter("dtls")
        stack = self._stack = self._make_stack(
            self._ice.transmit, is_dtls_server(self._local, remote), remote, self._settings, self
        )
        stack.start()
        for data in self._early_packets:
            stack.packet_received(data)
        self._early_packets.clear()

    def _enter(self, phase: str) -> None:
        if not self._end.done():
            self._phase = phase
            self._events.on_phase(phase)

    async def _finish(self, connecting: asyncio.Task[None] | None) -> None:
        try:
            # The last one pushed is the first to be closed, and the others are even if it raises.
            async with asyncio.timeout(CLOSE_TIMEOUT), AsyncExitStack() as parts:
                if connecting is not None:
                    parts.push_async_callback(asyncio.wait, [connecting])
                parts.push_async_callback(self._ice.close)
                if self._stack is not None:
                    parts.push_async_callback(self._stack.aclose)
        except TimeoutError:
            _logger.warning("a peer connection took more than %s s to close", CLOSE_TIMEOUT)
        except Exception:
            _logger.exception("error while a peer connection was closed")
        finally:
            self._events.on_closed(self._end.result())
