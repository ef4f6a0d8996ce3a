import random

import pytest

from webrtc_transport.protocol.sctp.congestion import INITIAL_PACKETS, MINIMUM_PACKETS, Cubic, NewReno

SIZE = 1000


def acknowledge(control, size, now=0.0, *, rtt=0.05, is_limited=True, is_recovering=False, has_more=True):
    control.acknowledged(
        size,
        rtt,
        0,
        now,
        sent_at=now - 0.05,
        is_limited=is_limited,
        is_recovering=is_recovering,
        has_more=has_more,
    )


@pytest.mark.parametrize("make", [NewReno, Cubic])
class TestWindows:
    def test_slow_start_doubles_per_round_trip(self, make):
        control = make(SIZE)
        assert control.window == INITIAL_PACKETS * SIZE
        acknowledge(control, control.window)
        assert control.window == 2 * INITIAL_PACKETS * SIZE

    def test_a_window_that_is_not_used_does_not_grow(self, make):
        control = make(SIZE)
        acknowledge(control, control.window, is_limited=False)
        acknowledge(control, control.window, is_recovering=True)
        assert control.window == INITIAL_PACKETS * SIZE

    def test_losses_shrink_it_to_a_floor(self, make):
        control = make(SIZE)
        control.lost(0, 0.0)
        assert control.window in (5 * SIZE, 7 * SIZE)
        for _ in range(20):
            control.lost(0, 0.0)
        assert control.window == MINIMUM_PACKETS * SIZE

    def test_a_timeout_leaves_one_packet(self, make):
        control = make(SIZE)
        control.timed_out(0.0)
        assert control.window == SIZE

    def test_it_grows_again_beyond_where_it_was(self, make):
        control = make(SIZE)
        control.lost(0, 0.0)
        now = 0.0
        for _ in range(200):
            now += 0.05
            acknowledge(control, control.window, now)
        assert control.window > 12 * SIZE

    def test_a_pause_halves_it_for_each_timeout_and_it_grows_fast_from_there(self, make):
        control = make(SIZE)
        acknowledge(control, 150 * SIZE)
        control.lost(0, 0.0)
        before = control.window
        control.idled(1)
        assert control.window == before // 2
        control.idled(10**9)
        assert control.window == INITIAL_PACKETS * SIZE
        acknowledge(control, control.window)
        assert control.window == 2 * INITIAL_PACKETS * SIZE
        acknowledge(control, 2 * before)
        assert control.window > before

    def test_a_pause_does_not_raise_it(self, make):
        control = make(SIZE)
        control.timed_out(0.0)
        control.idled(5)
        assert control.window == SIZE

    def test_pace_is_twice_the_window_per_round_trip(self, make):
        control = make(SIZE)
        assert control.pacing_rate(0.1) == pytest.approx(2 * control.window / 0.1)
        assert control.pacing_rate(None) > 1e9


def test_cubic_is_no_slower_than_reno_on_short_paths():
    windows = []
    for control in (NewReno(SIZE), Cubic(SIZE)):
        rng = random.Random(1)
        now, total = 0.0, 0
        for _ in range(3000):
            now += 0.05
            total += control.window
            if rng.random() < 1 - 0.99 ** (control.window / SIZE):
                control.lost(0, now)
            else:
                acknowledge(control, control.window, now)
        windows.append(total)
    assert windows[1] > 0.95 * windows[0]


def test_cubic_finds_a_large_window_again_within_seconds():
    control = Cubic(SIZE)
    control.window = 1000 * SIZE
    control.lost(0, 0.0)
    now = 0.0
    while control.window < 990 * SIZE:
        now += 0.05
        acknowledge(control, control.window, now)
    assert now < (300 / 0.4) ** (1 / 3) + 1.0
