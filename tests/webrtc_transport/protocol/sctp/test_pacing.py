import pytest

from tests.links import Pair, Path
from webrtc_transport.protocol.sctp.pacing import QUANTUM_PACKETS, QUANTUM_TIME, Pacer


def test_the_first_packets_leave_at_once():
    assert Pacer(1000).tokens == QUANTUM_PACKETS * 1000


def test_what_leaves_follows_the_rate():
    pacer, now, sent = Pacer(1000), 0.0, 0
    while now < 10.0:
        pacer.refill(1e5, now)
        while pacer.tokens > 0:
            pacer.tokens -= 1000
            sent += 1000
        now += pacer.delay(1e5)
    assert sent == pytest.approx(1e6, rel=0.02)


def test_high_rates_are_not_slowed_down_by_late_wake_ups():
    pacer = Pacer(1000)
    pacer.refill(1e9, 1.0)
    assert pacer.tokens == 1e9 * QUANTUM_TIME


def test_time_that_stands_still():
    pacer = Pacer(1000)
    pacer.tokens = 0.0
    pacer.refill(1e6, 0.0)
    assert pacer.tokens == 0.0
    assert pacer.delay(1e6) == pytest.approx(0.005)


def test_a_window_is_spread_over_the_round_trip():
    pair = Pair(Path(delay=0.05), Path(delay=0.05)).connect()
    pair.send(pair.a, 1, [bytes(16384)] * 40)
    bursts = {}

    def observe(end, packet):
        if end is pair.a:
            bursts[pair.now] = bursts.get(pair.now, 0) + 1

    pair.observe = observe
    pair.send(pair.a, 1, [bytes(16384)] * 40)
    congestion = pair.a.association._sender.congestion
    quantum = congestion.pacing_rate(0.1) * QUANTUM_TIME / congestion.packet_size
    assert max(bursts.values()) <= max(QUANTUM_PACKETS, quantum) + 3
