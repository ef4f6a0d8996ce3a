"""Is the peer there? Heartbeats after a silence (RFC 9260, section 8.3)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .packet import ChunkType, ParameterType, encode_chunk, encode_parameter

MAX_HEARTBEATS: Final = 10
"""Questions without an answer until the peer counts as gone (RFC 9260, section 16: Association.Max.Retrans)."""


class Liveness:
    """Asks, and counts what isn't answered. It asks after half of the timeout, and then more urgently.

    That ICE's checks are answered says less: whoever starts again at the same port answers those of its predecessor.

    :param random: gives random bytes
    :param timeout: seconds of silence after which the peer counts as gone
    """

    def __init__(self, random: Callable[[int], bytes], now: float, timeout: float) -> None:
        self.timeout = timeout
        self._interval = timeout / 2
        self._retry = self._interval / MAX_HEARTBEATS
        self.timer = now + self._interval
        """When the next heartbeat is due."""
        self.is_lost = False
        """The peer doesn't answer."""
        self._random = random
        self._unanswered = 0
        self._nonce = b""
        self._asked_at = 0.0

    def heard(self, now: float) -> None:
        """A packet of the peer has arrived."""
        self.timer = now + self._interval
        self._unanswered = 0

    def handle_timer(self, now: float) -> list[bytes]:
        """Chunks to be sent now."""
        if now < self.timer:
            return []
        if self._unanswered >= MAX_HEARTBEATS:
            self.is_lost = True
            return []
        self._unanswered += 1
        self.timer = now + self._retry
        self._nonce, self._asked_at = self._random(8), now
        return [
            encode_chunk(ChunkType.HEARTBEAT, encode_parameter(ParameterType.HEARTBEAT_INFO, self._nonce))
        ]

    def answered(self, information: bytes, now: float) -> float | None:
        """Take what came back in a HEARTBEAT ACK; returns the round-trip time if it is the last question's."""
        if not self._nonce or information != encode_parameter(ParameterType.HEARTBEAT_INFO, self._nonce):
            return None
        self._nonce = b""
        return now - self._asked_at
