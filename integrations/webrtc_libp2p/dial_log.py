"""Telling why a dial has failed: py-libp2p hides the reason at the end of a chain of exceptions."""

from __future__ import annotations

import logging
import time
from typing import Final

from multiaddr import Multiaddr

_logger = logging.getLogger("libp2p.transport.webrtc.dialer")

SAME_FAILURE: Final = 60.0
"""Seconds after a failure in which the same one isn't told aloud. py-libp2p repeats a dial at once, three times."""


class DialLog:
    """Logs each failure of a dial as a warning, and at ``INFO`` what only repeats it."""

    def __init__(self) -> None:
        self._told: dict[str, float] = {}
        """When each was told or repeated last, the oldest first."""

    def failed(self, address: Multiaddr, reason: Exception) -> None:
        """The dial of ``address`` has failed."""
        now = time.monotonic()
        message = f"the dial of {address} failed: {reason}"
        while self._told and now - next(iter(self._told.values())) > SAME_FAILURE:
            del self._told[next(iter(self._told))]
        level = logging.INFO if self._told.pop(message, None) is not None else logging.WARNING
        self._told[message] = now
        _logger.log(level, "%s", message)
