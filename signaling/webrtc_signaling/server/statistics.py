"""What the server has done since it began, in numbers. Sans-IO."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

LATENCY_BOUNDS: Final = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    10.0,
    60.0,
)
"""Seconds. A server with time to spare needs under a millisecond; a signal for a peer that is away waits for up to the
grace time."""


_SIGNALS: Final = ("offer", "answer", "candidate", "bye", "error")


class Histogram:
    """How many values were up to each of the ``bounds``, or beyond the last."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        """The values between a bound and the one before it; the last count is of those beyond all bounds."""
        self.total = 0.0
        """The sum of the values."""

    def observe(self, value: float) -> None:
        """Count one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class Statistics:
    """Counts, from zero for what is known to come: a rate needs a value before the first event.

    What is registered now is told by the hub, which knows it anyway.
    """

    opened: Counter[str] = field(default_factory=lambda: Counter({"websocket": 0, "long-poll": 0}))
    """Connections that began, by wire."""
    closed: Counter[str] = field(default_factory=Counter)
    """Connections that are over, by wire."""
    registered: Counter[str] = field(default_factory=lambda: Counter({"new": 0, "resumed": 0}))
    """Registrations, ``new`` or ``resumed``."""
    routed: Counter[str] = field(default_factory=lambda: Counter(dict.fromkeys(_SIGNALS, 0)))
    """Signals that were put into the queue of their recipient, by type."""
    failures: Counter[str] = field(default_factory=Counter)
    """Errors that clients were told, by code."""
    responses: Counter[int] = field(default_factory=Counter)
    """HTTP responses, by status."""
    latency: Histogram = field(default_factory=lambda: Histogram(LATENCY_BOUNDS))
    """Seconds from the arrival of a signal to its first transmission, to its recipient or the recipient's server. The
    way between two servers isn't in it: their clocks differ."""

    def connections(self) -> dict[str, int]:
        """Those that are open, by wire."""
        return {wire: opened - self.closed[wire] for wire, opened in self.opened.items()}
