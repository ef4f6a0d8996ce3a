"""Consent to be sent to, of the peer of a full ICE session (RFC 7675)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Final, Literal

CONSENT_CHECKS: Final = 6
"""Consent checks per liveness timeout (RFC 7675, section 5.1: every 5 s of 30 s)."""

CONSENT_RETRANSMISSION: Final = 0.5
"""Seconds until a check that isn't answered is sent again (RFC 8489, section 6.2.1), and again, at most twice as
long after that each time, until the next one.

RFC 7675 (section 5.1) sends each check once, at least 4 s after the one before. The checks of a connection whose
liveness timeout is 30 s or more are as far apart, but one that isn't answered is repeated: a single lost packet would
else be told as a disconnected peer. A shorter timeout, which the application asks for, leaves no room for 4 s."""


class Consent:
    """Asks for it again and again.

    :param liveness_timeout: seconds of silence after which it has expired
    :param check: asks for so many seconds; whether an answer came
    :param tell: told when a check was missed, when one is answered after that, and of the end
    """

    def __init__(
        self,
        liveness_timeout: float,
        check: Callable[[float], Awaitable[bool]],
        tell: Callable[[Literal["fresh", "missed", "expired"]], None],
    ) -> None:
        self.is_missed = False
        """Whether the last check wasn't answered."""
        self._timeout = liveness_timeout
        self._interval = liveness_timeout / CONSENT_CHECKS
        self._check = check
        self._tell = tell

    async def ask_until_it_expires(self) -> None:
        """Ask, the first time after an interval."""
        loop = asyncio.get_running_loop()
        last_answer = loop.time()
        while True:
            # RFC 7675 spreads it to 1.2 intervals; with more than one, the last check would come after the timeout.
            await asyncio.sleep(self._interval * random.uniform(0.8, 1.0))  # noqa: S311 - spreads load, hides nothing
            answered = await self._check(self._interval)
            if answered:
                last_answer = loop.time()
            elif loop.time() - last_answer >= self._timeout - self._interval:
                self._tell("expired")
                return
            if answered is self.is_missed:
                self.is_missed = not answered
                self._tell("fresh" if answered else "missed")
