"""Who may come in, and how fast: bounds on connections and messages. Sans-IO."""

from __future__ import annotations

import math
from collections import Counter


class TokenBucket:
    """Allows ``rate`` takes a second in the long run, and ``burst`` at once."""

    __slots__ = ("_burst", "_rate", "_tokens", "_updated_at")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._updated_at = math.inf

    def take(self, now: float) -> bool:
        """Take one token, if there is one."""
        self._tokens = min(self._burst, self._tokens + max(0.0, now - self._updated_at) * self._rate)
        self._updated_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Admission:
    """Counts connections, in total and by address."""

    def __init__(self, *, max_total: int, max_per_address: int) -> None:
        self._max_total = max_total
        self._max_per_address = max_per_address
        self._by_address: Counter[str] = Counter()
        self._total = 0

    @property
    def total(self) -> int:
        """The connections that there are."""
        return self._total

    @property
    def is_full(self) -> bool:
        """Whether nobody else is let in."""
        return self._total >= self._max_total

    def is_full_for(self, address: str) -> bool:
        """Whether nobody else is let in from this address."""
        return self._by_address[address] >= self._max_per_address

    def enter(self, address: str) -> None:
        """A connection begins."""
        self._total += 1
        self._by_address[address] += 1

    def leave(self, address: str) -> None:
        """A connection ends."""
        self._total -= 1
        self._by_address[address] -= 1
        if not self._by_address[address]:
            del self._by_address[address]
