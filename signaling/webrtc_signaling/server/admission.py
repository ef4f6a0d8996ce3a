"""Who may come in, and how fast: bounds on connections and messages. Sans-IO."""

from __future__ import annotations

import math
from collections import Counter, OrderedDict
from typing import Final

_MAX_KEYS: Final = 100_000
"""Addresses, or peers, whose rates are remembered: some 20 MB. For one more, the one is forgotten that came longest
ago. Who has so many addresses is stopped by none of the bounds on one."""


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
        if now != self._updated_at:
            self._tokens = min(self._burst, self._tokens + max(0.0, now - self._updated_at) * self._rate)
            self._updated_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def is_full(self, now: float) -> bool:
        """Whether it is as if it had never been used."""
        return self._tokens + (now - self._updated_at) * self._rate >= self._burst


class Rates:
    """A :class:`TokenBucket` for each of many keys, as long as it isn't full."""

    def __init__(self, rate: float, burst: float, *, max_keys: int = _MAX_KEYS) -> None:
        self._rate = rate
        self._burst = burst
        self._max_keys = max_keys
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        """The one that was used last stands last."""

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: str, now: float) -> bool:
        """Take one of the tokens of ``key``, if there is one."""
        while self._buckets and next(iter(self._buckets.values())).is_full(now):
            self._buckets.popitem(last=False)
        bucket = self._buckets.pop(key, None)
        if bucket is None:
            bucket = TokenBucket(self._rate, self._burst)
            if len(self._buckets) >= self._max_keys:
                self._buckets.popitem(last=False)
        self._buckets[key] = bucket
        return bucket.take(now)


class Admission:
    """Counts connections, in total and by address, and how fast they come from one."""

    def __init__(self, *, max_total: int, max_per_address: int, rates: Rates | None = None) -> None:
        self._max_total = max_total
        self._max_per_address = max_per_address
        self._by_address: Counter[str] = Counter()
        self._total = 0
        self._rates = rates

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

    def is_too_fast(self, address: str, now: float) -> bool:
        """Whether connections come too fast from this address; this one counts."""
        return self._rates is not None and not self._rates.take(address, now)

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
