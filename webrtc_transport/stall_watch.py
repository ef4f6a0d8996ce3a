"""Streams whose bytes stay where they are: found, and given up, before they hold their connection up for ever."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from .framed_stream import FramedStream

LOOKS_PER_TIMEOUT: Final = 4
"""A stalled stream is found at most a quarter of the timeout late; looking costs next to nothing."""

Cause = Literal["unread", "incomplete"]


class StallWatch:
    """Resets the streams of one connection of which received bytes lie unread while nothing is read, or on which the
    peer leaves a frame incomplete.

    All streams share the receive window of their connection (SCTP has no other): what lies on one is room that the
    others lack. A frame has the whole time once, from its first byte: if each byte that is added gave it more, a peer
    could hold the window for as long as there are bytes in a frame.

    :param timeout: how long it may lie, in seconds
    :param spare: bytes of an incomplete frame that keep nobody waiting. js and go send the length of a frame ahead:
        that its body doesn't come may be because others hold the window.
    :param share: bytes of all streams together that lie unread without being to blame for a frame that doesn't come.
        While there are more, this end keeps the peer from sending, and the time for a frame doesn't begin.
    """

    def __init__(self, timeout: float, spare: int, share: int) -> None:
        self._timeout = timeout
        self._share = share
        self._allowed: dict[Cause, int] = {"unread": 0, "incomplete": spare}
        self._waiting: dict[tuple[FramedStream, Cause], tuple[int, float]] = {}
        """Where bytes lie: how many reads, or whole frames, there had been, and since when that is so."""
        self._closed: list[FramedStream] = []
        """Of those whose channel is closed, the ones with unread bytes."""

    def closed(self, stream: FramedStream) -> None:
        """The channel of ``stream`` is closed; what it received can still be read."""
        if stream.unread[0]:
            self._closed.append(stream)

    def look(self, streams: Iterable[FramedStream], now: float) -> None:
        """Reset what has stalled. ``streams`` are those whose channel is open."""
        waiting: dict[tuple[FramedStream, Cause], tuple[int, float]] = {}
        looked_at = [*streams, *self._closed]
        may_come = sum(stream.unread[0] for stream in looked_at) <= self._share
        for stream in looked_at:
            held: dict[Cause, tuple[int, int]] = {"unread": stream.unread}
            if may_come:
                held["incomplete"] = stream.incomplete
            for cause, (size, progress) in held.items():
                if size > self._allowed[cause]:
                    before, since = self._waiting.get((stream, cause), (progress, now))
                    since = since if progress == before else now
                    waiting[stream, cause] = progress, since
                    if now - since >= self._timeout:
                        stream.stalled(self._describe(cause))
        self._waiting = waiting
        self._closed = [stream for stream in self._closed if stream.unread[0]]

    def _describe(self, cause: Cause) -> str:
        for_so_long = f"for {self._timeout:g} s (stalled_stream_timeout)"
        if cause == "unread":
            return f"received bytes lay unread {for_so_long}; they are lost"
        return f"the peer left a frame incomplete {for_so_long}; it is lost, with what was not read"
