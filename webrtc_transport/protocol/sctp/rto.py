"""The retransmission timeout (RFC 9260, section 6.3.1)."""

from __future__ import annotations

from typing import Final

RTO_INITIAL: Final = 1.0
"""Seconds (RFC 9260, section 16)."""

RTO_MIN: Final = 0.4
"""Seconds. RFC 9260 says 1 s; on real paths half of that recovers tails sooner, and a peer that delays its
acknowledgements by up to 200 ms is still waited for."""

RTO_MAX: Final = 10.0
"""Seconds. RFC 9260 says 60 s; a path that was away for a moment, and a window whose opening went unheard, are then
found within 10 s, and a dead peer after a minute."""

_ALPHA: Final = 1 / 8
_BETA: Final = 1 / 4


class RtoEstimator:
    """Smooths round-trip times into a timeout that doubles while nothing comes back."""

    __slots__ = ("_backoff", "minimum", "smoothed", "timeout", "variation")

    def __init__(self) -> None:
        self.smoothed: float | None = None
        """Seconds; ``None`` before the first measurement."""
        self.variation = 0.0
        self.minimum = float("inf")
        self.timeout = RTO_INITIAL
        """Seconds after which a packet counts as lost. Asked for more often than it changes."""
        self._backoff = 1

    def _update(self) -> None:
        if self.smoothed is None:
            base = RTO_INITIAL
        else:
            base = max(RTO_MIN, self.smoothed + 4 * self.variation)
        self.timeout = min(RTO_MAX, base * self._backoff)

    def measure(self, rtt: float) -> None:
        """Take a round trip of a packet that was sent once (Karn's rule)."""
        self._backoff = 1
        self.minimum = min(self.minimum, rtt)
        if self.smoothed is None:
            self.smoothed, self.variation = rtt, rtt / 2
        else:
            self.variation += _BETA * (abs(self.smoothed - rtt) - self.variation)
            self.smoothed += _ALPHA * (rtt - self.smoothed)
        self._update()

    def back_off(self) -> None:
        """A timeout passed."""
        if self.timeout < RTO_MAX:
            self._backoff *= 2
            self._update()

    def progress(self) -> None:
        """Something new was acknowledged, even if its round trip is unknown."""
        self._backoff = 1
        self._update()
