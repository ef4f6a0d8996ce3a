"""In which turn of the loop something is sent, with a scripted association."""

import pytest

from tests.webrtc_transport.engine.virtual_driver import VirtualDriver
from webrtc_transport.engine.flush_schedule import ANSWER_TURNS, MAX_TURNS, PACKET_WORTH, FlushSchedule


class Bench:
    """A schedule, and what of an association it looks at."""

    def __init__(self):
        self.driver = VirtualDriver()
        self.in_flight = self.queued = 0
        self.flushes = 0
        self.schedule = FlushSchedule(self.driver, self, self.flush)

    def flush(self):
        self.schedule.begin_anew()
        self.flushes += 1

    def turns_until_flush(self, each_turn=lambda: None):
        before, turns = self.flushes, 0
        while self.flushes == before:
            ended = []
            self.driver.call_soon(ended.append, True)
            self.driver.run(lambda ended=ended: ended)
            turns += 1
            each_turn()
            assert turns < 100, "it is never sent"
        return turns


@pytest.fixture
def bench():
    return Bench()


def test_a_message_leaves_at_once_if_nothing_is_under_way(bench):
    bench.schedule.message_queued()
    assert (bench.flushes, bench.schedule.is_due) == (1, False)


def test_otherwise_it_leaves_after_the_first_turn_that_adds_nothing(bench):
    bench.in_flight = bench.queued = 100
    bench.schedule.message_queued()
    assert (bench.flushes, bench.schedule.is_due) == (0, True)
    assert bench.turns_until_flush() == 2


def test_those_that_follow_each_other_are_waited_for_so_many_turns(bench):
    bench.in_flight = bench.queued = 100
    bench.schedule.message_queued()
    assert bench.turns_until_flush(bench.schedule.message_queued) == MAX_TURNS + 1


def test_a_packets_worth_waits_for_no_more(bench):
    bench.in_flight, bench.queued = 100, PACKET_WORTH
    bench.schedule.message_queued()
    assert bench.turns_until_flush() == 1


def test_an_answer_waits_some_turns_and_leaves_with_what_is_sent_before(bench):
    bench.schedule.defer()
    assert bench.turns_until_flush() == ANSWER_TURNS + 1
    bench.schedule.defer()
    bench.schedule.message_queued()
    assert bench.flushes == 2
    bench.driver.run(lambda: not bench.driver.pending)
    assert bench.flushes == 2


def test_what_is_urgent_does_not_wait_with_an_answer(bench):
    bench.schedule.defer()
    bench.schedule.wake()
    bench.schedule.defer()
    assert bench.turns_until_flush() == 1
