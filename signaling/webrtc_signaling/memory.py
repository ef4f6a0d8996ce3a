"""A rendezvous inside one event loop, for tests and examples: ``memory://<name>``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskStatus
from anyio.lowlevel import RunVar
from anyio.streams.memory import MemoryObjectSendStream
from webrtc_transport.abc import SignalingBackend, SignalingContext, SignalingSession
from webrtc_transport.errors import ConfigurationError, PeerUnreachable, SignalingRejected
from webrtc_transport.identity import Identity, PeerId
from webrtc_transport.protocol.proof import new_session_id
from webrtc_transport.protocol.signals import Bye, Signal

from .limits import MAX_SESSION_SIGNALS
from .session import BufferedSession, run_handler

Intercept = Callable[[Signal], Sequence[Signal]]
"""Stands between the peers: it gets each signal that is sent, and returns what arrives in its place."""

_BACKLOG: Final = 64
"""Inbound sessions that wait for a handler."""

_served: RunVar[dict[tuple[str, PeerId], MemoryBackend]] = RunVar("webrtc_signaling.memory")
"""Who can be reached in this event loop: the backends that serve, by rendezvous and peer."""


class MemoryBackend(SignalingBackend):
    """Reaches the peers that serve under the same name in the same event loop.

    :param authenticated: whether the sessions claim to prove the peer, so that descriptions need no signature
    :param intercept: alters, drops or adds signals that this backend sends; for tests
    """

    def __init__(
        self,
        identity: Identity,
        name: str = "",
        *,
        authenticated: bool = False,
        intercept: Intercept | None = None,
    ) -> None:
        self._peer = identity.peer_id
        self._name = name
        self._authenticated = authenticated
        self._intercept = intercept
        self._inbound: MemoryObjectSendStream[_MemorySession] | None = None
        self._sessions: set[_MemorySession] = set()

    @classmethod
    def from_url(cls, url: str, context: SignalingContext) -> Self:
        parts = urlsplit(url)
        if parts.scheme != "memory" or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ConfigurationError(f"{url!r} is no address of a rendezvous in memory: use memory://<name>")
        return cls(context.identity, parts.netloc)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        for session in list(self._sessions):
            await session.aclose()

    async def connect(self, peer: PeerId) -> SignalingSession:
        await anyio.lowlevel.checkpoint()
        target = _served.get({}).get((self._name, peer))
        if target is None or target._inbound is None:
            raise PeerUnreachable(f"{peer} doesn't listen on memory://{self._name}")
        session_id = new_session_id()
        here = _MemorySession(self, peer, session_id)
        there = _MemorySession(target, self._peer, session_id)
        try:
            target._inbound.send_nowait(there)
        except anyio.WouldBlock:
            raise SignalingRejected(f"{peer} has too many sessions to look at", code="busy") from None
        here.join(there)
        return here

    async def serve(
        self,
        handler: Callable[[SignalingSession], Awaitable[None]],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        served = _served.get(None)
        if served is None:
            _served.set(served := {})
        key = (self._name, self._peer)
        if key in served:
            raise SignalingRejected(f"{self._peer} is served on memory://{self._name} already", code="replaced")
        self._inbound, waiting = anyio.create_memory_object_stream[_MemorySession](_BACKLOG)
        served[key] = self
        try:
            async with self._inbound, waiting, anyio.create_task_group() as handlers:
                task_status.started()
                async for session in waiting:
                    handlers.start_soon(run_handler, handler, session)
        finally:
            del served[key]
            self._inbound = None


class _MemorySession(BufferedSession):
    """One of two ends."""

    def __init__(self, backend: MemoryBackend, remote_peer: PeerId, session_id: str) -> None:
        super().__init__(remote_peer, session_id, authenticated=backend._authenticated)
        self._backend = backend
        self._other: _MemorySession | None = None
        self._sent = 0
        backend._sessions.add(self)

    def join(self, other: _MemorySession) -> None:
        """Carry signals from here to ``other``, and back."""
        self._other, other._other = other, self

    async def _send(self, signal: Signal) -> None:
        assert self._other is not None
        if self._sent >= MAX_SESSION_SIGNALS:
            raise SignalingRejected(f"a session has no more than {MAX_SESSION_SIGNALS} signals", code="too-many-signals")
        self._sent += 1
        for arriving in [signal] if self._backend._intercept is None else self._backend._intercept(signal):
            self._other.feed(arriving)

    def _forget(self, *, say_bye: bool) -> None:
        self._backend._sessions.discard(self)
        if say_bye and self._other is not None:
            self._other.feed(Bye())
