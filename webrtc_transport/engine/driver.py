"""What the packet path needs of an event loop: the time, timers, its next turn, and which socket can be read.

The stack and the UDP port know nothing else of the loop that runs them, so they need no asyncio.
"""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVarTuple

from ..asyncio_event import resuming
from .resolver import resolve

_Ts = TypeVarTuple("_Ts")


class TimerHandle(Protocol):
    """A call that is due at a time to come."""

    def cancel(self) -> object:
        """Don't make the call. Safe at any time."""


class Driver(ABC):
    """An event loop. Methods are called on it, and so are the functions that they take.

    What such a function raises is logged; the loop goes on.
    """

    @abstractmethod
    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    @abstractmethod
    def call_soon(self, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        """Make a call when everything that is running or ready now has had its turn."""

    @abstractmethod
    def call_at(self, when: float, callback: Callable[[], object]) -> TimerHandle:
        """Make a call at a time of :meth:`now`."""

    @abstractmethod
    def add_reader(self, sock: socket.socket, callback: Callable[[], object]) -> None:
        """Make a call whenever ``sock`` has something to read, until :meth:`remove_reader`."""

    @abstractmethod
    def remove_reader(self, sock: socket.socket) -> None:
        """Make no more calls for ``sock``. To be done before it is closed."""

    @abstractmethod
    async def resolve(self, host: str, port: int, *, family: int = socket.AF_UNSPEC) -> list[tuple[int, str]]:
        """Look up the addresses of ``host``. It can be cancelled at once.

        :return: pairs of address family and IP address, in the system's order of preference
        :raises OSError: if the name can't be resolved
        """


@asynccontextmanager
async def open_driver() -> AsyncIterator[Driver]:
    """The driver of the event loop that runs, for the time of the block."""
    # Asked in this order, because trio's guest mode runs inside an asyncio loop.
    if "trio" in sys.modules:
        from . import trio_driver  # noqa: PLC0415 - trio is optional

        if trio_driver.is_in_trio():
            async with trio_driver.open_trio_driver() as driver:
                yield driver
            return
    yield AsyncioDriver()


class AsyncioDriver(Driver):
    """The running asyncio loop, uvloop's too."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def now(self) -> float:
        # uvloop's own clock counts milliseconds, and stands still within a turn: too coarse for a round trip or a pace.
        return time.monotonic()

    def call_soon(self, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        self._loop.call_soon(callback, *args)

    def call_at(self, when: float, callback: Callable[[], object]) -> TimerHandle:
        return self._loop.call_later(max(0.0, when - time.monotonic()), callback)

    def add_reader(self, sock: socket.socket, callback: Callable[[], object]) -> None:
        self._loop.add_reader(sock, resuming(callback))

    def remove_reader(self, sock: socket.socket) -> None:
        self._loop.remove_reader(sock)

    async def resolve(self, host: str, port: int, *, family: int = socket.AF_UNSPEC) -> list[tuple[int, str]]:
        return await resolve(host, port, family=family)
