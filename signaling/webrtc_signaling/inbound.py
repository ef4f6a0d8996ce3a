"""Inbound sessions on their way to the handler of a backend."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
from anyio.abc import TaskStatus

from webrtc_transport.abc import SignalingSession
from webrtc_transport.errors import ConnectError, SignalingError
from webrtc_transport.wakeup import Wakeup

from .session import BufferedSession

_logger = logging.getLogger("libp2p.transport.webrtc.signaling")

ALREADY_SERVING: Final = (
    "this transport listens already: use the listener that it has, or close that before you listen again"
)

MAX_BACKLOG: Final = 64
"""Inbound sessions that wait for the caller's loop to start their handlers; further ones are told ``busy``."""

Handler = Callable[[SignalingSession], Awaitable[None]]


class Backlog:
    """Inbound sessions that wait, and the loop that hands them out. Used in the caller's loop."""

    def __init__(self) -> None:
        self._waiting: deque[BufferedSession] = deque()
        self._changed = Wakeup()
        self._failure: SignalingError | None = None

    def add(self, session: BufferedSession) -> None:
        """Hand a session to the handler, or refuse it."""
        if len(self._waiting) >= MAX_BACKLOG:
            session.refuse("busy", "too many sessions wait to be looked at")
        else:
            self._waiting.append(session)
            self._changed.notify()

    def fail(self, error: SignalingError) -> None:
        """Let :meth:`serve` raise ``error``."""
        self._failure = error
        self._changed.notify()

    async def serve(self, handler: Handler, task_status: TaskStatus[None]) -> None:
        """Call ``handler`` in a task of its own for each session, until cancelled or failed."""
        try:
            async with anyio.create_task_group() as handlers:
                task_status.started()
                while self._failure is None:
                    while self._waiting:
                        handlers.start_soon(_handle, handler, self._waiting.popleft())
                    await self._changed.wait()
                handlers.cancel_scope.cancel()
            if self._failure is not None:
                raise self._failure
        finally:
            for session in self._waiting:
                session.refuse("not-listening", "the peer has stopped listening")


async def _handle(handler: Handler, session: BufferedSession) -> None:
    async with session:
        try:
            await handler(session)
        except ConnectError as exc:
            # A session that fails is no reason to stop serving.
            _logger.info("session with %s ended: %s", session.remote_peer, exc)
