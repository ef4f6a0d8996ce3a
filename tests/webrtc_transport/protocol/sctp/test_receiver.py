import struct

import pytest

from webrtc_transport.protocol.sctp.packet import ChunkType, encode_chunk
from webrtc_transport.protocol.sctp.reassembly import FRAGMENT_COST, STREAM_COST, InboundStream
from webrtc_transport.protocol.sctp.receiver import (
    COST_LIMIT,
    FREE_OVERRUN,
    FREE_SHARE,
    MAX_DISTANCE,
    MAX_GAP_BLOCKS,
    MAX_RANGES,
    MAX_SKIPPED_STREAMS,
    MESSAGE_COST,
    OVERRUN,
    PATIENCE,
    SACK_DELAY,
    UPDATES,
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
        assert receiver.timer == 1.0 + SACK_DELAY
        give(receiver, 101, now=1.01)
        assert receiver.timer == 1.01

    def test_chunks_of_one_packet_are_one_packet(self, receiver):
        for tsn in (100, 101, 102):
            receiver.receive(tsn, 3, 1, tsn - 100, 53, b"x")
        receiver.end_packet(1.0)
        assert receiver.timer == 1.0 + SACK_DELAY

    @pytest.mark.parametrize("tsn", [102, 99])
    def test_gaps_and_duplicates_do_not(self, receiver, tsn):
        give(receiver, tsn, now=1.0)
        assert receiver.timer == 1.0

    def test_nor_what_is_marked_so(self, receiver):
        give(receiver, 100, now=1.0, flags=11)
        assert receiver.timer == 1.0

    def test_packets_without_data_are_not_acknowledged(self, receiver):
        assert not receiver.has_data
        assert receiver.timer is None


class TestWindow:
    def test_it_is_what_nobody_has_read(self, receiver):
        give(receiver, 100, 101, size=1000)
        assert receiver.window == WINDOW - 2000
        receiver.consume(1500, 0.0)
        assert receiver.window == WINDOW - 500

    def test_and_what_each_message_takes(self, receiver):
        give(receiver, *range(100, 160), size=100)
        assert receiver.window == WINDOW - 6000 - 60 * MESSAGE_COST
        receiver.consume(3000, 0.0)
        assert receiver.window == WINDOW - 3000 - 30 * MESSAGE_COST
        receiver.consume(3000, 0.0)
        assert receiver.window == WINDOW

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
        assert receiver.timer is None
        receiver.consume(900, 1.5)
        assert receiver.timer == 1.5
        assert sack(receiver)[1] >= WINDOW // UPDATES
        receiver.consume(1000, 2.0)
        assert receiver.timer is None

    @pytest.mark.parametrize("unread", [0, 2000, 4000, 6000, 8000])
    def test_whatever_another_stream_leaves_unread(self, receiver, unread):
        give(receiver, *range(100, 110), size=1000)
        receiver.consume(10_000 - 2000 - unread, 0.0)
        receiver.sack()
        receiver.consume(2000, 1.0)
        assert receiver.timer == 1.0

    def test_an_owner_that_reads_an_eighth_at_a_time_is_told_of_each(self):
        receiver = Receiver(100, 2**20, 2**18, 10)
        give(receiver, *range(100, 1000), size=1000)
        receiver.sack()
        for now in range(1, 7):
            receiver.consume(2**17, now)
            assert receiver.timer == now
            receiver.sack()

    @pytest.mark.parametrize("size", [1, 10, 100])
    def test_small_messages_count_what_they_take(self, size):
        receiver = Receiver(0, 100_000, 50_000, 10)

        def give_while(condition, begin):
            tsn = begin
            while tsn < 60_000 and condition():
                receiver.receive(tsn, 3, 1, tsn & 0xFFFF, 53, bytes(size))
                receiver.end_packet(0.0)
                tsn += 1
            return tsn

        count = give_while(lambda: receiver.window, 0)
        assert receiver.unread <= max(100_000 // FREE_SHARE, 100_000 * size // (size + MESSAGE_COST)) + size
        # A peer that heard of it too late, or doesn't mind.
        give_while(lambda: True, count)
        cost = receiver.unread // size * MESSAGE_COST
        assert cost <= max(COST_LIMIT * 100_000, 100_000 // FREE_SHARE // size * MESSAGE_COST) + MESSAGE_COST
        receiver.consume(receiver.unread, 0.0)
        assert receiver.window == 100_000

    @pytest.mark.parametrize("size", [1, 10, 100])
    def test_an_owner_that_returns_an_eighth_at_a_time_gets_as_much(self, size):
        receiver = Receiver(0, 100_000, 50_000, 10)
        tsn = 0
        while receiver.unread < 100_000 // 8:
            assert receiver.window
            receiver.receive(tsn, 3, 1, tsn & 0xFFFF, 53, bytes(size))
            tsn += 1

    def test_or_when_no_more_can_be_read(self, receiver):
        receiver = Receiver(100, WINDOW, 9000, 10)
        receiver.receive(100, 2, 1, 0, 53, bytes(8500))
        receiver.receive(101, 3, 2, 0, 53, bytes(1000))
        receiver.sack()
        receiver.consume(1000, 2.0)
        assert receiver.timer == 2.0


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


class TestForward:
    """A packet may have a hundred FORWARD TSN chunks: each visits only the streams that lose something."""

    @pytest.fixture
    def visited(self, monkeypatch):
        visited = []

        def abandon(stream, *arguments):
            visited.append(stream.stream_id)
            original(stream, *arguments)

        original = InboundStream.abandon
        monkeypatch.setattr(InboundStream, "abandon", abandon)
        return visited

    def test_streams_without_fragments_are_not_visited(self, visited):
        receiver = Receiver(0, 10**6, 5000, 1000)
        receiver.forward(0, dict.fromkeys(range(1000), 0), 0.0)
        visited.clear()
        receiver.receive(1, 2, 7, 1, 53, b"of the past")
        receiver.receive(2, 3, 8, 1, 53, b"whole")
        receiver.forward(3, {5: 1}, 0.0)
        assert sorted(visited) == [5, 7]
        assert receiver._held == 0
        receiver.forward(4, {}, 0.0)
        assert sorted(visited) == [5, 7]

    def test_nor_those_whose_fragments_are_later(self, visited):
        receiver = Receiver(0, 10**6, 5000, 1000)
        for number in range(400):
            receiver.receive(100 + number, 6, number, 0, 53, b"u")
        for tsn in range(99):
            receiver.forward(tsn, {}, 0.0)
        assert visited == []
        receiver.forward(299, {}, 0.0)
        assert sorted(visited) == list(range(200))
        receiver.receive(500, 5, 399, 0, 53, b"v")
        assert [message.data for message in receiver.messages] == [b"uv"]
        receiver.forward(501, {}, 0.0)
        assert receiver._held == 0

    def test_what_was_early_is_found_after_its_gap_was_closed(self, visited):
        receiver = Receiver(0, 10**6, 5000, 10)
        receiver.receive(1, 6, 1, 0, 53, b"u")
        receiver.receive(0, 3, 2, 0, 53, b"x")
        receiver.receive(3, 6, 3, 0, 53, b"u")
        assert len(receiver._early) == 1
        receiver.forward(2, {}, 0.0)
        assert visited == [1]
        assert receiver.window == 10**6 - 1 - FRAGMENT_COST - STREAM_COST - 1

    def test_many_streams_that_never_were_are_not_begun(self):
        receiver = Receiver(0, 10**6, 5000, 65535)
        receiver.receive(0, 3, 60000, 0, 53, b"x")
        receiver.forward(1, dict.fromkeys(range(65535), 0), 0.0)
        assert len(receiver._streams) == MAX_SKIPPED_STREAMS
        # Those that are known go on.
        receiver.receive(2, 3, 60000, 1, 53, b"y")
        assert [message.data for message in receiver.messages] == [b"x", b"y"]

    def test_of_one_stream_those_that_are_later_are_not_visited(self):
        class Runs(dict):
            def values(self):
                raise AssertionError("all are visited")

        receiver = Receiver(0, 10**6, 5000, 10)
        for tsn in range(2, 8000, 2):
            receiver.receive(tsn, 6, 1, 0, 53, b"u")
        pile = receiver._streams[1]._pile
        pile.runs = Runs(pile.runs)
        for tsn in range(1, 144):
            receiver.forward(tsn, {1: tsn}, 0.0)
        assert min(pile.fragments) == 144


class TestPacketsOfMessages:
    """Many small messages in a packet go another way than other chunks, and must come to the same."""

    def packet(self, *chunks):
        return b"".join(
            encode_chunk(ChunkType.DATA, struct.pack("!IHHI", tsn, stream_id, ssn, 53) + data, flags=flags)
            for tsn, stream_id, ssn, data, flags in chunks
        )

    def start(self, tsn=100, window=100_000):
        receiver = Receiver(tsn, window, 50_000, 8)
        for stream_id in range(3):
            receiver.receive((tsn + stream_id) & 0xFFFFFFFF, 3, stream_id, 0, 53, b"first")
        receiver.end_packet(0.0)
        receiver.consume(receiver.unread, 0.0)
        receiver.messages.clear()
        return receiver

    def test_all_that_are_next(self):
        receiver = self.start()
        packet = self.packet((103, 0, 1, b"a", 3), (104, 7, 0, b"bc", 3), (105, 0, 2, b"def", 3))
        assert receiver.receive_messages(packet, 0) == len(packet)
        assert [(m.stream_id, m.data) for m in receiver.messages] == [(0, b"a"), (7, b"bc"), (0, b"def")]
        assert receiver.cumulative_tsn == 105
        assert receiver.unread == 6
        assert receiver.has_data

    def test_over_the_end_of_the_tsns(self):
        receiver = self.start(2**32 - 4)
        packet = self.packet((2**32 - 1, 0, 1, b"a", 3), (0, 0, 2, b"b", 3))
        assert receiver.receive_messages(packet, 0) == len(packet)
        assert receiver.cumulative_tsn == 0

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param((104, 0, 2, b"x", 2), id="a fragment"),
            pytest.param((104, 0, 2, b"x", 7), id="unordered"),
            pytest.param((104, 0, 2, b"x", 11), id="to be acknowledged at once"),
            pytest.param((105, 0, 2, b"x", 3), id="a gap"),
            pytest.param((103, 0, 2, b"x", 3), id="a duplicate"),
            pytest.param((104, 0, 3, b"x", 3), id="a message too early"),
            pytest.param((104, 8, 0, b"x", 3), id="a stream that can't be"),
            pytest.param((104, 7, 1, b"x", 3), id="a new stream that begins too late"),
            pytest.param((104, 0, 2, b"", 3), id="an empty one"),
        ],
    )
    def test_up_to_what_is_not(self, other):
        receiver = self.start()
        first = self.packet((103, 0, 1, b"abcd", 3))
        assert receiver.receive_messages(first + self.packet(other) + bytes(4), 0) == len(first)
        assert receiver.cumulative_tsn == 103
        assert len(receiver.messages) == 1

    @pytest.mark.parametrize("length", [0, 15, 16, 100, 65535])
    def test_lengths_that_lie(self, length):
        receiver = self.start()
        packet = bytearray(self.packet((103, 0, 1, b"abcd", 3)))
        packet[2:4] = length.to_bytes(2)
        assert receiver.receive_messages(bytes(packet), 0) == 0
        assert receiver.messages == []

    def test_a_shut_window(self):
        receiver = self.start(window=100)
        packet = self.packet(*((103 + n, 0, 1 + n, bytes(40), 3) for n in range(4)))
        assert receiver.receive_messages(packet, 0) < len(packet)
        assert receiver.unread <= 100

    def test_nothing_while_something_is_missing(self):
        receiver = self.start()
        receiver.receive(105, 3, 1, 1, 53, b"early")
        assert receiver.receive_messages(self.packet((103, 0, 1, b"a", 3)), 0) == 0
