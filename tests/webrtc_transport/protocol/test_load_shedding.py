"""Floods that grow and shrink, and what is let through of them."""

from __future__ import annotations

import pytest

from webrtc_transport.protocol.limits import MAX_SHARES
from webrtc_transport.protocol.load_shedding import WINDOW, LoadShedder

RATE = 1000.0


class Flood:
    """What comes to a port in which a load shedder lets through as much as it says."""

    def __init__(self, *, known: float = 0.0) -> None:
        self.now, self.strangers = 0.0, 0
        self.shedder = LoadShedder(0, rate=RATE)
        self.share = None
        self.known = known

    def window(self, rate: float, *, late: float = 0.0):
        """A window with so many datagrams per second: which share is listened to in the next one."""
        passed = 1.0 if self.share is None else self.known + (1 - self.known) / self.share.count
        self.now += WINDOW + late
        self.strangers += round(rate * passed * (WINDOW + late))
        self.share = self.shedder.next_window(self.strangers, self.now)
        if self.share is not None:
            self.shedder.mistaken(self.known)
        return self.share


def test_without_a_flood_everybody_is_listened_to():
    flood = Flood()
    assert [flood.window(rate) for rate in (0, 10, RATE, 0)] == [None] * 4


@pytest.mark.parametrize("known", [0.0, 0.2])
def test_there_are_as_many_shares_as_the_flood_is_times_too_large(known):
    flood = Flood(known=known)
    assert {flood.window(3.5 * RATE).count for _ in range(20)} == {4}


def test_each_share_has_its_turn():
    flood = Flood()
    turns = [flood.window(7.5 * RATE).index for _ in range(80)]
    assert all(set(turns[start : start + 8]) == set(range(8)) for start in range(0, 80, 8))
    assert len({tuple(turns[start : start + 8]) for start in range(0, 80, 8)}) > 1


def test_a_flood_that_grows_and_ends():
    flood = Flood()
    counts = [flood.window(rate * RATE).count for rate in (1.8, 1.8, 19.5, 19.5, 19.5, 2.8, 2.8)]
    assert counts == [2, 2, 20, 20, 20, 3, 3]
    assert flood.window(0) is None
    assert flood.window(1.8 * RATE).count == 2


def test_a_newcomer_is_heard_however_large_the_flood_is():
    flood = Flood()
    turns = {flood.window(1e6 * RATE) for _ in range(MAX_SHARES)}
    assert len(turns) == MAX_SHARES == next(iter(turns)).count


def test_a_window_that_ends_late_isn_t_taken_for_a_flood():
    flood = Flood()
    assert flood.window(0.9 * RATE, late=3.0) is None
    # Nor is what came in no time: a turn of the loop that was late, and two windows at once.
    assert flood.shedder.next_window(flood.strangers + int(RATE * WINDOW), flood.now) is None
