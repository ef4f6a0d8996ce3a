"""What the packet path needs of an event loop: the time, timers, its next turn, and which socket can be read.

The stack and the UDP port know nothing else of the loop that runs them, so they need no asyncio.
"""

from __future__ import annotations

import asyncio
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Protocol, TypeVarTuple

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


class AsyncioDriver(Driver):
    """The running asyncio loop, uvloop's too."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    # uvloop's own clock counts milliseconds, and stands still within a turn: too coarse for a round trip or a pace.
    now = staticmethod(time.monotonic)

    def call_soon(self, callback: Callable[[*_Ts], object], *args: *_Ts) -> None:
        self._loop.call_soon(callback, *args)

    def call_at(self, when: float, callback: Callable[[], object]) -> TimerHandle:
        return self._loop.call_later(max(0.0, when - time.monotonic()), callback)

    def add_reader(self, sock: socket.socket, callback: Callable[[], object]) -> None:
        self._loop.add_reader(sock, callback)

    def remove_reader(self, sock: socket.socket) -> None:
        self._loop.remove_reader(sock)
