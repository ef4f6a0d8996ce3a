import struct

import pytest

from webrtc_transport.protocol.sctp.congestion import NewReno
from webrtc_transport.protocol.sctp.flight import REORDERING
from webrtc_transport.protocol.sctp.packet import DATA_HEADER, split_chunks
from webrtc_transport.protocol.sctp.sender import MAX_TIMEOUTS, Sender

ROOM = 1148


@pytest.fixture
def sender():
    sender = Sender(100, NewReno(1160), 200_000)
    sender.peer_window = 1_000_000
    sender.congestion.window = 100_000
    return sender


def fill(sender, now=0.0, packets=1000):
    """The TSNs of each packet that is sent."""
    sent = []
    while len(sent) < packets and (chunks := sender.fill(ROOM, now, is_alone=True)):
        assert len(chunks) <= ROOM
        sent.append(tsns(chunks))
    return sent


def tsns(chunks):
    found = []
    while chunks:
        chunk, chunks = split_chunks(chunks, 0)
        found.append(DATA_HEADER.unpack_from(chunk)[3])
    return found


def sack(sender, cumulative, *gaps, now=0.0, window=1_000_000):
    value = struct.pack("!IIHH", cumulative & 0xFFFFFFFF, window, len(gaps), 0)
    value += b"".join(struct.pack("!HH", *gap) for gap in gaps)
    return sender.receive_sack(memoryview(value), now)


def put(sender, count, size=1132):
    for _ in range(count):
        sender.queue.put(1, 53, bytes(size))


class TestFlight:
    def test_it_is_what_is_under_way(self, sender):
        put(sender, 10)
        assert fill(sender) == [[tsn] for tsn in range(100, 110)]
        assert sender.flight_size == 10 * 1132
        sack(sender, 103, (2, 3))
        assert sender.flight_size == 4 * 1132
        assert sender.is_acknowledged_until(103)
        assert sender.is_acknowledged_until(0)
        assert not sender.is_acknowledged_until(104)
        sack(sender, 109)
        assert sender.flight_size == 0
        assert sender.is_idle
        assert sender.timer is None

    def test_what_is_kept_is_bounded_whatever_the_peer_says(self, sender):
        """It announces 4 GiB, and has everything in gap blocks but the first packet, for ever."""
        sender.congestion.window = 10**9
        put(sender, 1000)
        sack(sender, 99, window=2**32 - 1)
        sent = sum(map(len, fill(sender)))
        assert sent == 200_000 // 1132
        for _ in range(10):
            sack(sender, 99, (2, sent), window=2**32 - 1)
            assert fill(sender) == [] or sender.queue.size == (1000 - sent) * 1132
        assert sender._flight.kept == sent * 1132
        sack(sender, 99 + sent, window=2**32 - 1)
        assert sender._flight.kept == 0
        assert sum(map(len, fill(sender))) == sent

    def test_the_rest_of_a_bundle_goes_into_no_packet_in_which_it_has_no_room(self, sender):
        put(sender, 3, 1000)
        assert tsns(sender.fill(4000, 0.0, is_alone=True)) == [100, 101, 102]
        sender.handle_timer(1.0)
        assert tsns(sender.fill(ROOM, 1.0, is_alone=True)) == [100]
        # An acknowledgement is before it.
        assert sender.fill(500, 1.0, is_alone=False) == b""
        assert tsns(sender.fill(ROOM, 1.0, is_alone=False)) == []
        assert tsns(sender.fill(ROOM, 1.0, is_alone=True)) == [101]
        assert tsns(sender.fill(ROOM, 1.0, is_alone=False)) == [102]
        assert not sender.has_more

    def test_what_counted_as_lost_and_arrives_late(self, sender):
        put(sender, 6)
        fill(sender)
        sack(sender, 99, (2, 6))
        assert sender.flight_size == 0
        sack(sender, 105)
        assert sender.flight_size == 0
        assert fill(sender) == []

    def test_the_same_after_it_was_sent_again(self, sender):
        put(sender, 6)
        fill(sender)
        sack(sender, 99, (2, 6))
        assert fill(sender) == [[100]]
        assert sender.flight_size == 1132
        sack(sender, 105)
        assert sender.flight_size == 0

    def test_small_messages_share_packets(self, sender):
        put(sender, 20, 100)
        assert [len(packet) for packet in fill(sender)] == [9, 9, 2]

    def test_a_window_limits_new_data(self, sender):
        sender.congestion.window = 3 * 1132
        put(sender, 10)
        assert len(fill(sender)) == 3

    def test_the_peers_window_too_to_the_byte(self, sender):
        sender.peer_window = 3 * 1132 + 1131
        put(sender, 10)
        assert len(fill(sender)) == 3


