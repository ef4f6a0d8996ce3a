import itertools
import random

import pytest

from webrtc_transport.protocol.sctp.packet import DataFlag
from webrtc_transport.protocol.sctp.reassembly import InboundStream, ReassemblyError

B, E, U = DataFlag.BEGIN, DataFlag.END, DataFlag.UNORDERED


class Stream(InboundStream):
    """One with its output."""

    def __init__(self):
        super().__init__(1, 1000)
        self.output = []

    def take(self, *fragments):
        for tsn, flags, ssn, payload in fragments:
            self.add(tsn, flags, ssn, 53, payload, self.output)

    @property
    def messages(self):
        return [message.data for message in self.output]


# Three messages: of three fragments, of one, and of two.
FRAGMENTS = [
    (5, B, 0, b"a"),
    (6, 0, 0, b"b"),
    (7, E, 0, b"c"),
    (8, B | E, 1, b"d"),
    (9, B, 2, b"e"),
    (10, E, 2, b"f"),
]


@pytest.mark.parametrize("order", list(itertools.permutations(range(6))))
def test_any_order_gives_the_same(order):
    stream = Stream()
    stream.take(*[FRAGMENTS[number] for number in order])
    assert stream.messages == [b"abc", b"d", b"ef"]
    assert stream.held == 0
    assert stream._pile is None


@pytest.mark.parametrize("order", list(itertools.permutations(range(6))))
def test_unordered_messages_come_when_they_are_whole(order):
    stream = Stream()
    stream.take(
        *[(tsn, flags | U, 0, data) for tsn, flags, _, data in (FRAGMENTS[number] for number in order)]
    )
    assert sorted(stream.messages) == [b"abc", b"d", b"ef"]
    assert stream.held == 0


def test_what_is_held_is_counted():
    rng = random.Random(1)
    for _ in range(200):
        stream = Stream()
        fragments = FRAGMENTS.copy()
        rng.shuffle(fragments)
        for fragment in fragments:
            stream.take(fragment)
            taken = sum(map(len, stream.messages))
            arrived = fragments.index(fragment) + 1
            assert (stream.held > 0) == (taken < arrived)
            assert stream.held >= arrived - taken
        assert stream.held == 0


@pytest.mark.parametrize(
    "fragments",
    [
        [(5, B, 0, b"a"), (6, B, 0, b"b")],
        [(5, B, 0, b"a"), (6, B | E, 1, b"b")],
        [(5, B, 0, b"a"), (6, 0, 1, b"b")],
        [(5, B, 0, b"a"), (6, E | U, 0, b"b")],
        [(6, 0, 3, b"b"), (5, E, 3, b"a")],
        [(6, B, 3, b"b"), (5, 0, 3, b"a")],
        [(6, B, 3, b"b"), (8, 0, 4, b"a"), (7, 0, 3, b"a")],
        [(5, B | E, 0, b"a"), (6, B | E, 0, b"b")],
        [(5, B | E, 4, b"a"), (8, B | E, 4, b"b")],
        [(5, B | E, 0, b"a"), (8, B | E, 0x8000, b"b"), (9, B | E, 0x8001, b"b")],
        [(5, B | E, 0, bytes(1001))],
        [(5, B | E | U, 0, bytes(1001))],
        [(5, B, 0, bytes(600)), (6, 0, 0, bytes(600))],
        [(6, 0, 0, bytes(600)), (7, 0, 0, bytes(600))],
        [(7, 0, 0, bytes(600)), (5, 0, 0, bytes(600)), (6, 0, 0, b"x")],
    ],
    ids=str,
)
def test_what_can_not_be_is_refused(fragments):
    with pytest.raises(ReassemblyError):
        Stream().take(*fragments)


def test_a_gap_in_the_middle_of_a_message():
    stream = Stream()
    stream.take((5, B, 0, b"a"), (7, E, 0, b"c"), (8, B | E, 1, b"d"))
    assert stream.messages == []
    stream.take((6, 0, 0, b"b"))
    assert stream.messages == [b"abc", b"d"]


class TestAbandon:
    def test_messages_that_arrived_whole_still_count(self):
        stream = Stream()
        stream.take((6, B | E, 1, b"one"), (8, B | E, 3, b"three"), (10, B | E, 5, b"five"))
        stream.abandon(4, 7, 2, stream.output)
        assert stream.messages == [b"one", b"three"]
        stream.abandon(7, 9, 4, stream.output)
        assert stream.messages == [b"one", b"three", b"five"]
        assert stream.held == 0

    def test_fragments_go_and_later_ones_stay(self):
        stream = Stream()
        stream.take((5, B, 0, b"a"), (7, B | U, 0, b"u"), (9, B | U, 0, b"v"))
        stream.abandon(4, 8, 0, stream.output)
        stream.take((10, E | U, 0, b"w"), (11, B | E, 1, b"next"))
        assert stream.messages == [b"vw", b"next"]
        assert stream.held == 0

    def test_of_what_is_past_nothing_comes(self):
        stream = Stream()
        stream.take((5, B | E, 0, b"a"), (6, B | E, 1, b"b"))
        stream.abandon(4, 5, 0, stream.output)
        stream.take((7, B | E, 2, b"c"))
        assert stream.messages == [b"a", b"b", b"c"]

    def test_sequence_numbers_wrap_around(self):
        stream = Stream()
        stream.abandon(4, 5, 0x7FFF, stream.output)
        stream.abandon(5, 6, 0xFFFE, stream.output)
        stream.take((8, B | E, 0, b"b"), (7, B | E, 0xFFFF, b"a"))
        assert stream.messages == [b"a", b"b"]

    @pytest.mark.parametrize("step", [1, 3, 50, 1000])
    def test_the_pace_makes_no_difference(self, step):
        """Few TSNs are looked up, and many are looked for: both find the same."""
        stream = Stream()
        for tsn in range(2, 200, 2):
            stream.take((tsn, B | U, 0, b"x"), (tsn + 300, B | E, tsn, b"y"))
        for begin in range(0, 199, step):
            end = min(begin + step, 199)
            stream.abandon(begin, end, end, stream.output)
            assert sorted(stream._pile.fragments if stream._pile else ()) == list(range(end + 2 & ~1, 200, 2))
            assert stream.messages == [b"y"] * min((end + 1) // 2, 99)
        assert stream.held == 0
