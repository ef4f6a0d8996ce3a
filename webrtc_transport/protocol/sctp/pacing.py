"""Spreads packets over time, so that a window's worth doesn't arrive at a queue or a socket buffer at once."""

from __future__ import annotations

from typing import Final

QUANTUM_TIME: Final = 0.002
"""Seconds whose worth of bytes may leave at once. Event loops wake up to a millisecond late."""

QUANTUM_PACKETS: Final = 10
"""Packets that may always leave at once: the first window (RFC 6928)."""


class Pacer:
    """A token bucket whose rate is told with each call. Rates are bytes per second."""

    def __init__(self, packet_size: int) -> None:
        self.tokens = float(QUANTUM_PACKETS * packet_size)
        """Bytes that may leave now; below zero after a packet that was larger."""
        self._packet_size = packet_size
        self._filled_at = 0.0

    def _quantum(self, rate: float) -> float:
        return max(QUANTUM_PACKETS * self._packet_size, rate * QUANTUM_TIME)

    def refill(self, rate: float, now: float) -> None:
        """Add what the time since the last call is worth."""
        self.tokens = min(self._quantum(rate), self.tokens + rate * max(0.0, now - self._filled_at))
        self._filled_at = now

    def delay(self, rate: float) -> float:
        """Seconds until half of what may leave at once may leave: fewer wake-ups than one per packet."""
        return max(0.0, self._quantum(rate) / 2 - self.tokens) / rate
