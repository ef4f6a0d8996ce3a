import random

import pytest

from tests.links import Pair, Path
from webrtc_transport.protocol.sctp.packet import PacketWriter
from webrtc_transport.protocol.sctp.path_mtu import (
    BLACK_HOLE_PAUSE,
    MAX_PROBES,
    PROBE_TIMEOUT,
    RAISE_INTERVAL,
    STEPS,
    PathMtu,
)
from webrtc_transport.protocol.sctp.settings import AssociationSettings


@pytest.fixture
def path():
    return PathMtu(1160, 1432, random.Random(1).randbytes)


def chunks_at(path, now, *, timeout=0.4, is_stalled=False):
    return path.handle_timer(now, timeout, is_stalled=is_stalled)


def probe(path, now):
    """The size of the packet that is sent, and what its answer would say."""
    chunks = chunks_at(path, now)
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
        assert chunks_at(path, number * PROBE_TIMEOUT) == []
    now = MAX_PROBES * PROBE_TIMEOUT
    assert chunks_at(path, now) == []
    assert path.size == STEPS[0]
    assert path.timer == now + RAISE_INTERVAL
    assert probe(path, path.timer)[0] == STEPS[1]


def test_a_black_hole(path):
    assert not path.narrowed(0.0)
    path.begin(0.0)
    path.answered(probe(path, 0.0)[1], 0.0)
    assert path.narrowed(1.0)
    assert path.size == 1160
    assert path.timer == 1.0 + BLACK_HOLE_PAUSE
    assert path.answered(probe(path, path.timer)[1], 3.0)
    # Where data vanishes again, though probes get through, there is no point in trying for ever.
    assert path.narrowed(4.0)
    assert path.timer == 4.0 + RAISE_INTERVAL


def test_while_nothing_gets_through_a_lost_probe_says_nothing(path):
    path.begin(0.0)
    for number in range(2 * MAX_PROBES):
        assert chunks_at(path, number * PROBE_TIMEOUT, is_stalled=True)
    for _ in range(MAX_PROBES):
        assert chunks_at(path, path.timer)
    assert chunks_at(path, path.timer) == []


def test_a_probe_is_waited_for_as_long_as_anything_else(path):
    path.begin(0.0)
    assert chunks_at(path, 0.0, timeout=7.0)
    assert path.timer == 7.0


def test_the_interface_refuses_a_probe(path):
    path.begin(0.0)
    answer = probe(path, 0.0)[1]
    path.refused(0.0)
    assert path.timer == RAISE_INTERVAL
    assert not path.answered(answer, 0.0)


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
    assert chunks_at(path, now) == []
    assert path.answered(answers[late], now + 1)
    assert path.size == STEPS[0]
    assert not any(path.answered(answer, now + 1) for answer in answers)
    assert probe(path, now + 1)[0] == STEPS[1]


def test_an_answer_from_before_a_black_hole_does_not_count(path):
    path.begin(0.0)
    path.answered(probe(path, 0.0)[1], 0.0)
    answer = probe(path, 0.0)[1]
    path.narrowed(1.0)
    assert not path.answered(answer, 1.0)


@pytest.mark.parametrize("delay", [0.2, 0.6, 1.2, 1.6, 2.5])
def test_a_long_path(delay):
    pair = Pair(Path(delay=delay), Path(delay=delay)).connect()
    pair.send(pair.a, 1, [bytes(16384)] * 100, limit=400.0)
    pair.run_for(60.0)
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


def mtu(end):
    return end.association._transmitter.path_mtu.size


@pytest.fixture
def wide():
    """A pair that has found a path of 1432 bytes."""
    pair = Pair().connect()
    pair.send(pair.a, 1, [bytes(16384)] * 200)
    assert mtu(pair.a) == 1432
    return pair


