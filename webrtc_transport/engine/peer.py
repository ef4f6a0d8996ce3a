"""A peer connection: ICE, then a stack of DTLS and SCTP on top of it.

One task takes a peer from the first check to its end, and another one sees to it that there is one way out:
whatever happens, the first reason is kept, everything is released within a second, and then ``on_closed`` is told.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Final, Literal

from ..abc import (
    CandidatePair,
    ChannelEvents,
    EngineChannel,
    EnginePeer,
    PeerEvents,
    PeerSettings,
    PeerStatistics,
)
from ..errors import ConnectionClosed, ConnectionLost, DtlsFailed, EngineError, SctpFailed, WebRTCError
from ..protocol.sdp import IceCandidate, SessionDescription
from .description import answer, describe, is_dtls_server
from .ice import IceAgent, IceEvents
from .ice_port import TurnServer

_logger = logging.getLogger("libp2p.transport.webrtc.engine")

CLOSE_TIMEOUT: Final = 0.9
"""Seconds for saying good-bye and releasing everything; a closed peer is noticed in under one."""

EARLY_PACKETS: Final = 16
"""DTLS packets kept until our own checks are done: a flight of two datagrams, and retransmissions of it."""


class Stack(ABC):
    """DTLS and SCTP over packets that somebody else carries. Methods are called on the engine's loop."""

    ended: asyncio.Future[Exception]
    """Done when the association is over, with the reason."""

    @abstractmethod
    def packet_received(self, data: bytes) -> None:
        """A DTLS packet arrived."""

    @abstractmethod
    async def handshake(self) -> None:
        """Do the DTLS handshake.

        :raises DtlsFailed: if it fails, or the peer's certificate has none of the fingerprints
        """

    @abstractmethod
    async def associate(self) -> None:
        """Set the SCTP association up.

        :raises SctpFailed: if it can't be
        """

    @abstractmethod
    def open_channel(self, events: ChannelEvents, label: str, negotiated_id: int | None) -> EngineChannel:
        """See :meth:`~webrtc_transport.abc.EnginePeer.open_channel`."""

    @abstractmethod
    def grant(self, size: int) -> None:
        """See :meth:`~webrtc_transport.abc.EnginePeer.grant`."""

    @abstractmethod
    def statistics(self) -> PeerStatistics:
        """See :meth:`~webrtc_transport.abc.EnginePeer.statistics`."""

    @abstractmethod
    async def close(self) -> None:
        """Tell the peer, and release everything; then :attr:`ended` is done. Safe at any time, and twice."""


StackFactory = Callable[
    ["Callable[[bytes], None]", bool, SessionDescription, PeerSettings, PeerEvents],
    Stack,
]
"""Builds a stack from: what sends a packet, whether we are DTLS server, the peer's description, settings, events."""


class IcePeer(EnginePeer, IceEvents):
    """An :class:`~webrtc_transport.abc.EnginePeer` over full ICE, with the stack that ``make_stack`` builds."""

    def __init__(self, settings: PeerSettings, events: PeerEvents, make_stack: StackFactory) -> None:
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

    # --- EnginePeer -----------------------------------------------------------------------------------------------

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
            self._task = asyncio.get_running_loop().create_task(self._finish(life=None))

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

    # --- the life of a peer ---------------------------------------------------------------------------------------

    async def _run(self, remote: SessionDescription) -> None:
        life = asyncio.get_running_loop().create_task(self._live(remote))
        with suppress(asyncio.CancelledError):
            # Nobody cancels this task but an event loop that is shutting down.
            await asyncio.wait([life, self._end], return_when=asyncio.FIRST_COMPLETED)
        if not self._end.done():
            has_ended = life.done() and not life.cancelled()
            self._end.set_result(life.result() if has_ended else EngineError("the event loop ended"))
        life.cancel()
        await self._finish(life)

    async def _live(self, remote: SessionDescription) -> Exception:
        """Connect, and return why that failed, or why the connection that came of it ended."""
        try:
            return await self._connect(remote)
        except WebRTCError as exc:
            return exc
        except Exception as exc:
            _logger.exception("error in the engine")
            return EngineError(f"{type(exc).__name__}: {exc}")

    async def _connect(self, remote: SessionDescription) -> Exception:
        self._enter("ice")
        for candidate in remote.candidates:
            self._ice.add_remote(candidate)
        if remote.end_of_candidates:
            self._ice.add_remote(None)
        await self._ice.establish(remote.ufrag, remote.pwd, is_lite=remote.ice_lite)
        self._enter("dtls")
        stack = self._stack = self._make_stack(
            self._ice.transmit, is_dtls_server(self._local, remote), remote, self._settings, self._events
        )
        for data in self._early_packets:
            stack.packet_received(data)
        self._early_packets.clear()
        await stack.handshake()
        self._enter("sctp")
        await stack.associate()
        self._enter("connected")
        # Awaited by itself, the future would be cancelled with this task.
        await asyncio.wait([stack.ended])
        return stack.ended.result()

    def _enter(self, phase: str) -> None:
        if not self._end.done():
            self._phase = phase
            self._events.on_phase(phase)

    async def _finish(self, life: asyncio.Task[Exception] | None) -> None:
        try:
            # The last one pushed is the first to be closed, and the others are even if it raises.
            async with asyncio.timeout(CLOSE_TIMEOUT), AsyncExitStack() as parts:
                if life is not None:
                    # Python 3.11's wait_for() can lose a cancellation: then it is the closed stack that ends it.
                    parts.push_async_callback(asyncio.wait, [life])
                parts.push_async_callback(self._ice.close)
                if self._stack is not None:
                    parts.push_async_callback(self._stack.close)
        except TimeoutError:
            _logger.warning("a peer connection took more than %s s to close", CLOSE_TIMEOUT)
        except Exception:
            _logger.exception("error while a peer connection was closed")
        finally:
            self._events.on_closed(self._end.result())
