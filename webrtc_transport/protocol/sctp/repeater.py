"""A control chunk that is sent again until it is answered: INIT, COOKIE ECHO, SHUTDOWN, SHUTDOWN ACK.

These are the timers T1 and T2 of RFC 9260 (sections 5.1 and 9.2), but for how long they wait.
"""

from __future__ import annotations

from typing import Final

FIRST_DELAY: Final = 0.5
"""Seconds until a chunk is sent again, the second time after twice as many. RFC 9260 (section 16) says 1 s; ICE has
just measured less."""

LONGEST_DELAY: Final = 1.0
"""Seconds between two of the later ones. RFC 9260 (section 6.3.3) doubles on, to 60 s: these pauses would be most of a
set-up in which a few packets are lost. One small packet a second congests no path."""


class Repeater:
    """Sends one chunk at a time."""

    def __init__(self) -> None:
        self.timer: float | None = None
        """When the chunk is sent again, or given up."""
        self.is_exhausted = False
        """It was sent as often as allowed, and nothing came back."""
        self._chunk = b""
        self._sent = 0
        self._limit = 0

    def start(self, chunk: bytes, limit: int, now: float) -> bytes:
        """Repeat this chunk from now on, until it was sent ``limit`` times; returns it, to be sent."""
        self._chunk, self._limit, self._sent = chunk, limit, 0
        return self._send(now)

    def _send(self, now: float) -> bytes:
        self.timer = now + min(LONGEST_DELAY, FIRST_DELAY * 2**self._sent)
        self._sent += 1
        return self._chunk

    def restart(self, chunk: bytes, now: float) -> None:
        """The peer is there, and busy: count from the beginning, with this chunk, which the caller sends."""
        if self.timer is not None:
            self._chunk, self._sent = chunk, 0
            self._send(now)

    def stop(self) -> None:
        """It was answered."""
        self.timer = None

    def handle_timer(self, now: float) -> bytes | None:
        """The chunk, if it is to be sent again now."""
        if self.timer is None or now < self.timer:
            return None
        if self._sent >= self._limit:
            self.timer, self.is_exhausted = None, True
            return None
        return self._send(now)
