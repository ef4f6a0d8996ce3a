"""How much of what comes from unknown sources is looked at: all of it, or in a flood a share that changes in turn.

To read a datagram and to refuse it takes a few microseconds, which the peers of the port lack when there are many.
Who isn't known can be passed over more cheaply by the kernel, but blindly. So the sources are divided into shares, by a
hash that nobody outside knows, and in each window of time one share is listened to. A newcomer repeats its check: it
is heard when its share has its turn, more than once if it is in a hurry, and that is what tells it from a flood
(:mod:`.admission`). How many shares there are follows the flood: what is read of it stays about the same.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from .limits import MAX_SHARES

WINDOW: Final = 0.25
"""Seconds for which one share is listened to. Our dialers repeat a check twice in it, browsers five times: the second
time lets them in."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which unknown sources are listened to: those whose hash is ``index``, modulo ``count``."""

    index: int
    count: int


class LoadShedder:
    """Decides it for one port, window by window.

    :param now: when the first window begins
    :param rate: datagrams per second of unknown sources that are to come through
    """

    def __init__(self, now: float, *, rate: float) -> None:
        self._rate = rate
        self._began_at = now
        self._strangers = 0
        """At the beginning of the window."""
        self._passed = 1.0
        """The part of what unknown sources send that comes through."""
        self._turns: list[int] = []
        """Shares whose turn is to come, the next one last."""
        self._count = 1

    def next_window(self, strangers: int, now: float) -> Share | None:
        """Begin a window. None: everybody is listened to in it.

        :param strangers: datagrams that came from unknown sources and weren't passed over, since the port is there
        """
        elapsed = max(now - self._began_at, WINDOW)
        rate = (strangers - self._strangers) / elapsed / self._passed
        self._began_at, self._strangers = now, strangers
        count = min(MAX_SHARES, math.ceil(rate / self._rate))
        if count <= 1:
            self._count, self._turns, self._passed = 1, [], 1.0
            return None
        if not self._turns or count > 2 * self._count or 2 * count < self._count:
            # In no order that is the same each time: who repeats its check every second would miss its turn each time.
            self._count = count
            self._turns = random.sample(range(count), count)
        self._passed = 1 / self._count
        return Share(self._turns.pop(), self._count)

    def mistaken(self, part: float) -> None:
        """Tell which part of the unknown sources is taken for known ones in this window, and comes through too."""
        self._passed = part + (1 - part) / self._count
