"""The packet path's driver for trio: no thread, and no task but one per socket, per timer and one for the driver."""

from __future__ import annotations

import logging
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TypeVarTuple

import trio
from anyio.abc import TaskStatus

from ..task_group import bare_task_group
from .driver import Driver, TimerHandle

_Ts = TypeVarTuple("_Ts")

_logger = logging.getLogger("libp2p.transport.webrtc.engine")


class TrioDriver(Driver):
    """The running trio loop. It drives while :meth:`run` runs: ``await nursery.start(driver.run)``."""

    def __init__(self) -> None:
        self._nursery: trio.Nursery | None = None
        self._readers: dict[socket.socket, trio.CancelScope] = {}
        self._soon: deque[Callable[[], object]] = deque()
        self._idle = trio.lowlevel.ParkingLot()
        self._is_reading = False

    async def run(self, *, task_status: TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Drive until cancelled. What :meth:`call_soon` was given before is called then."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            while True:
                if self._soon:
                    await trio.lowlevel.checkpoint()
                else:
                    await self._idle.park()
                self._call_ready()

    def now(self) -> float:
        return trio.current_time()

    def call_soon(self, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        self._soon.append(partial(callback, *args))
        # A reader makes these calls itself when it is through with its socket, which saves a round of the loop.
        if not self._is_reading:
            self._idle.unpark()

    def call_at(self, when: float, callback: Callable[[], object]) -> TimerHandle:
        scope = _new_scope()
        self._tasks.start_soon(self._sleep, scope, when, callback)
        return scope

    def add_reader(self, sock: socket.socket, callback: Callable[[], object]) -> None:
        self._readers[sock] = scope = _new_scope()
        self._tasks.start_soon(self._read, scope, sock, callback)

    def remove_reader(self, sock: socket.socket) -> None:
        self._readers.pop(sock).cancel()

    async def resolve(self, host: str, port: int, *, family: int = socket.AF_UNSPEC) -> list[tuple[int, str]]:
        try:
            found = await trio.socket.getaddrinfo(host, port, family=family, type=socket.SOCK_DGRAM)
        except UnicodeError as exc:
            raise OSError(f"{host!r} is no host name: {exc}") from None
        return [(int(entry[0]), str(entry[4][0])) for entry in found]

    @property
    def _tasks(self) -> trio.Nursery:
        assert self._nursery is not None, "the driver is running"
        return self._nursery

    async def _read(
        self, scope: trio.CancelScope, sock: socket.socket, callback: Callable[[], object]
    ) -> None:
        with scope:
            # A callback may remove its own reader, and close the socket.
            while not scope.cancel_called:
                await trio.lowlevel.wait_readable(sock.fileno())
                self._is_reading = True
                _call(callback)
                self._is_reading = False
                self._call_ready()

    async def _sleep(self, scope: trio.CancelScope, when: float, callback: Callable[[], object]) -> None:
        with scope:
            await trio.sleep_until(when)
            _call(callback)

    def _call_ready(self) -> None:
        # As many as there are now: what these ask for waits until others have had their turn.
        for _ in range(len(self._soon)):
            _call(self._soon.popleft())
        if self._soon:
            self._idle.unpark()


@asynccontextmanager
async def open_trio_driver() -> AsyncIterator[TrioDriver]:
    """A driver that drives until the end of the block, though the block be cancelled: what ends there needs it."""
    driver = TrioDriver()
    scope = _new_scope(shield=True)

    async def run(*, task_status: TaskStatus[None]) -> None:
        with scope:
            await driver.run(task_status=task_status)

    async with bare_task_group() as task_group:
        with _new_scope(shield=True):
            await task_group.start(run)
        try:
            yield driver
        finally:
            scope.cancel()


def is_in_trio() -> bool:
    """Whether a trio task is running."""
    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


def _call(callback: Callable[[], object]) -> None:
    try:
        callback()
    except Exception:
        _logger.exception("error in a callback of the packet path")


def _new_scope(*, shield: bool = False) -> trio.CancelScope:
    # Pyright takes the attributes that attrs leaves out of the constructor for arguments of it.
    return trio.CancelScope(shield=shield)  # pyright: ignore[reportCallIssue]
