"""Who may become a new peer, asked before anything is computed for a source that is not known.

Whoever can send one datagram with a false source can send fifty thousand per second, all different and all
well-formed: the password is in the message (:mod:`.ufrag`), so not even a correct MESSAGE-INTEGRITY tells them from
a peer. What tells is that a peer repeats its check, from the same address with the same USERNAME, within a
fraction of a second, and that a flood that repeats itself can't be large in sources.

So while there are few, each newcomer is let in at once. As long as too many come, only those are that have been here
before, at a rate of their own: whoever else were let in then would hardly be a peer, but cost as much as one. In
both cases no IP prefix takes more than its share. A refusal costs a hash and two comparisons, and memory is fixed.
"""

from __future__ import annotations

from array import array
from typing import Final

from .limits import (
    MAX_RATE_PREFIXES,
    NEW_PEERS_BURST,
    NEW_PEERS_PER_PREFIX,
    NEW_PEERS_PER_PREFIX_BURST,
    NEW_PEERS_PER_SECOND,
    REMEMBERED_CHECKS,
)
from .rate_limit import Rate, RateLimiter
from .stun_message import Address

PER_PREFIX: Final = Rate(NEW_PEERS_PER_PREFIX, NEW_PEERS_PER_PREFIX_BURST)
TOTAL: Final = Rate(NEW_PEERS_PER_SECOND, NEW_PEERS_BURST)


class Admission:
    """Decides about checks from sources that are not known."""

    def __init__(self, now: float, *, per_prefix: Rate = PER_PREFIX, total: Rate = TOTAL) -> None:
        self._first_seen = RateLimiter(
            per_prefix=per_prefix,
            total=total,
            max_prefixes=MAX_RATE_PREFIXES,
            now=now,
            counts_refused=True,
        )
        self._repeated = RateLimiter(
            per_prefix=per_prefix, total=total, max_prefixes=MAX_RATE_PREFIXES, now=now
        )
        # A hash per check that was refused, at the place that it says itself: the next one there replaces it.
        # Python's hash is keyed per process, so nobody can choose whom to replace.
        self._refused = array("q", bytes(8 * REMEMBERED_CHECKS))

    def admit(self, username: bytes, address: Address, now: float) -> bool:
        """Whether the work is to be done that a check from an unknown ``address`` asks for.

        :param username: what looks like the USERNAME of the check, by which it is recognised when it is repeated
        """
        if self._first_seen.allow(address[0], now):
            return True
        check = hash((address, username))
        place = check % REMEMBERED_CHECKS
        if self._refused[place] == check:
            return self._repeated.allow(address[0], now)
        self._refused[place] = check
        return False
