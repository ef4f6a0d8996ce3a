"""Congestion control: how many bytes may be in flight, and how fast they may leave.

It is a part that can be replaced: the sender tells what is acknowledged and lost, and asks for the window and the
rate. :class:`Cubic` is the default.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

INITIAL_PACKETS: Final = 10
"""The first window (RFC 6928), and the one after a long pause."""

MAXIMUM_HALVINGS: Final = 32
"""More than any window has."""

MINIMUM_PACKETS: Final = 4
"""The smallest window after a loss: enough for the third acknowledgement that finds the next one."""

MAXIMUM_WINDOW: Final = 16 * 1024 * 1024
"""Bytes. Peers' receive windows are far below; this only keeps the arithmetic in bounds."""


class CongestionControl(ABC):
    """Decides on the window. Sizes are bytes, times are seconds."""

    def __init__(self, packet_size: int) -> None:
        self.packet_size = packet_size
        self.window = INITIAL_PACKETS * packet_size

    @abstractmethod
    def acknowledged(
        self,
        size: int,
        rtt: float | None,
        in_flight: int,
        now: float,
        *,
        sent_at: float,
        is_limited: bool,
        is_recovering: bool,
        has_more: bool,
    ) -> None:
        """``size`` bytes have arrived.

        :param rtt: the round trip of the newest of them, if that was sent once
        :param sent_at: when the newest of them was sent last
        :param in_flight: bytes that are still under way
        :param is_limited: whether the window has kept more from being sent
        :param is_recovering: whether all was sent before the last loss was found
        :param has_more: whether more is queued
        """

    @abstractmethod
    def lost(self, in_flight: int, now: float) -> None:
        """Packets of a flight were lost. Told once per flight."""

    @abstractmethod
    def timed_out(self, now: float) -> None:
        """Nothing was acknowledged for a whole timeout."""

    @abstractmethod
    def idled(self, timeouts: int) -> None:
        """Nothing was under way for so many retransmission timeouts, and something is to be sent now.

        What was known of the path has grown old (RFC 9260, section 7.2.1).
        """

    def pacing_rate(self, smoothed_rtt: float | None) -> float:
        """Bytes per second at which packets may leave: twice the window per round trip, lest bursts overrun queues."""
        return 2 * self.window / max(smoothed_rtt or 0.0, 1e-6)


class LossBased(CongestionControl):
    """What those have in common whose window falls when packets are lost."""

    def __init__(self, packet_size: int) -> None:
        super().__init__(packet_size)
        self._threshold = float("inf")
        """Up to here the window grows as in slow start."""

    def idled(self, timeouts: int) -> None:
        """The window is halved for each, down to the first one, and grows from there as in slow start."""
        self._threshold = max(self._threshold, self.window)
        halved = self.window >> min(timeouts, MAXIMUM_HALVINGS)
        self.window = min(self.window, max(halved, INITIAL_PACKETS * self.packet_size))


class NewReno(LossBased):
    """Slow start and additive increase, halving on loss (RFC 9260, section 7.2, counting bytes as RFC 3465 does)."""

    _BETA: Final = 0.5

    def __init__(self, packet_size: int) -> None:
        super().__init__(packet_size)
        self._credit = 0

    def acknowledged(
        self,
        size: int,
        rtt: float | None,  # noqa: ARG002 - others use it
        in_flight: int,  # noqa: ARG002
        now: float,  # noqa: ARG002
        *,
        sent_at: float,  # noqa: ARG002
        is_limited: bool,
        is_recovering: bool,
        has_more: bool,  # noqa: ARG002
    ) -> None:
        if not is_limited or is_recovering:
            return
        if self.window < self._threshold:
            self.window = min(MAXIMUM_WINDOW, self.window + size)
            return
        self._credit += size
        if self._credit >= self.window:
            self._credit -= self.window
            self.window = min(MAXIMUM_WINDOW, self.window + self.packet_size)

    def lost(self, in_flight: int, now: float) -> None:  # noqa: ARG002
        self.window = max(MINIMUM_PACKETS * self.packet_size, int(self.window * self._BETA))
        self._threshold = self.window
        self._credit = 0

    def timed_out(self, now: float) -> None:
        self.lost(0, now)
        self.window = self.packet_size


class Cubic(LossBased):
    """CUBIC (RFC 9438): the window grows with the time since the last loss, not with the round trips."""

    _BETA: Final = 0.7
    _SCALE: Final = 0.4
    """C, in packets per cubic second (RFC 9438, section 5)."""

    def __init__(self, packet_size: int) -> None:
        super().__init__(packet_size)
        self._maximum = 0.0
        self._before_loss = 0
        self._epoch: float | None = None
        self._turning_point = 0.0
        self._estimate = 0.0
        self._rtt = 0.0

    def acknowledged(
        self,
        size: int,
        rtt: float | None,
        in_flight: int,  # noqa: ARG002 - others use it
        now: float,
        *,
        sent_at: float,  # noqa: ARG002
        is_limited: bool,
        is_recovering: bool,
        has_more: bool,  # noqa: ARG002
    ) -> None:
        if rtt is not None:
            self._rtt = rtt
        if is_recovering:
            return
        if not is_limited:
            # Time in which nothing was to be sent is no time without loss (section 5.8).
            self._epoch = None
            return
        if self.window < self._threshold:
            self.window = min(MAXIMUM_WINDOW, self.window + size)
            return
        if self._epoch is None:
            self._begin_epoch(now)
        assert self._epoch is not None
        elapsed = now - self._epoch + self._rtt
        target = self._maximum + self._SCALE * self.packet_size * (elapsed - self._turning_point) ** 3
        # What Reno would have by now (section 4.3), which on short and on lossy paths is more. Up to where the last
        # loss was it grows more slowly than Reno, because it fell by less; from there on as fast.
        slope = 3 * (1 - self._BETA) / (1 + self._BETA) if self._estimate < self._before_loss else 1.0
        self._estimate += slope * self.packet_size * size / self.window
        if target < self._estimate:
            self.window = min(MAXIMUM_WINDOW, max(self.window, int(self._estimate)))
            return
        target = min(target, 1.5 * self.window)
        if target > self.window:
            self.window = min(
                MAXIMUM_WINDOW, self.window + max(1, int((target - self.window) * size / self.window))
            )

    def _begin_epoch(self, now: float) -> None:
        self._epoch = now
        self._estimate = self.window
        if self._maximum > self.window:
            self._turning_point = ((self._maximum - self.window) / (self._SCALE * self.packet_size)) ** (
                1 / 3
            )
        else:
            self._turning_point, self._maximum = 0.0, self.window

    def lost(self, in_flight: int, now: float) -> None:  # noqa: ARG002
        self._epoch = None
        self._before_loss = self.window
        # Fast convergence (section 4.7): one that has less than before makes room.
        shrink = (1 + self._BETA) / 2 if self.window < self._maximum else 1.0
        self._maximum = self.window * shrink
        self.window = max(MINIMUM_PACKETS * self.packet_size, int(self.window * self._BETA))
        self._threshold = self.window

    def timed_out(self, now: float) -> None:
        self.lost(0, now)
        self.window = self.packet_size
