"""Waiting on asyncio: one event for each time that a task waits for a stream.

asyncio resumes a task in the turn of the loop after the one in which its future is done, and a turn costs as much as a
small message. So what a socket has brought resumes its tasks at the end of the socket's own call: see
:func:`resuming`.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context
from typing import Self


class _Waiter(asyncio.Future[None]):
    """A future that one task awaits, and that leaves it to others when the task goes on."""

    __slots__ = ("_task_context", "_wakeup")

    _wakeup: Callable[..., object] | None
    _task_context: Context | None
    """Both until the task goes on: from then on they would keep it."""

    def add_done_callback(self, fn: Callable[[Self], object], /, *, context: Context | None = None) -> None:
        # The task's own, and the only one: nobody else knows of this future.
        self._wakeup, self._task_context = fn, context

    def cancel(self, msg: object = None) -> bool:
        if not super().cancel(msg):
            return False
        self.resume_soon()
        return True

    def resume_soon(self) -> None:
        """Have the task go on in the loop's next turn."""
        wakeup, context = self._wakeup, self._task_context
        self._wakeup = self._task_context = None
        assert wakeup is not None
        self.get_loop().call_soon(wakeup, self, context=context)

    def resume(self) -> None:
        """Have the task go on now. For use where no task runs."""
        wakeup, context = self._wakeup, self._task_context
        self._wakeup = self._task_context = None
        assert wakeup is not None
        assert context is not None
        context.run(wakeup, self)


class _Turn(threading.local):
    """Of this thread's loop."""

    woken: deque[_Waiter] | None = None
    """Those whose events were set in the call that :func:`resuming` makes."""


_turn = _Turn()


def resuming(callback: Callable[[], object]) -> Callable[[], None]:
    """A function for the loop to call: ``callback``, and then the tasks whose events it has set go on at once."""

    def call() -> None:
        woken = _turn.woken = deque()
        try:
            callback()
        finally:
            # What the tasks set in their turn resumes others as ever.
            _turn.woken = None
            _resume(woken)

    return call


def _resume(woken: deque[_Waiter]) -> None:
    try:
        while woken:
            woken.popleft().resume()
    finally:
        # A task may end the loop by SystemExit. Then the others go on while the loop is shut down.
        for waiter in woken:
            waiter.resume_soon()


class AsyncioEvent:
    """``anyio.Event`` without what works on other loops too: one object and one coroutine instead of three each.

    There is one for each time that a task waits for a stream.
    """

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: list[_Waiter] = []

    def set(self) -> None:
        """Wake everyone who waits."""
        woken = _turn.woken
        for waiter in self._waiters:
            if waiter.done():
                continue
            waiter.set_result(None)
            if woken is None:
                waiter.resume_soon()
            else:
                woken.append(waiter)

    async def wait(self) -> None:
        """Wait for :meth:`set`, which comes later."""
        waiter = _Waiter(loop=asyncio.get_running_loop())
        self._waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            # Whoever gives up again and again leaves nothing behind.
            self._waiters.remove(waiter)
            raise