def test_a_path_that_becomes_narrower(wide):
    """What was cut for the wider path arrives in fragments of IP; then the search finds what is left."""
    wide.a.path.max_size = 1300
    begin = wide.now
    wide.send(wide.a, 1, [bytes(16384)] * 20)
    assert wide.now - begin < 3.0
    wide.send(wide.a, 1, [bytes(16384)] * 400)
    assert mtu(wide.a) == 1240
    assert not wide.a.association._transmitter.oversized


def test_only_large_packets_are_lost_and_small_ones_go_on(wide):
    """The acknowledgements of the small ones keep every timer from running out."""
    wide.a.path.max_size = 1200
    wide.a.association.send(1, 53, bytes(1400))
    for number in range(200):
        wide.a.association.send(2, 53, b"%d" % number)
        wide.run_for(0.02)
    assert len(wide.b.received[1]) == 201
    assert wide.b.received[2] == [b"%d" % number for number in range(200)]
    assert mtu(wide.a) == 1160


def test_bundles_for_a_wider_path_are_taken_apart(wide):
    """Whatever they leave with: acknowledgements, in this test, of what the other end sends."""
    sizes = []
    wide.a.path.max_size = 1200
    wide.observe = lambda end, packet: (
        sizes.append(len(packet)) if end is wide.a and mtu(end) == 1160 else None
    )
    for _ in range(400):
        wide.a.association.send(2, 53, bytes(87))
        wide.a.association.send(3, 53, bytes(611))
    for _ in range(300):
        wide.b.association.send(4, 53, bytes(500))
        wide.run_for(0.01)
    wide.run(lambda: len(wide.b.received[3]) == 400)
    assert mtu(wide.a) == 1160
    data = [size for size in sizes if size not in STEPS]
    assert len(data) > 300
    assert max(data) <= 1160
    assert not wide.a.association._transmitter.oversized


def test_where_fragments_of_ip_are_lost_the_association_ends_by_name(wide):
    wide.a.path.drops = lambda packet, number: len(packet) > 1200
    wide.a.association.send(1, 53, bytes(16384))
    wide.run_for(90.0)
    assert wide.a.ended.reason == "the peer does not acknowledge any more"


def test_losses_that_hit_all_sizes_alike_say_nothing(wide):
    wide.a.path.loss = 0.2
    wide.send(wide.a, 1, [bytes(3000)] * 300)
    assert mtu(wide.a) == 1432


@pytest.mark.parametrize("duration", [2.0, 8.0])
def test_after_a_blackout_the_size_is_found_again(wide, duration):
    for end in wide.ends:
        end.path.blackouts.append((wide.now, wide.now + duration))
    wide.send(wide.a, 1, [bytes(16384)] * 20)
    wide.run_for(2.0)
    wide.send(wide.a, 1, [bytes(16384)] * 200)
    assert mtu(wide.a) == 1432


class TestRefused:
    """The interface itself takes no packets that large (EMSGSIZE)."""

    def test_a_probe(self):
        pair = Pair().connect()
        pair.a.association.send(1, 53, bytes(300_000))
        pair.run(lambda: pair.a.association._transmitter.path_mtu.timer is not None)
        pair.a.association.handle_timer(pair.now)
        sizes = [len(packet) for packet in pair.a.association.transmit(pair.now)]
        assert max(sizes) == 1240
        pair.a.association.refused(max(sizes), pair.now)
        assert pair.a.association._transmitter.path_mtu.timer == pair.now + RAISE_INTERVAL

    def test_data(self, wide):
        wide.a.association.send(1, 53, bytes(16384))
        packets = wide.a.association.transmit(wide.now)
        wide.a.association.refused(max(map(len, packets)), wide.now)
        assert mtu(wide.a) == 1160
        # None of them has left. As soon as that is known they follow in fragments, and new ones fit.
        wide.a.path.max_size = 1200
        begin = wide.now
        wide.run(lambda: len(wide.b.received[1]) == 201)
        assert wide.now - begin < 0.5