class TestLoss:
    def test_three_packets_behind(self, sender):
        put(sender, 10)
        fill(sender)
        sack(sender, 99, (2, REORDERING))
        assert fill(sender) == []
        sack(sender, 99, (2, REORDERING + 1))
        assert fill(sender) == [[100]]

    def test_a_repetition_may_be_lost_too(self, sender):
        put(sender, 5)
        fill(sender)
        sack(sender, 99, (2, 5))
        assert fill(sender) == [[100]]
        put(sender, 3)
        fill(sender)
        sack(sender, 99, (2, 8))
        assert fill(sender) == [[100]]

    def test_once_per_flight(self, sender):
        put(sender, 40)
        fill(sender)
        before = sender.congestion.window
        sack(sender, 99, (2, 10))
        sack(sender, 99, (2, 10), (15, 30))
        assert sender.congestion.window == before // 2

    def test_repetitions_obey_the_window(self, sender):
        put(sender, 60)
        fill(sender)
        sender.handle_timer(2.0)
        assert sender.timeouts == 1
        assert sender.congestion.window == 1160
        # One packet, and after a window's worth was acknowledged two.
        assert len(fill(sender, 2.0)) == 2
        assert fill(sender, 2.0) == []

    def test_the_first_repetition_goes_out_whatever_is_in_flight(self, sender):
        put(sender, 60)
        fill(sender)
        sack(sender, 99, (2, 4))
        sender.congestion.window = 1160
        assert fill(sender) == [[100]]


class TestTimer:
    def test_the_tail_is_probed_before_all_is_lost(self, sender):
        put(sender, 2)
        fill(sender)
        sack(sender, 100, now=0.1)
        assert sender.timer == pytest.approx(0.1 + 2 * 0.1 + 0.05)
        sender.handle_timer(sender.timer)
        assert sender.timeouts == 0
        assert fill(sender, 0.4) == [[101]]
        window = sender.congestion.window
        sender.handle_timer(sender.timer)
        assert sender.timeouts == 1
        assert sender.congestion.window < window

    def test_timeouts_back_off_and_are_counted(self, sender):
        put(sender, 1)
        fill(sender)
        delays, now = [], 0.0
        for _ in range(MAX_TIMEOUTS):
            delays.append(sender.timer - now)
            now = sender.timer
            sender.handle_timer(now)
            fill(sender, now)
        assert delays == [1, 2, 4, 8, 10, 10, 10, 10, 10, 10]
        assert sender.timeouts == MAX_TIMEOUTS

    def test_what_a_peer_took_back_is_sent_again(self, sender):
        put(sender, 10)
        fill(sender)
        sack(sender, 99, (3, 5))
        sack(sender, 100)
        # 102 to 104 were in a gap block, and aren't any more.
        while sender.timeouts == 0:
            sender.handle_timer(sender.timer)
        sent = [tsn for _ in range(20) for packet in fill(sender) for tsn in packet]
        sender.congestion.window = 100_000
        sent += [tsn for packet in fill(sender) for tsn in packet]
        assert sorted(set(sent)) == list(range(101, 110))

    def test_all_that_is_left_was_taken_back(self, sender):
        put(sender, 3)
        fill(sender)
        sack(sender, 99, (2, 3))
        sack(sender, 100)
        sender.handle_timer(sender.timer)
        assert sender.timeouts == 1


