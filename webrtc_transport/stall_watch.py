"""Streams whose application doesn't read: found, and given up, before they hold their connection up for ever."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .stream import Stream

LOOKS_PER_TIMEOUT: Final = 4
"""A stalled stream is found at most a quarter of the timeout late; looking costs next to nothing."""


class StallWatch:
    """Resets the streams of one connection of which received bytes lie unread while nothing is read.

    All streams share the receive window of their connection (SCTP has no other): what lies unread on one is room
    that the others lack.

    :param timeout: how long it may lie, in seconds
    """

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._waiting: dict[Stream, tuple[int, float]] = {}
        """Streams with unread bytes: how often they had been read, and since when that is so."""
        self._closed: list[Stream] = []
        """Of those whose channel is closed, the ones with unread bytes."""

    def closed(self, stream: Stream) -> None:
        """The channel of ``stream`` is closed; what it received can still be read."""
        if stream.unread[0]:
            self._closed.append(stream)

    def look(self, streams: Iterable[Stream], now: float) -> None:
        """Reset what has stalled. ``streams`` are those whose channel is open."""
        waiting: dict[Stream, tuple[int, float]] = {}
        for stream in [*streams, *self._closed]:
            size, reads = stream.unread
            if size:
                before, since = self._waiting.get(stream, (reads, now))
                waiting[stream] = (reads, since if reads == before else now)
                if now - waiting[stream][1] >= self._timeout:
                    stream.stalled(self._timeout)
        self._waiting = waiting
        self._closed = [stream for stream in self._closed if stream.unread[0]]
