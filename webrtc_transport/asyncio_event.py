"""Waiting on asyncio: one event for each time that a task waits for a stream."""

from __future__ import annotations

import asyncio


class AsyncioEvent:
    """``anyio.Event`` without what works on other loops too: one object and one coroutine instead of three each.

    There is one for each time that a task waits for a stream.
    """

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[asyncio.Future[None]] = []

    def set(self) -> None:
        """Wake everyone who waits."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Wait for :meth:`set`, which comes later."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            # Whoever gives up again and again leaves nothing behind.
            self._waiters.remove(waiter)
            raise
