import struct

import pytest

from webrtc_transport.protocol.sctp.receiver import (
    FREE_OVERRUN,
    MAX_DISTANCE,
    MAX_GAP_BLOCKS,
    MAX_RANGES,
    OVERRUN,
    PATIENCE,
    SACK_DELAY,
    Receiver,
)

WINDOW = 10_000


@pytest.fixture
def receiver():
    return Receiver(100, WINDOW, 5000, 10)


def give(receiver, *tsns, now=0.0, size=10, flags=3):
    for tsn in tsns:
        receiver.receive(tsn & 0xFFFFFFFF, flags, 1, (tsn - 100) & 0xFFFF, 53, bytes(size))
        receiver.end_packet(now)


def sack(receiver):
    value = receiver.sack()
    _, _, length, cumulative, window, gaps, duplicates = struct.unpack_from("!BBHIIHH", value)
    assert length == len(value) == 16 + 4 * (gaps + duplicates)
    blocks = list(struct.iter_unpack("!HH", value[16 : 16 + 4 * gaps]))
    return cumulative, window, blocks, [tsn for (tsn,) in struct.iter_unpack("!I", value[16 + 4 * gaps :])]


def test_the_size_of_a_sack_is_known_before(receiver):
    for tsns in ([], [102], [104], [102], [100]):
        give(receiver, *tsns)
        assert receiver.sack_size == len(receiver.sack())


def test_gaps_and_duplicates_are_reported(receiver):
    give(receiver, 100, 102, 103, 105, 103, 100)
    assert sack(receiver)[2:] == ([(2, 3), (5, 5)], [103, 100])
    give(receiver, 101)
    assert sack(receiver)[::2] == (103, [(2, 2)])
    give(receiver, 104)
    assert sack(receiver)[0] == 105


def test_tsns_wrap_around():
    receiver = Receiver(0xFFFFFFFE, WINDOW, 5000, 10)
    for tsn, ssn in ((0, 2), (0xFFFFFFFE, 0), (0xFFFFFFFF, 1)):
        receiver.receive(tsn, 3, 1, ssn, 53, b"x")
    assert receiver.cumulative_tsn == 0
    assert receiver.has_all_until(0)
    assert receiver.has_all_until(0xFFFFFFFF)
    assert not receiver.has_all_until(1)


class TestWhenToAcknowledge:
    def test_a_lone_packet_waits(self, receiver):
        give(receiver, 100, now=1.0)
        assert receiver.sack_at == 1.0 + SACK_DELAY
        give(receiver, 101, now=1.01)
        assert receiver.sack_at == 1.01

    def test_chunks_of_one_packet_are_one_packet(self, receiver):
        for tsn in (100, 101, 102):
            receiver.receive(tsn, 3, 1, tsn - 100, 53, b"x")
        receiver.end_packet(1.0)
        assert receiver.sack_at == 1.0 + SACK_DELAY

    @pytest.mark.parametrize("tsn", [102, 99])
    def test_gaps_and_duplicates_do_not(self, receiver, tsn):
        give(receiver, tsn, now=1.0)
        assert receiver.sack_at == 1.0

    def test_nor_what_is_marked_so(self, receiver):
        give(receiver, 100, now=1.0, flags=11)
        assert receiver.sack_at == 1.0

    def test_packets_without_data_are_not_acknowledged(self, receiver):
        assert not receiver.end_packet(1.0)
        assert receiver.sack_at is None


class TestWindow:
    def test_it_is_what_nobody_has_read(self, receiver):
        give(receiver, 100, 101, size=1000)
        assert receiver.window == WINDOW - 2000
        receiver.consume(1500, 0.0)
        assert receiver.window == WINDOW - 500

    def test_it_never_becomes_negative(self, receiver):
        give(receiver, *range(100, 115), size=1000)
        assert receiver.window == 0

    def test_what_exceeds_it_too_far_is_dropped(self, receiver):
        give(receiver, *range(100, 200), size=1000)
        assert receiver.unread == (WINDOW + FREE_OVERRUN) // 1000 * 1000
        assert sack(receiver)[0] == 100 + (WINDOW + FREE_OVERRUN) // 1000 - 1

    def test_a_sender_that_tries_for_long_gets_a_chunk_through(self, receiver):
        give(receiver, *range(100, 200), size=1000)
        taken = receiver.unread
        last = sack(receiver)[0]
        for _ in range(PATIENCE):
            assert receiver.unread == taken
            give(receiver, last + 1, size=1000)
            assert sack(receiver)[1] == 0
        assert receiver.unread == taken + 1000
        give(receiver, last + 2, size=1000)
        assert receiver.unread == taken + 1000

    def test_but_no_more_than_the_bound(self, receiver):
        for _ in range(PATIENCE + 1):
            for tsn in range(100, 200):
                give(receiver, *[tsn] * (PATIENCE + 1), size=1000)
        assert receiver.unread == (WINDOW + OVERRUN) // 1000 * 1000

    def test_what_closes_a_gap_is_taken_even_so(self, receiver):
        give(receiver, *range(101, 200), size=1000)
        assert 101 + len(receiver._streams[1]._pile.messages) < 200
        give(receiver, 100, size=1000)
        assert receiver.cumulative_tsn > 120

    def test_its_opening_is_told_of_when_it_is_worth_a_packet(self, receiver):
        give(receiver, *range(100, 110), size=1000)
        receiver.sack()
        receiver.consume(1000, 1.0)
        assert receiver.sack_at is None
        receiver.consume(4000, 2.0)
        assert receiver.sack_at == 2.0

    def test_or_when_no_more_can_be_read(self, receiver):
        receiver = Receiver(100, WINDOW, 9000, 10)
        receiver.receive(100, 2, 1, 0, 53, bytes(6000))
        receiver.receive(101, 3, 2, 0, 53, bytes(3000))
        receiver.sack()
        receiver.consume(3000, 2.0)
        assert receiver.sack_at == 2.0


class TestBounds:
    def test_ranges(self, receiver):
        receiver = Receiver(0, 10**9, 5000, 10)
        for tsn in range(1, 20_000, 2):
            receiver.receive(tsn, 7, 1, 0, 53, b"x")
        assert len(receiver._ranges) == MAX_RANGES
        assert len(sack(receiver)[2]) == MAX_GAP_BLOCKS

    def test_distance(self, receiver):
        give(receiver, 100 + MAX_DISTANCE, 100 + MAX_DISTANCE - 1)
        assert sack(receiver)[2] == [(MAX_DISTANCE, MAX_DISTANCE)]

    def test_duplicates(self, receiver):
        give(receiver, *[99] * 1000)
        assert len(sack(receiver)[3]) == 64

    def test_streams(self, receiver):
        receiver.receive(100, 3, 10, 0, 53, b"x")
        assert receiver.invalid_stream == 10
        assert receiver.messages == []
        assert receiver.cumulative_tsn == 100


def test_a_stream_that_is_reset_takes_what_it_holds_along(receiver):
    give(receiver, 101, size=1000)
    receiver.reset_stream(1)
    assert receiver.window == WINDOW
    receiver.receive(100, 3, 1, 0, 53, b"new")
    assert [message.data for message in receiver.messages] == [b"new"]


def test_forward_tsn_keeps_unordered_fragments_that_follow(receiver):
    receiver.receive(101, 6, 1, 0, 53, b"be")
    receiver.forward(100, {}, 0.0)
    assert receiver.cumulative_tsn == 101
    receiver.receive(102, 5, 1, 0, 53, b"gin")
    assert [message.data for message in receiver.messages] == [b"begin"]
