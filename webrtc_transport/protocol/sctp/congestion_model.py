"""Congestion control by a model of the path, after BBR (draft-cardwell-iccrg-bbr-congestion-control, version 1).

It estimates the two things that a path is made of, its narrowest rate and its shortest round trip, and sends at that
rate with twice their product in flight at most. A lost packet says nothing of either: on a path that loses at random
this is a multiple of what :class:`~.congestion.Cubic` moves. It takes more than its share beside others where queues
are short, so it is chosen, not the default.
"""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Final

from .congestion import INITIAL_PACKETS, MAXIMUM_WINDOW, MINIMUM_PACKETS, CongestionControl

_STARTUP_GAIN: Final = 2.885
"""2/ln 2: doubles what is delivered with each round trip."""

_WINDOW_GAIN: Final = 2.0
_CYCLE: Final = (1.25, 0.75, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
"""Gains for a round trip each: ask for more, drain what that has queued, cruise."""

_RATE_ROUNDS: Final = 10
"""Round trips for which the highest rate is remembered."""

_RTT_LIFETIME: Final = 10.0
"""Seconds for which the shortest round trip is believed."""

_RTT_PROBE_TIME: Final = 0.2
"""Seconds with next to nothing in flight, to see it again."""

_GROWTH: Final = 1.25
_ROUNDS_WITHOUT_GROWTH: Final = 3
_INITIAL_RTT: Final = 0.1


class Phase(Enum):
    """What the model is being asked."""

    STARTUP = auto()
    DRAIN = auto()
    CRUISE = auto()
    PROBE_RTT = auto()


class Model(CongestionControl):
    """Bottleneck rate and shortest round trip."""

    def __init__(self, packet_size: int) -> None:
        super().__init__(packet_size)
        self.phase = Phase.STARTUP
        self.rate = 0.0
        """Bytes per second that the path delivers; 0 before it is known."""
        self.shortest_rtt = float("inf")
        self._rtt_seen_at = 0.0
        self._delivered = 0
        self._history: deque[tuple[float, int]] = deque([(0.0, 0)])
        """When how much had been delivered, back to the send time of the oldest packet in flight."""
        self._round = 0
        self._round_ends_at = 0
        """Bytes delivered when everything that is in flight now has arrived."""
        self._rates: deque[tuple[int, float]] = deque()
        """Rounds, and rates that none since has exceeded."""
        self._full_rate = 0.0
        self._rounds_without_growth = 0
        self._gain = _STARTUP_GAIN
        self._cycle = 0
        self._phase_until = 0.0

    def acknowledged(
        self,
        size: int,
        rtt: float | None,
        in_flight: int,
        now: float,
        *,
        sent_at: float,
        is_limited: bool,  # noqa: ARG002 - a window's growth depends on it, a rate's doesn't
        is_recovering: bool,  # noqa: ARG002
        has_more: bool,
    ) -> None:
        self._delivered += size
        self._history.append((now, self._delivered))
        if rtt is not None:
            self._measure_rtt(rtt, in_flight, now)
        self._measure_rate(min(sent_at, now - min(self.shortest_rtt, _INITIAL_RTT)), now, has_more=has_more)
        self._advance(in_flight, now)
        self._set_window()

    def _measure_rtt(self, rtt: float, in_flight: int, now: float) -> None:
        # With so little in flight no queue stands: a path that has become longer is seen as it is.
        is_alone = in_flight <= MINIMUM_PACKETS * self.packet_size
        if rtt <= self.shortest_rtt or (is_alone and now - self._rtt_seen_at > _RTT_LIFETIME):
            self.shortest_rtt, self._rtt_seen_at = rtt, now

    def _measure_rate(self, sent_at: float, now: float, *, has_more: bool) -> None:
        """What was delivered since a packet left, by the time until it had arrived.

        One that was sent again may have arrived the first time: it counts as sent a whole round trip ago at least.
        """
        history = self._history
        while len(history) > 1 and history[1][0] <= sent_at:
            history.popleft()
        _, before = history[0]
        rate = (self._delivered - before) / max(now - sent_at, 1e-6)
        if before >= self._round_ends_at:
            self._end_round(has_more=has_more)
        # What an idle application sends says nothing, unless it is more than was thought possible.
        if has_more or rate >= self.rate:
            while self._rates and self._rates[-1][1] <= rate:
                self._rates.pop()
            self._rates.append((self._round, rate))
        while len(self._rates) > 1 and self._rates[0][0] < self._round - _RATE_ROUNDS:
            self._rates.popleft()
        self.rate = self._rates[0][1] if self._rates else 0.0

    def _end_round(self, *, has_more: bool) -> None:
        self._round += 1
        self._round_ends_at = self._delivered
        if self.phase is not Phase.STARTUP or not has_more:
            return
        if self.rate >= _GROWTH * self._full_rate:
            self._full_rate, self._rounds_without_growth = self.rate, 0
            return
        self._rounds_without_growth += 1
        if self._rounds_without_growth >= _ROUNDS_WITHOUT_GROWTH:
            self.phase, self._gain = Phase.DRAIN, 1 / _STARTUP_GAIN

    @property
    def _product(self) -> float:
        """Bytes that fill the path and no queue."""
        return self.rate * self.shortest_rtt if self.rate else 0.0

    def _advance(self, in_flight: int, now: float) -> None:
        if self.phase is Phase.DRAIN and in_flight <= self._product:
            self._cruise(now)
        elif self.phase is Phase.CRUISE and now >= self._phase_until:
            self._cycle = (self._cycle + 1) % len(_CYCLE)
            self._gain = _CYCLE[self._cycle]
            self._phase_until = now + self.shortest_rtt
        elif self.phase is Phase.PROBE_RTT:
            if now >= self._phase_until:
                self._rtt_seen_at = now
                self._cruise(now)
        elif now - self._rtt_seen_at > _RTT_LIFETIME:
            self.phase, self._gain = Phase.PROBE_RTT, 1.0
            self._phase_until = now + _RTT_PROBE_TIME + self.shortest_rtt

    def _cruise(self, now: float) -> None:
        self.phase, self._cycle = Phase.CRUISE, 2
        self._gain = _CYCLE[self._cycle]
        self._phase_until = now + self.shortest_rtt

    def _set_window(self) -> None:
        smallest = MINIMUM_PACKETS * self.packet_size
        if self.phase is Phase.PROBE_RTT:
            self.window = smallest
            return
        first = INITIAL_PACKETS * self.packet_size
        gain = _STARTUP_GAIN if self.phase is Phase.STARTUP else _WINDOW_GAIN
        target = gain * self._product
        self.window = int(
            min(MAXIMUM_WINDOW, max(target, first if self.phase is Phase.STARTUP else smallest))
        )

    def lost(self, in_flight: int, now: float) -> None:
        """Says nothing of the path's rate."""

    def idled(self, timeouts: int) -> None:
        """The estimates have lifetimes of their own, and packets leave at their rate, not a window at once."""

    def timed_out(self, now: float) -> None:  # noqa: ARG002
        # The path may be another one now: go gently until something arrives, which brings the window back.
        self.window = MINIMUM_PACKETS * self.packet_size

    def pacing_rate(self, smoothed_rtt: float | None) -> float:
        """Bytes per second."""
        if self.rate:
            return self._gain * self.rate
        return _STARTUP_GAIN * self.window / (smoothed_rtt or _INITIAL_RTT)
