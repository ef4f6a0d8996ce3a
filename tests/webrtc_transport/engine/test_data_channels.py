"""Which message goes to which channel, with an association that only records."""

import pytest

from tests.webrtc_transport.engine.told_events import ToldEvents
from tests.webrtc_transport.engine.virtual_driver import VirtualDriver
from webrtc_transport.engine.data_channels import MAX_EARLY_STREAMS, MAX_REFUSED_STREAMS, DataChannels
from webrtc_transport.engine.early_messages import MESSAGE_COST
from webrtc_transport.errors import EngineError, TooManyStreams
from webrtc_transport.protocol.limits import INBOUND_MARGIN, MAX_EARLY_BYTES
from webrtc_transport.protocol.sctp.data_channel import ACK, Open, PayloadProtocol

BINARY = PayloadProtocol.BINARY
MAX_INBOUND = 10


class Association:
    window = 1024 * 1024

    def __init__(self):
        self.sent, self.consumed, self.resets, self.aborts = [], [], [], []

    def send(self, stream_id, ppid, data):
        self.sent.append((stream_id, ppid, data))

    def consume(self, size, now):
        self.consumed.append(size)

    def reset_stream(self, stream_id):
        self.resets.append(stream_id)

    def abort(self, reason):
        self.aborts.append(reason)


class Owner:
    def __init__(self):
        self.driver, self.association = VirtualDriver(), Association()
        self.inbound, self.failures, self.wakes, self.deferrals = [], [], 0, 0
        self.channels = DataChannels(
            self.driver,
            self.association,
            is_server=False,
            max_message_size=1000,
            max_inbound_streams=MAX_INBOUND,
            wake=self._wake,
            defer=self._defer,
            on_channel=self._on_channel,
            on_failed=self.failures.append,
        )

    def _wake(self):
        self.wakes += 1

    def _defer(self):
        self.deferrals += 1

    def _on_channel(self, channel):
        events = ToldEvents()
        channel.bind(events)
        self.inbound.append((channel, events))

    def open(self, negotiated_id=None, label=""):
        events = ToldEvents()
        return self.channels.open(events, label, negotiated_id), events


@pytest.fixture
def owner():
    return Owner()


def test_a_channel_is_announced_with_its_label_in_the_packet_of_its_first_message(owner):
    channel, _ = owner.open(label="a")
    assert owner.association.sent == [(0, PayloadProtocol.DCEP, Open("a").encode())]
    assert (owner.wakes, owner.deferrals) == (0, 1)
    channel.send(b"first")
    assert (owner.wakes, owner.deferrals) == (1, 1)
    assert (channel.id, owner.open()[0].id) == (0, 2)


def test_the_peers_limit_is_kept(owner):
    owner.channels.id_limit = 2
    owner.open()
    with pytest.raises(TooManyStreams):
        owner.open()


def test_messages_go_to_their_channel(owner):
    (a, a_events), (_, b_events) = owner.open(), owner.open()
    owner.channels.message_received(0, BINARY, b"to a")
    owner.channels.message_received(2, PayloadProtocol.STRING, b"to b")
    owner.channels.message_received(2, PayloadProtocol.BINARY_EMPTY, b"\0")
    owner.channels.message_received(2, 99, b"of no kind")
    owner.channels.bytes_sent(0, len(Open("").encode()) + 3)
    owner.channels.bytes_sent(77, 3)
    assert a_events.told == [b"to a", 3]
    assert b_events.told == [b"to b", b""]
    # What nobody will read makes room again.
    assert owner.association.consumed == [1, 10]
    assert a.is_open


def test_the_peer_opens_a_channel_and_gets_an_answer(owner):
    owner.channels.message_received(1, PayloadProtocol.DCEP, Open("theirs").encode())
    owner.channels.message_received(1, BINARY, b"hello")
    ((channel, events),) = owner.inbound
    assert (channel.id, channel.label, events.told) == (1, "theirs", [b"hello"])
    assert owner.association.sent == [(1, PayloadProtocol.DCEP, ACK)]
    owner.channels.message_received(1, PayloadProtocol.DCEP, Open("again").encode())
    assert len(owner.inbound) == 1


