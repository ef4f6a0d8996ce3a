"""The channel in virtual time, over links that break."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webrtc_signaling.channel import BufferFull, ReliableChannel, Total
from webrtc_signaling.limits import ACK_DELAY, ACK_EVERY, HELD_ACK_DELAY
from webrtc_signaling.messages import Ack, Numbered
from webrtc_transport.errors import InvalidSignal


def channel(*, max_messages=1000, max_bytes=1_000_000):
    return ReliableChannel(max_messages=max_messages, max_bytes=max_bytes)


def test_messages_are_numbered_and_transmitted_once():
    c = channel()
    c.push("a", 1)
    c.push("b", 1)
    assert c.transmit(0) == [Numbered("a", 1, 0), Numbered("b", 2, 0)]
    assert c.transmit(0) == []
    c.push("c", 1)
    assert c.transmit(0) == [Numbered("c", 3, 0)]


def test_what_is_not_acknowledged_is_sent_again_over_the_next_connection():
    c = channel()
    for message in "abc":
        c.push(message, 1)
    c.transmit(0)
    c.acknowledge(1)
    assert c.unacknowledged == ["b", "c"]
    c.resume(2)
    assert c.transmit(0) == [Numbered("c", 3, 0)]
    c.resume(2)
    assert c.transmit(0) == [Numbered("c", 3, 0)]


def test_a_connection_can_be_rewound_but_not_behind_what_is_acknowledged():
    c = channel()
    for message in "abc":
        c.push(message, 1)
    assert len(c.transmit(0)) == 3
    c.rewind(0)
    assert len(c.transmit(0)) == 3
    c.rewind(2)
    assert c.transmit(0) == [Numbered("c", 3, 0)]
    c.rewind(1)
    assert c.transmit(0) == [Numbered("c", 3, 0)]
    with pytest.raises(InvalidSignal, match="never sent"):
        c.rewind(4)


def test_what_is_given_at_once_can_be_bounded():
    c = channel()
    for message in "abcd":
        c.push(message, 10)
    assert [item.seq for item in c.transmit(0, 25)] == [1, 2]
    assert [item.seq for item in c.transmit(0, 5)] == [3]
    with pytest.raises(InvalidSignal):
        c.acknowledge(4)
    assert [item.seq for item in c.transmit(0)] == [4]


def test_an_acknowledgement_can_be_had_before_it_is_due():
    c = channel()
    c.accept(1, 0)
    assert c.announce() == Ack(ack=1)
    assert c.ack_at is None
    assert c.transmit(100) == []


def test_duplicates_are_dropped_and_acknowledged_again():
    c = channel()
    assert c.accept(1, 0)
    assert not c.accept(1, 0)
    assert c.accept(2, 0)
    assert c.received == 2
    assert c.transmit(ACK_DELAY) == [Ack(ack=2)]
    assert not c.accept(2, 1)
    assert c.transmit(1 + ACK_DELAY) == [Ack(ack=2)]


def test_a_gap_is_an_error():
    c = channel()
    c.accept(1, 0)
    with pytest.raises(InvalidSignal, match="missing"):
        c.accept(3, 0)
    assert c.received == 1


@pytest.mark.parametrize("ack", [1, 3, 10**9])
def test_what_was_not_transmitted_can_not_be_acknowledged(ack):
    c = channel()
    c.push("a", 1)
    with pytest.raises(InvalidSignal, match="never sent"):
        c.acknowledge(ack)


def test_an_old_acknowledgement_is_harmless():
    c = channel()
    for message in "ab":
        c.push(message, 1)
    c.transmit(0)
    c.acknowledge(2)
    c.acknowledge(1)
    c.push("c", 1)
    assert c.transmit(0) == [Numbered("c", 3, 0)]


@pytest.mark.parametrize("received", [0, 3])
def test_an_impossible_resumption_is_an_error(received):
    c = channel()
    for message in "ab":
        c.push(message, 1)
    c.transmit(0)
    c.acknowledge(1)
    with pytest.raises(InvalidSignal, match="received"):
        c.resume(received)
    c.resume(1)
    assert c.transmit(0) == [Numbered("b", 2, 0)]


def test_acknowledgements_wait_for_a_message_to_ride_on():
    c = channel()
    assert c.ack_at is None
    c.accept(1, 10.0)
    assert c.ack_at == 10.0 + ACK_DELAY
    assert c.transmit(10.0) == []
    c.push("a", 1)
    assert c.transmit(10.0) == [Numbered("a", 1, 1)]
    assert c.ack_at is None
    assert c.transmit(11.0) == []


def test_acknowledgements_do_not_wait_when_many_are_due():
    c = channel()
    for seq in range(1, ACK_EVERY + 1):
        assert c.transmit(5.0) == []
        c.accept(seq, 5.0)
    assert c.transmit(5.0) == [Ack(ack=ACK_EVERY)]


def test_the_queue_is_bounded_in_messages():
    c = channel(max_messages=2)
    c.push("a", 1)
    c.push("b", 1)
    with pytest.raises(BufferFull):
        c.push("c", 1)
    c.transmit(0)
    c.acknowledge(1)
    c.push("c", 1)
    assert c.transmit(0) == [Numbered("c", 3, 0)]


def test_the_queue_is_bounded_in_bytes():
    c = channel(max_bytes=10)
    c.push("a", 6)
    with pytest.raises(BufferFull):
        c.push("b", 5)
    c.push("b", 4)
    c.transmit(0)
    c.acknowledge(1)
    c.push("c", 6)
    with pytest.raises(BufferFull):
        c.push("d", 1)


class Link:
    """Two channels, and what is under way between them. A cut loses it all."""

    def __init__(self):
        self.ends = [channel(), channel()]
        self.arrived = [[], []]
        self.under_way = [[], []]
        self.now = 0.0

    def pump(self, end):
        self.under_way[end] += self.ends[end].transmit(self.now)

    def deliver(self, end, count):
        """``count`` of what ``end`` has sent arrive at the other one."""
        to = 1 - end
        taken, self.under_way[end] = self.under_way[end][:count], self.under_way[end][count:]
        for item in taken:
            self.ends[to].acknowledge(item.ack)
            if isinstance(item, Numbered) and self.ends[to].accept(item.seq, self.now):
                self.arrived[to].append(item.message)

    def cut(self):
        self.under_way = [[], []]
        received = [end.received for end in self.ends]
        for end, other in ((0, 1), (1, 0)):
            self.ends[end].resume(received[other])


end = st.integers(0, 1)
actions = st.one_of(
    st.tuples(st.just("push"), end),
    st.tuples(st.just("pump"), end),
    st.tuples(st.just("deliver"), end, st.integers(1, 20)),
    st.tuples(st.just("wait"), st.floats(0, 1)),
    st.tuples(st.just("cut")),
)


@given(st.lists(actions, max_size=200))
def test_everything_arrives_once_and_in_order_whatever_is_cut(script):
    link, pushed = Link(), [[], []]
    for action, *arguments in script:
        match action:
            case "push":
                (sender,) = arguments
                pushed[sender].append(len(pushed[sender]))
                link.ends[sender].push(pushed[sender][-1], 1)
            case "wait":
                link.now += arguments[0]
            case _:
                getattr(link, action)(*arguments)
        for receiver in (0, 1):
            assert link.arrived[receiver] == pushed[1 - receiver][: len(link.arrived[receiver])]

    for _ in range(4):
        link.now += ACK_DELAY
        for sender in (0, 1):
            link.pump(sender)
            link.deliver(sender, 10_000)
    assert link.arrived == [pushed[1], pushed[0]]
    # Nothing is kept any more: both ends know it.
    assert all(
        not channel._kept and channel._kept_bytes == 0 and channel.ack_at is None for channel in link.ends
    )


def test_the_wait_of_a_message_is_told_once():
    waits = []
    channel = ReliableChannel(max_messages=9, max_bytes=99, on_transmit=waits.append)
    channel.push("a", 1, 10.0)
    channel.push("b", 1, 12.0)
    channel.push("c", 1)
    channel.transmit(12.5)
    assert waits == [2.5, 0.5]
    channel.resume(0)
    channel.transmit(20.0)
    assert waits == [2.5, 0.5]
    channel.push("d", 1, 20.0)
    channel.transmit(float("inf"))
    assert waits == [2.5, 0.5]


def test_several_channels_are_counted_together_until_they_leave():
    total = Total()
    first, second = (ReliableChannel(max_messages=9, max_bytes=99, total=total) for _ in range(2))
    first.push("a", 10)
    second.push("b", 5)
    assert (total.size, first.kept_bytes, second.kept_bytes) == (15, 10, 5)
    first.transmit(0.0)
    first.leave_total()
    assert total.size == 5
    first.acknowledge(1)
    assert (total.size, first.kept_bytes) == (5, 0)
    second.transmit(0.0)
    second.acknowledge(1)
    assert total.size == 0


# --- held messages ----------------------------------------------------------------------------------------------------


def test_what_is_held_is_not_acknowledged_before_it_is_settled():
    c = channel()
    for seq in (1, 2, 3):
        assert c.accept(seq, 0.0, hold=("bob", "session"))
    assert c.transmit(HELD_ACK_DELAY - 0.1) == []
    assert c.transmit(HELD_ACK_DELAY) == [Ack(ack=0)]
    c.settle(2)
    assert (c.received, c.settled, list(c.held)) == (3, 0, [1, 3])
    c.settle(1)
    assert c.settled == 2
    assert c.transmit(10.0) == []
    assert c.ack_at == 10.0 + ACK_DELAY
    assert c.transmit(c.ack_at) == [Ack(ack=2)]
    c.settle(3)
    c.settle(3)
    c.push("a", 1)
    assert c.transmit(11.0) == [Numbered("a", 1, 3)]


def test_what_comes_again_while_it_is_held_is_told_so_soon():
    c = channel()
    assert c.accept(1, 0.0, hold=("bob", "session"))
    assert not c.accept(1, 0.0, hold=("bob", "session"))
    assert c.transmit(ACK_DELAY) == [Ack(ack=0)]


def test_a_driver_that_acknowledges_by_itself_gets_messages_alone():
    c = channel()
    c.accept(1, 0.0, hold=("bob", "session"))
    c.settle(1)
    assert c.transmit(-math.inf) == []
    assert c.announce() == Ack(ack=1)


def test_who_pushed_is_told_what_was_taken_or_given_up():
    c = channel()
    taken = []
    for message in "abc":
        c.push(message, 1, on_taken=lambda message=message: taken.append(message))
    c.transmit(0)
    c.acknowledge(1)
    assert taken == ["a"]
    c.give_up()
    assert taken == ["a", "b", "c"]


def test_a_renewed_channel_begins_to_count_anew_with_what_is_kept():
    total = Total()
    c = ReliableChannel(max_messages=10, max_bytes=100, total=total)
    taken = []
    for message in "abc":
        c.push(message, 5, on_taken=lambda message=message: taken.append(message))
    c.transmit(0)
    c.acknowledge(1)
    renewed = c.renewed(lambda message: message != "b")
    assert total.size == 5
    assert renewed.transmit(0) == [Numbered("c", 1, 0)]
    renewed.acknowledge(1)
    assert taken == ["a", "c"]
    assert total.size == 0