class TestShutWindow:
    def test_it_is_probed_after_a_while_with_one_chunk(self, sender):
        sender.peer_window = 0
        put(sender, 3)
        assert fill(sender) == []
        assert sender.timer == 1.0
        sender.handle_timer(1.0)
        assert fill(sender, 1.0) == [[100]]

    def test_a_peer_that_keeps_it_shut_is_there(self, sender):
        sender.peer_window = 0
        put(sender, 3)
        fill(sender)
        for _ in range(50):
            now = sender.timer
            sender.handle_timer(now)
            fill(sender, now)
            sack(sender, 99, window=0, now=now)
            assert sender.timeouts <= 1
        assert sender.timer - now <= 10.0

    def test_it_opens(self, sender):
        sender.peer_window = 0
        put(sender, 3)
        fill(sender)
        sack(sender, 99, window=100_000)
        assert fill(sender) == [[100], [101], [102]]


@pytest.mark.parametrize(
    ("cumulative", "gaps"),
    [
        (110, []),
        (98, []),
        (2**31 + 200, []),
        (99, [(1, 1)]),
        (99, [(2, 1)]),
        (99, [(2, 12)]),
        (99, [(4, 5), (3, 6)]),
    ],
)
def test_sacks_that_can_not_be_are_ignored(sender, cumulative, gaps):
    put(sender, 10)
    fill(sender)
    assert not sack(sender, cumulative, *gaps, window=5)
    assert sender.flight_size == 11320
    assert sender.peer_window == 1_000_000


def test_sacks_too_short(sender):
    for size in range(12):
        assert not sender.receive_sack(memoryview(bytes(size)), 0.0)
    assert not sender.receive_sack(memoryview(struct.pack("!IIHH", 99, 5, 1, 0)), 0.0)


def test_round_trips_of_repetitions_do_not_count(sender):
    put(sender, 1)
    fill(sender)
    sender.handle_timer(1.0)
    fill(sender, 1.0)
    sack(sender, 100, now=1.001)
    assert sender.rto.smoothed is None


def test_a_chunk_that_is_too_large_by_now_goes_alone(sender):
    put(sender, 1)
    fill(sender)
    sender.handle_timer(1.0)
    assert sender.fill(1000, 1.0, is_alone=False) == b""
    assert tsns(sender.fill(1000, 1.0, is_alone=True)) == [100]


def test_a_packet_that_is_too_large_by_now_goes_in_parts(sender):
    put(sender, 9, 100)
    fill(sender)
    sender.handle_timer(1.0)
    assert sender.has_more
    parts = [tsns(sender.fill(500, 1.0, is_alone=True)) for _ in range(4)]
    assert parts == [[100, 101, 102, 103], [104, 105, 106, 107], [108], []]
    assert not sender.has_more


@pytest.mark.parametrize("gaps", [[(2, 4)], [(2, 4), (6, 9)], [(2, 3), (5, 6), (8, 9)]])
def test_a_peer_that_takes_parts_of_packets(sender, gaps):
    put(sender, 9, 100)
    fill(sender)
    sack(sender, 99, *gaps)
    assert sender.flight_size == 900
    assert sack(sender, 102) is False
    assert sender.flight_size == 900
    sender.handle_timer(sender.timer)
    assert fill(sender, 1.0) == [list(range(100, 109))]
    sack(sender, 108)
    assert sender.is_idle
    assert sender.flight_size == 0


class TestGrowth:
    """The window grows if it, or the pace that follows from it, has kept more from being sent."""

    def test_what_waits_for_its_pace_counts(self, sender):
        put(sender, 10)
        fill(sender, packets=2)
        sack(sender, 101)
        assert sender.congestion.window == 100_000 + 2 * 1132

    def test_an_application_that_sends_little_does_not(self, sender):
        put(sender, 2)
        fill(sender)
        sack(sender, 101)
        assert sender.congestion.window == 100_000

    def test_a_peer_that_takes_little_does_not(self, sender):
        sender.peer_window = 2500
        put(sender, 10)
        fill(sender)
        sack(sender, 101, window=2500)
        assert sender.congestion.window == 100_000