def test_a_malformed_open_ends_the_connection(owner):
    owner.channels.message_received(1, PayloadProtocol.DCEP, b"\x03nonsense")
    assert [type(failure) for failure in owner.failures] == [EngineError]
    assert len(owner.association.aborts) == 1


def test_what_comes_before_a_negotiated_channel_is_told_later(owner):
    expected = [b"%d" % number for number in range(400)]
    for message in expected:
        owner.channels.message_received(5, BINARY, message)
    _, events = owner.open(negotiated_id=5)
    assert owner.association.sent == []
    assert events.told == []
    owner.driver.run(lambda: events.told)
    assert events.told == expected
    assert owner.association.consumed == []


@pytest.mark.parametrize("size", [1, 1000, MAX_EARLY_BYTES])
def test_a_stream_that_nobody_opens_is_reset_when_more_came_on_it_than_there_is_room_for(owner, size):
    count = 0
    while not owner.association.resets:
        owner.channels.message_received(5, BINARY, bytes(size))
        count += 1
    assert (count - 1) * (size + MESSAGE_COST) <= MAX_EARLY_BYTES < count * (size + MESSAGE_COST)
    assert owner.association.resets == [5]
    # Nobody will read it, so the peer has the window again; and others go on.
    assert sum(owner.association.consumed) == count * size
    assert not owner.failures
    owner.channels.message_received(7, BINARY, b"other")
    _, events = owner.open(negotiated_id=7)
    owner.driver.run(lambda: events.told)
    assert events.told == [b"other"]


@pytest.mark.parametrize(("ppid", "message"), [(99, b"of no kind"), (PayloadProtocol.DCEP, ACK)])
def test_a_stream_on_which_something_useless_came_is_reset(owner, ppid, message):
    owner.channels.message_received(5, ppid, message)
    owner.channels.message_received(5, ppid, message)
    assert owner.association.resets == [5]
    assert sum(owner.association.consumed) == 2 * len(message)
    assert not owner.failures
    channel, _ = owner.open()
    owner.channels.message_received(channel.id, ppid, message)
    assert owner.association.resets == [5]


def test_on_many_streams_that_nobody_opens_nothing_is_kept(owner):
    for number in range(MAX_EARLY_STREAMS + 2):
        owner.channels.message_received(number, BINARY, b"early")
    owner.channels.message_received(0, BINARY, b"more")
    assert owner.association.resets == [MAX_EARLY_STREAMS, MAX_EARLY_STREAMS + 1]
    assert sum(owner.association.consumed) == 2 * len(b"early")
    assert not owner.failures
    _, events = owner.open(negotiated_id=0)
    owner.driver.run(lambda: events.told)
    assert events.told == [b"early", b"more"]
    owner.channels.message_received(MAX_EARLY_STREAMS + 2, BINARY, b"early")
    assert len(owner.association.resets) == 2


@pytest.mark.parametrize("size", [1, 16384])
def test_what_comes_for_the_next_life_of_streams_is_bounded_by_bytes(owner, size):
    for stream_id in (1, 3):
        announce(owner, stream_id)
        owner.channels.inbound_reset([stream_id])
    count = 0
    while not owner.failures:
        owner.channels.message_received(1 + 2 * (count % 2), BINARY, bytes(size))
        count += 1
    assert (count - 1) * (size + MESSAGE_COST) <= 2 * Association.window < count * (size + MESSAGE_COST)
    assert "on channels that were not open" in str(owner.failures[0])


