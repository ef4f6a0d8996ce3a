import pytest

from webrtc_signaling.server.statistics import LATENCY_BOUNDS, Histogram, Statistics


def test_values_are_counted_up_to_their_bound():
    histogram = Histogram((1.0, 2.0))
    for value in (0.5, 1.0, 1.5, 2.0, 2.5, 99.0):
        histogram.observe(value)
    assert histogram.counts == [2, 2, 2]
    assert histogram.total == pytest.approx(106.5)


def test_the_bounds_rise():
    assert list(LATENCY_BOUNDS) == sorted(set(LATENCY_BOUNDS))


def test_open_connections_are_those_that_began_and_did_not_end():
    statistics = Statistics()
    statistics.opened["websocket"] += 3
    statistics.closed["websocket"] += 1
    assert statistics.connections() == {"websocket": 2, "long-poll": 0}
