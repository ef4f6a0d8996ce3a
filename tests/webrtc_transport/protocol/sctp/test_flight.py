import time

import pytest

from webrtc_transport.protocol.sctp.flight import REORDERING, Flight

SIZE = 1000


@pytest.fixture
def flight():
    """Ten packets of three chunks each."""
    flight = Flight(100)
    for number in range(10):
        flight.add(b"%d" % number, 3, SIZE, float(number))
    return flight


def test_everything_at_once(flight):
    newest, size = flight.acknowledge(129, [])
    assert (newest.last_tsn, size) == (129, 10 * SIZE)
    assert flight.is_empty
    assert flight.size == 0
    assert flight.acked == 129


def test_what_arrived_counts_once(flight):
    assert flight.acknowledge(102, [(106, 108)])[1] == 2 * SIZE
    assert flight.acknowledge(102, [(106, 108)]) == (None, 0)
    assert flight.acknowledge(108, [])[1] == SIZE
    assert flight.size == 7 * SIZE


def test_a_packet_has_arrived_when_all_its_chunks_have(flight):
    assert flight.acknowledge(99, [(103, 104)]) == (None, 0)
    newest, size = flight.acknowledge(99, [(103, 105)])
    assert (newest.last_tsn, size) == (105, SIZE)


def test_a_part_below_the_cumulative_tsn_is_no_packet(flight):
    assert flight.acknowledge(101, []) == (None, 0)
    assert flight.acknowledge(101, [(104, 105)]) == (None, 0)
    assert flight.acknowledge(103, [(104, 105)])[1] == SIZE
    assert flight.acknowledge(105, [])[1] == SIZE


def test_the_newest_is_the_one_that_was_sent_last(flight):
    flight.acknowledge(99, [(103, 102 + 3 * REORDERING)])
    assert flight.find_lost(REORDERING) == 0
    assert flight.next_lost().last_tsn == 102
    flight.repeat(20.0)
    newest, _ = flight.acknowledge(129, [])
    assert newest.last_tsn == 102
    assert newest.sent_at == 20.0
    assert newest.times == 2


def test_what_counted_as_lost_and_arrived_is_not_repeated(flight):
    flight.find_lost(5)
    assert flight.next_lost().last_tsn == 102
    flight.acknowledge(105, [])
    assert flight.next_lost().last_tsn == 108
    assert flight.size == 7 * SIZE


def test_nothing_is_lost_twice(flight):
    assert flight.find_lost(5) == 2
    assert flight.find_lost(5) is None


def test_the_tail_is_the_last_that_has_not_arrived(flight):
    flight.acknowledge(99, [(124, 129)])
    assert flight.lose_tail()
    assert flight.next_lost().last_tsn == 123
    flight.acknowledge(99, [(100, 129)])
    assert not flight.lose_tail()


def test_all_is_lost_but_what_the_last_sack_said(flight):
    flight.acknowledge(99, [(106, 108), (112, 114)])
    flight.acknowledge(102, [(112, 114)])
    flight.lose_all()
    assert [sent.last_tsn for sent in flight.lost] == [105, 108, 111, 117, 120, 123, 126, 129]
    assert flight.size == 0
    # What was taken back counts when it arrives again.
    assert flight.acknowledge(111, [(112, 114)])[1] == 3 * SIZE


def test_a_long_flight_is_not_looked_through():
    flight = Flight(0)
    begin = time.process_time()
    for _ in range(100_000):
        flight.add(b"x", 1, 1, 0.0)
    for tsn in range(0, 100_000, 2):
        flight.acknowledge(tsn, [])
        flight.find_lost(tsn)
    assert time.process_time() - begin < 2.0