def test_what_comes_in_the_turn_of_the_opening_does_not_overtake(owner):
    owner.channels.message_received(5, BINARY, b"first")
    _, events = owner.open(negotiated_id=5)
    owner.channels.message_received(5, BINARY, b"second")
    assert events.told == [b"first", b"second"]
    assert owner.driver.run(lambda: not owner.driver.pending) == 0
    owner.channels.message_received(5, BINARY, b"third")
    assert events.told == [b"first", b"second", b"third"]


def test_the_end_of_a_stream_in_the_turn_of_the_opening_comes_after_its_messages(owner):
    owner.channels.message_received(5, BINARY, b"first")
    channel, events = owner.open(negotiated_id=5)
    channel.close()
    owner.channels.inbound_reset([5])
    owner.channels.outbound_reset([5])
    owner.driver.run(lambda: not owner.driver.pending)
    assert events.told == [b"first", "closed"]


def test_an_end_in_the_turn_of_the_opening_tells_nothing_more(owner):
    owner.channels.message_received(5, BINARY, b"first")
    _, events = owner.open(negotiated_id=5)
    owner.channels.close_all()
    owner.driver.run(lambda: not owner.driver.pending)
    assert events.told == []


def test_what_nobody_reads_of_an_early_message_wakes_the_stack(owner):
    owner.channels.message_received(5, PayloadProtocol.BINARY_EMPTY, b"\0")
    _, events = owner.open(negotiated_id=5)
    owner.driver.run(lambda: events.told)
    assert owner.association.consumed == [1]
    owner.driver.run(lambda: owner.deferrals)


def test_what_comes_before_the_opening_of_the_peer_is_told(owner):
    owner.channels.message_received(7, BINARY, b"early")
    owner.channels.message_received(9, BINARY, b"another's")
    owner.channels.message_received(7, PayloadProtocol.DCEP, Open().encode())
    owner.channels.message_received(7, BINARY, b"later")
    ((_, events),) = owner.inbound
    assert events.told == [b"early", b"later"]


def test_early_messages_of_a_stream_that_ended_make_room_and_are_not_its_next_lifes(owner):
    for number in range(100):
        owner.channels.message_received(5 + 2 * (number % 2), BINARY, b"%3d" % number)
    owner.channels.inbound_reset([5])
    assert sum(owner.association.consumed) == 3 * 50
    owner.channels.message_received(5, BINARY, b"new")
    _, events = owner.open(negotiated_id=5)
    owner.driver.run(lambda: events.told)
    assert events.told == [b"new"]


def announce(owner, stream_id, **settings):
    owner.channels.message_received(stream_id, PayloadProtocol.DCEP, Open(**settings).encode())


def test_an_id_has_one_channel(owner):
    announce(owner, 1)
    owner.open(negotiated_id=3)
    announce(owner, 3)
    for used in (1, 3):
        with pytest.raises(TooManyStreams, match=f"id {used} is in use"):
            owner.open(negotiated_id=used)
    assert [channel.id for channel, _ in owner.inbound] == [1]
    assert owner.association.resets == []


@pytest.mark.parametrize(
    ("stream_id", "settings"),
    [(0, {}), (1, {"is_ordered": False}), (1, {"reliability": 1}), (1, {"reliability": 2})],
)
def test_a_channel_that_can_not_be_a_stream_is_refused(owner, caplog, stream_id, settings):
    # By name: py-libp2p, where a test before has imported it, sets a level for "libp2p", a parent of ours.
    caplog.set_level("DEBUG", "libp2p.transport.webrtc")
    owner.channels.message_received(stream_id, BINARY, b"early")
    announce(owner, stream_id, **settings)
    announce(owner, stream_id + 2, **settings)
    owner.channels.message_received(stream_id, BINARY, b"late")
    assert owner.inbound == []
    assert owner.association.resets == [stream_id, stream_id + 2]
    # The messages that nobody reads, and both announcements.
    assert sum(owner.association.consumed) == len(b"early") + len(b"late") + 2 * len(Open().encode())
    assert [record.levelname for record in caplog.records] == ["DEBUG", "DEBUG"]
    assert owner.failures == []


