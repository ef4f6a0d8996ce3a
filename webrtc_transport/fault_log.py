"""Telling the operator of faults of this end, which strangers can bring about as often as they like."""

from __future__ import annotations

import logging
import time

from .protocol.limits import FAULT_REPORTS_BURST, FAULT_REPORTS_PER_MINUTE
from .protocol.rate_limit import Rate, TokenBucket


class FaultLog:
    """Logs faults at the level that they deserve, as long as they are few; and at ``INFO`` what is beyond."""

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        rate = Rate(FAULT_REPORTS_PER_MINUTE / 60, FAULT_REPORTS_BURST)
        self._reports = TokenBucket(rate, time.monotonic())
        self._hushed = 0
        """Faults since the last that was told aloud."""

    def report(self, level: int, message: str, *, error: Exception | None = None) -> None:
        """Log ``message``, with the traceback of ``error`` if there is one."""
        if not self._reports.take(time.monotonic()):
            self._hushed += 1
            self._logger.info("%s", message)
            return
        more = f" (and {self._hushed} faults before, told at level INFO)" if self._hushed else ""
        self._hushed = 0
        self._logger.log(level, "%s%s", message, more, exc_info=error)
