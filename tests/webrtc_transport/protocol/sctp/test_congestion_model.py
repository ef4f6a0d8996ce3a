import pytest

from tests.links import Pair, Path
from webrtc_transport.protocol.sctp.congestion import MINIMUM_PACKETS, Cubic
from webrtc_transport.protocol.sctp.congestion_model import Model, Phase
from webrtc_transport.protocol.sctp.settings import AssociationSettings


def transfer(congestion, *, loss, rate=12_500_000, delay=0.025, count=400, queue=256 * 1024):
    """Seconds that messages of 16 KiB take over a link."""
    settings = AssociationSettings(congestion=congestion, window=4 * 1024 * 1024)
    pair = Pair(
        Path(delay=delay, loss=loss, rate=rate, queue=queue), Path(delay=delay), settings=(settings, settings)
    )
    pair.connect()
    begin = pair.now
    pair.send(pair.a, 1, [bytes(16384)] * count)
    return pair.now - begin, pair


class TestModel:
    def test_random_loss_does_not_slow_it_down(self):
        slow, _ = transfer(Cubic, loss=0.02)
        fast, _ = transfer(Model, loss=0.02)
        assert slow > 8 * fast
        assert 400 * 16384 / fast > 5e6

    def test_it_finds_the_rate_and_the_round_trip(self):
        _, pair = transfer(Model, loss=0.0, rate=1e6, count=300)
        model = pair.a.association._sender.congestion
        # Payload is less than what the link carries.
        assert 0.9e6 < model.rate < 1.05e6
        assert model.shortest_rtt == pytest.approx(0.05, rel=0.1)
        assert model.phase is not Phase.STARTUP

    def test_it_leaves_the_queue_short(self):
        _, pair = transfer(Model, loss=0.0, rate=1e6, count=300, queue=10**9)
        assert pair.a.association.smoothed_rtt < 0.15

    def test_it_looks_for_a_shorter_round_trip_now_and_then(self):
        settings = AssociationSettings(congestion=Model)
        pair = Pair(Path(rate=3e5), settings=(settings, settings)).connect()
        phases = set()
        pair.observe = lambda end, packet: phases.add(pair.a.association._sender.congestion.phase)
        pair.send(pair.a, 1, [bytes(16384)] * 400)
        assert phases == set(Phase)

    def test_a_rate_that_falls_is_followed(self):
        settings = AssociationSettings(congestion=Model)
        pair = Pair(Path(rate=4e6, delay=0.02), Path(delay=0.02), settings=(settings, settings)).connect()
        pair.send(pair.a, 1, [bytes(16384)] * 300)
        pair.a.path.rate = 4e5
        pair.send(pair.a, 1, [bytes(16384)] * 300)
        assert pair.a.association._sender.congestion.rate < 8e5
        assert pair.now < 20.0

    def test_a_timeout(self):
        model = Model(1000)
        model.timed_out(0.0)
        assert model.window == MINIMUM_PACKETS * 1000
        model.acknowledged(
            1000, 0.05, 0, 0.1, sent_at=0.05, is_limited=True, is_recovering=False, has_more=True
        )
        assert model.window >= MINIMUM_PACKETS * 1000


def test_a_pause_leaves_the_estimates_as_they_are():
    model = Model(1000)
    model.window = 100_000
    model.idled(5)
    assert model.window == 100_000