def test_the_id_of_a_refused_stream_is_free_when_both_halves_are_over(owner):
    announce(owner, 0)
    assert owner.open()[0].id == 2
    owner.channels.outbound_reset([0])
    with pytest.raises(TooManyStreams):
        owner.open(negotiated_id=0)
    owner.channels.inbound_reset([0])
    assert owner.open(negotiated_id=0)[0].id == 0


def test_a_refused_stream_may_have_a_next_life_before_we_know(owner):
    announce(owner, 1, reliability=1)
    owner.channels.inbound_reset([1])
    announce(owner, 1, label="next")
    owner.channels.message_received(1, BINARY, b"data")
    assert owner.inbound == []
    owner.channels.outbound_reset([1])
    ((channel, events),) = owner.inbound
    assert (channel.label, events.told) == ("next", [b"data"])


def test_no_channel_is_made_above_the_limit_until_others_are_over(owner):
    many = range(1, 1 + 4 * INBOUND_MARGIN * MAX_INBOUND, 2)
    for stream_id in many:
        announce(owner, stream_id)
    assert len(owner.inbound) == INBOUND_MARGIN * MAX_INBOUND
    assert owner.association.resets == list(many)[INBOUND_MARGIN * MAX_INBOUND :]
    # Ours are not counted.
    owner.open()
    owner.channels.inbound_reset([1])
    owner.channels.outbound_reset([1])
    announce(owner, 1, label="again")
    assert owner.inbound[-1][0].label == "again"


def test_a_peer_that_never_confirms_ends_the_connection(owner):
    for number in range(MAX_REFUSED_STREAMS):
        announce(owner, 2 * number)
    assert owner.failures == []
    announce(owner, 2 * MAX_REFUSED_STREAMS)
    (failure,) = owner.failures
    assert isinstance(failure, EngineError)
    assert "4096 refused streams" in str(failure)
    assert owner.association.aborts == [str(failure)]


def test_a_message_for_the_next_life_of_an_id_waits_for_it(owner):
    announce(owner, 1)
    ((channel, events),) = owner.inbound
    owner.channels.inbound_reset([1, 88])
    announce(owner, 1, label="next")
    assert len(owner.inbound) == 1
    assert owner.association.resets == [1]
    owner.channels.outbound_reset([1, 88])
    assert events.told == ["closed"]
    assert [inbound.label for inbound, _ in owner.inbound] == ["", "next"]
    assert not channel.is_open


def test_the_next_life_of_an_id_may_be_over_before_we_know_of_it(owner):
    announce(owner, 1)
    owner.channels.inbound_reset([1])
    announce(owner, 1, label="next")
    owner.channels.message_received(1, BINARY, b"data")
    owner.channels.inbound_reset([1])
    owner.channels.message_received(1, BINARY, b"nobody's")
    owner.channels.outbound_reset([1])
    _, (channel, events) = owner.inbound
    assert (channel.label, events.told) == ("next", [b"data"])
    assert owner.association.resets == [1, 1]
    assert owner.association.consumed == [12, len(b"nobody's"), 16]
    owner.channels.outbound_reset([1])
    assert events.told == [b"data", "closed"]


def test_a_stream_that_ends_twice_ends_once_and_so_does_the_next(owner):
    (first, first_events), (_, second_events) = owner.open(), owner.open()
    first.close()
    owner.channels.outbound_reset([0])
    owner.channels.inbound_reset([0, 0, 2])
    assert first_events.told == ["closed"]
    assert owner.association.resets == [0, 2]
    owner.channels.outbound_reset([2, 2])
    assert second_events.told == ["closed"]


def test_the_end_closes_all_and_tells_none(owner):
    opened = [owner.open() for _ in range(3)]
    owner.channels.close_all()
    assert all(events.told == [] for _, events in opened)
    opened[0][0].send(b"late")
    assert len(owner.association.sent) == 3
