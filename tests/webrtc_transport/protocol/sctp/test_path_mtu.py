import random

import pytest

from tests.links import Pair, Path
from webrtc_transport.protocol.sctp.packet import PacketWriter
from webrtc_transport.protocol.sctp.path_mtu import MAX_PROBES, PROBE_TIMEOUT, RAISE_INTERVAL, STEPS, PathMtu
from webrtc_transport.protocol.sctp.settings import AssociationSettings


@pytest.fixture
def path():
    return PathMtu(1160, 1432, random.Random(1).randbytes)


def probe(path, now):
    """The size of the packet that is sent, and what its answer would say."""
    chunks = path.handle_timer(now)
    return len(PacketWriter(1, 1, 1).build(chunks)), chunks[0][4:]


def test_nothing_is_tried_before_it_is_worth_it(path):
    assert path.timer is None
    path.begin(5.0)
    assert path.timer == 5.0


def test_sizes_grow_while_they_get_through(path):
    path.begin(0.0)
    for expected in STEPS:
        size, answer = probe(path, 0.0)
        assert size == expected
        assert path.answered(answer, 0.0)
        assert path.size == expected
    assert path.timer is None


def test_one_that_fails_ends_the_search_for_a_while(path):
    path.begin(0.0)
    path.answered(probe(path, 0.0)[1], 0.0)
    for number in range(MAX_PROBES):
        assert probe(path, number * PROBE_TIMEOUT)[0] == STEPS[1]
        assert path.handle_timer(number * PROBE_TIMEOUT) == []
    now = MAX_PROBES * PROBE_TIMEOUT
    assert path.handle_timer(now) == []
    assert path.size == STEPS[0]
    assert path.timer == now + RAISE_INTERVAL
    assert probe(path, path.timer)[0] == STEPS[1]


def test_a_black_hole(path):
    assert not path.suspect(0.0)
    path.begin(0.0)
    path.answered(probe(path, 0.0)[1], 0.0)
    assert path.suspect(1.0)
    assert path.size == 1160
    assert path.timer == 1.0 + RAISE_INTERVAL


def test_other_answers_mean_nothing(path):
    path.begin(0.0)
    assert not path.answered(b"", 0.0)
    probe(path, 0.0)
    assert not path.answered(b"\0\1\0\14" + bytes(8), PROBE_TIMEOUT)
    assert path.size == 1160


@pytest.mark.parametrize("late", [0, 1, 2])
def test_a_late_answer_counts_once_and_as_long_as_nothing_else_is_tried(path, late):
    path.begin(0.0)
    answers = [probe(path, number * PROBE_TIMEOUT)[1] for number in range(MAX_PROBES)]
    now = MAX_PROBES * PROBE_TIMEOUT
    assert path.handle_timer(now) == []
    assert path.answered(answers[late], now + 1)
    assert path.size == STEPS[0]
    assert not any(path.answered(answer, now + 1) for answer in answers)
    assert probe(path, now + 1)[0] == STEPS[1]


def test_an_answer_from_before_a_black_hole_does_not_count(path):
    path.begin(0.0)
    path.answered(probe(path, 0.0)[1], 0.0)
    answer = probe(path, 0.0)[1]
    path.suspect(1.0)
    assert not path.answered(answer, 1.0)


@pytest.mark.parametrize("delay", [0.2, 0.6, 1.2])
def test_a_long_path(delay):
    pair = Pair(Path(delay=delay), Path(delay=delay)).connect()
    pair.send(pair.a, 1, [bytes(16384)] * 100)
    pair.run_for(30.0)
    assert pair.a.association._transmitter.path_mtu.size == 1432


def test_nothing_to_be_tried():
    path = PathMtu(1160, 1160, random.Random(1).randbytes)
    path.begin(0.0)
    assert path.timer is None


@pytest.mark.parametrize(("limit", "expected"), [(1160, 1160), (1300, 1240), (1412, 1412), (9000, 1432)])
def test_a_transfer_finds_what_the_path_carries(limit, expected):
    pair = Pair(Path(max_size=limit)).connect()
    pair.send(pair.a, 1, [bytes(16384)] * 200)
    pair.run_for(5.0)
    assert pair.a.association._transmitter.path_mtu.size == expected


def test_larger_ones_only_if_a_setting_allows():
    settings = AssociationSettings(max_packet_size=8000)
    pair = Pair(settings=(settings, settings)).connect()
    sizes = []
    pair.observe = lambda end, packet: sizes.append(len(packet))
    pair.send(pair.a, 1, [bytes(16384)] * 200)
    assert 7500 < max(sizes) <= 8000


def test_a_path_that_becomes_narrower_for_a_while():
    pair = Pair().connect()
    pair.send(pair.a, 1, [bytes(16384)] * 200)
    assert pair.a.association._transmitter.path_mtu.size == 1432
    pair.a.path.max_size = 1200
    pair.a.association.send(1, 53, bytes(16384))
    pair.run_for(4.0)
    assert pair.a.association._transmitter.path_mtu.size == 1160
    pair.a.path.max_size = 65536
    pair.run(lambda: len(pair.b.received[1]) == 201)
    sizes = []
    pair.observe = lambda end, packet: sizes.append(len(packet))
    pair.send(pair.a, 1, [bytes(16384)] * 20)
    assert max(sizes) <= 1160
