"""Waiting for a change that a plain function makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import anyio


class LoopEvent(Protocol):
    """What of ``anyio.Event`` a :class:`Wakeup` needs. It is waited for before it is set, if at all."""

    def set(self) -> None:
        """Wake everyone who waits."""

    async def wait(self) -> object:
        """Wait for :meth:`set`."""


class Wakeup:
    """Wakes the tasks that wait for the next change; they look again at what they wait for.

    Unlike ``anyio.Event`` it can be made outside of an event loop, and used many times. ``notify`` is a plain
    function for the loop that the tasks run in.

    :param make_event: called in the loop that the tasks run in
    """

    __slots__ = ("_event", "_make_event")

    def __init__(self, make_event: Callable[[], LoopEvent] = anyio.Event) -> None:
        self._event: LoopEvent | None = None
        self._make_event = make_event

    def notify(self) -> None:
        """Wake everyone who waits."""
        if self._event is not None:
            self._event.set()
            self._event = None

    async def wait(self) -> None:
        """Wait for the next :meth:`notify`."""
        if self._event is None:
            self._event = self._make_event()
            # anyio finds out which event loop is running each time anew. It stays the same.
            self._make_event = type(self._event)
        await self._event.wait()
