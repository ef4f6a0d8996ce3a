"""How often a source may do something: token buckets by IP prefix, and one for all together.

A spoofed source address costs its sender nothing. So the memory is bounded, the bucket of all is asked before any
other is touched, and what is forgotten when the memory is full is the bucket that was used least recently.
"""

from __future__ import annotations

import ipaddress
import math
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_IPV6_PREFIX_LENGTH: Final = 64
"""Bits: what one host has to itself in IPv6. Of IPv4 it has the whole address."""


@dataclass(frozen=True, slots=True)
class Rate:
    """So many per second in the long run, and ``burst`` at once."""

    per_second: float
    burst: float


class TokenBucket:
    """Starts full; a token comes back every ``1 / rate.per_second`` seconds."""

    __slots__ = ("_rate", "_tokens", "_updated_at")

    def __init__(self, rate: Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._updated_at = now

    def has_token(self, now: float) -> bool:
        """Whether :meth:`take` would succeed. A clock that goes backwards is taken to stand still."""
        elapsed = now - self._updated_at
        if elapsed > 0:
            self._tokens = min(self._rate.burst, self._tokens + elapsed * self._rate.per_second)
            self._updated_at = now
        return self._tokens >= 1

    def take(self, now: float) -> bool:
        """Take one token, if there is one."""
        if not self.has_token(now):
            return False
        self._tokens -= 1
        return True

    def empty(self, now: float) -> None:
        """Take all that is there."""
        self._tokens = 0
        self._updated_at = max(now, self._updated_at)

    @property
    def next_at(self) -> float:
        """When there is a token again, or was."""
        if not self._rate.per_second:
            return math.inf
        return self._updated_at + (1 - self._tokens) / self._rate.per_second


class RateLimiter:
    """A bucket per IP prefix, /32 of IPv4 and /64 of IPv6, and one for all.

    :param max_prefixes: buckets that are kept
    :param counts_refused: whether also who is refused for the sake of all uses up their rate: as long as more come than
        it allows, nobody may
    """

    def __init__(
        self,
        *,
        per_prefix: Rate,
        total: Rate,
        max_prefixes: int,
        now: float,
        counts_refused: bool = False,
    ) -> None:
        self._counts_refused = counts_refused
        self._per_prefix = per_prefix
        self._max_prefixes = max_prefixes
        self._total = TokenBucket(total, now)
        self._shut_until = now
        """Before that nobody may: in a flood this is asked most often."""
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()
        """By prefix, the least recently used first."""

    def __len__(self) -> int:
        """Prefixes that are remembered."""
        return len(self._buckets)

    def allow(self, host: str, now: float) -> bool:
        """Whether ``host`` may do it once more now; if so it is counted.

        :param host: an IP address in its usual text
        """
        if now < self._shut_until or not self._total.has_token(now):
            if self._counts_refused:
                self._total.empty(now)
            self._shut_until = self._total.next_at
            return False
        # A prefix that is refused takes nothing from the others.
        prefix = prefix_of(host)
        bucket = self._buckets.get(prefix)
        if bucket is None:
            if len(self._buckets) >= self._max_prefixes:
                self._buckets.popitem(last=False)
            bucket = self._buckets[prefix] = TokenBucket(self._per_prefix, now)
        else:
            self._buckets.move_to_end(prefix)
        return bucket.take(now) and self._total.take(now)


def prefix_of(host: str) -> str:
    """What is taken for one source: an IPv4 address, or the /64 of an IPv6 address.

    An IPv4 address that a socket of both families gives in its IPv6 form is the IPv4 address.
    """
    return _ipv6_prefix(host) if ":" in host else host


@lru_cache(maxsize=1024)
def _ipv6_prefix(host: str) -> str:
    address = ipaddress.IPv6Address(host.partition("%")[0])
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    shift = address.max_prefixlen - _IPV6_PREFIX_LENGTH
    return f"{int(address) >> shift:x}::/{_IPV6_PREFIX_LENGTH}"
