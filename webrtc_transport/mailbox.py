"""How functions get from one loop to another."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from typing import Final

_logger = logging.getLogger("libp2p.transport.webrtc.portal")

HANDED_OVER: Final = "error in a function handed across the portal"


class Mailbox:
    """Functions for the other loop, in order, with one wake-up for as many as have gathered.

    :param wake: has a function run by the other loop, soon; it may be called in any thread
    """

    def __init__(self, wake: Callable[[Callable[[], None]], object]) -> None:
        self._wake = wake
        self._items: deque[Callable[[], object]] = deque()
        self._awake = self._closed = False

    def put(self, item: Callable[[], object]) -> None:
        """Have a function run, and don't wait for it."""
        self._items.append(item)
        # A stale True is harmless: drain() clears the flag before it looks at the items.
        if not self._awake:
            self._call_drain()

    def close(self) -> None:
        """Run nothing more, and keep nothing. For use in the other loop."""
        self._closed = True
        self._items.clear()

    def _call_drain(self) -> None:
        self._awake = True
        try:
            self._wake(self.drain)
        except BaseException:
            # Else nobody would try again.
            self._awake = False
            raise

    def drain(self) -> None:
        """Run what has gathered, in the other loop."""
        self._awake = False
        # As many as there are now: what these put in meanwhile waits for the next turn of the loop.
        for _ in range(len(self._items)):
            if self._closed:
                self._items.clear()
                return
            self._run(self._items.popleft())
        if self._items and not self._awake:
            self._call_drain()

    def _run(self, item: Callable[[], object]) -> None:
        try:
            item()
        except BaseException:
            # SystemExit too: it would end the loop that it happens to run in, and not the program.
            _logger.exception(HANDED_OVER)
