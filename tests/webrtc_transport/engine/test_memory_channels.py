"""The channels of one end, with the packets of the other played by the test."""

import asyncio

import pytest

from tests.compliance.engine_ends import ChannelRecord, Journal, nothing_left
from webrtc_transport.engine.memory_channels import MemoryChannels
from webrtc_transport.engine.memory_network import Grant, Message, Open, Reset

pytestmark = pytest.mark.anyio

WINDOW = 1000


class Bench:
    """One end, its events, and what it sent."""

    grants = False

    def __init__(self, *, is_server=False):
        self.journal = Journal()
        self.sent, self.inbound, self.closed = [], [], []
        self.refuses = False
        self.channels = MemoryChannels(
            self.sent.append, self, is_server=is_server, window=WINDOW, max_message_size=WINDOW
        )
        self.peer = self.channels

    def on_channel(self, channel):
        if self.refuses:
            channel.close()
            return
        record = ChannelRecord(self)
        record.channel = channel
        self.inbound.append(record)
        channel.bind(record)

    def open(self, label="", negotiated_id=None):
        record = ChannelRecord(self)
        record.channel = self.channels.open(record, label, negotiated_id)
        return record

    async def turn(self):
        """Let what is queued be sent; returns it."""
        await asyncio.sleep(0)
        sent = list(self.sent)
        self.sent.clear()
        return sent


@pytest.fixture
async def bench():
    async with nothing_left():
        yield Bench()


async def test_opening(bench):
    record = bench.open("a label")
    assert (record.channel.id, record.channel.label) == (0, "a label")
    assert bench.sent == [Open(0, "a label")]
    assert Bench(is_server=True).open().channel.id == 1


async def test_what_is_sent_leaves_in_the_next_turn(bench):
    record = bench.open()
    record.channel.send(b"hello")
    assert bench.sent == [Open(0, "")]
    assert record.sent == 0
    assert (await bench.turn())[1:] == [Message(0, b"hello")]
    assert record.sent == 5


async def test_the_window_is_for_all_channels_together(bench):
    first, second = bench.open(), bench.open()
    first.channel.send(bytes(600))
    second.channel.send(bytes(600))
    first.channel.send(bytes(600))
    await bench.turn()
    # One message goes over the window, none begins when it is used up.
    assert (first.sent, second.sent) == (600, 600)
    bench.channels.arrived(Grant(200))
    assert await bench.turn() == []
    bench.channels.arrived(Grant(1))
    assert await bench.turn() == [Message(0, bytes(600))]


async def test_unread_bytes_are_counted_until_they_are_granted(bench):
    bench.channels.arrived(Open(1, ""))
    bench.channels.arrived(Message(1, b"hello"))
    assert bench.channels.statistics().unread == 5
    bench.channels.grant(5)
    assert bench.channels.statistics().unread == 0
    assert bench.sent == [Grant(5)]


async def test_a_channel_is_closed_when_both_directions_are(bench):
    record = bench.open()
    record.channel.close()
    assert (await bench.turn())[1:] == [Reset(0)]
    assert not record.closed
    bench.channels.arrived(Reset(0))
    assert record.closed == 1
    bench.channels.arrived(Reset(0))
    assert record.closed == 1


async def test_the_peers_reset_is_answered_after_what_is_queued(bench):
    record = bench.open()
    record.channel.send(b"last")
    bench.channels.arrived(Reset(0))
    record.channel.send(b"too late")
    assert (await bench.turn())[1:] == [Message(0, b"last"), Reset(0)]
    assert record.closed == 1


async def test_a_reset_waits_for_the_window(bench):
    record = bench.open()
    record.channel.send(bytes(WINDOW))
    record.channel.send(b"last")
    record.channel.close()
    assert (await bench.turn())[1:] == [Message(0, bytes(WINDOW))]
    bench.channels.arrived(Grant(1))
    assert await bench.turn() == [Message(0, b"last"), Reset(0)]


async def test_an_id_is_free_after_the_close(bench):
    record = bench.open(negotiated_id=5)
    record.channel.close()
    await bench.turn()
    bench.channels.arrived(Reset(5))
    again = bench.open(negotiated_id=5)
    bench.channels.arrived(Message(5, b"new"))
    assert (record.messages, again.messages) == ([], [b"new"])


async def test_a_close_that_is_due_later(bench):
    record = bench.open()
    record.channel.close(0.02)
    record.channel.close(5)
    assert (await bench.turn()) == [Open(0, "")]
    await bench.journal.until(lambda: bench.sent == [Reset(0)])


async def test_early_messages_are_told_in_order_after_the_opening(bench):
    bench.channels.arrived(Message(7, b"1"))
    bench.channels.arrived(Message(7, b"2"))
    record = bench.open(negotiated_id=7)
    bench.channels.arrived(Message(7, b"3"))
    assert record.messages == []
    assert bench.sent == []
    await bench.turn()
    bench.channels.arrived(Message(7, b"4"))
    assert record.messages == [b"1", b"2", b"3", b"4"]


async def test_early_messages_come_before_the_close(bench):
    bench.channels.arrived(Message(7, b"early"))
    record = bench.open(negotiated_id=7)
    record.channel.close()
    bench.channels.arrived(Reset(7))
    await bench.turn()
    assert record.messages == [b"early"]
    assert record.closed == 1


async def test_early_messages_are_all_told(bench):
    for number in range(300):
        bench.channels.arrived(Message(number % 2, b"%d" % number))
    records = [bench.open(negotiated_id=stream_id) for stream_id in (0, 1)]
    await bench.turn()
    assert sum(len(record.messages) for record in records) == 300


async def test_what_comes_on_a_refused_channel_is_read_by_nobody(bench):
    bench.refuses = True
    bench.channels.arrived(Open(1, "init"))
    bench.channels.arrived(Message(1, b"hello"))
    assert await bench.turn() == [Grant(5), Reset(1)]
    assert bench.channels.statistics().unread == 0


async def test_after_the_end_nothing_is_told_or_sent(bench):
    bench.channels.arrived(Message(7, b"early"))
    records = [bench.open(), bench.open(negotiated_id=7)]
    records[0].channel.close(0.01)
    records[0].channel.send(b"never")
    bench.sent.clear()
    bench.channels.end()
    records[1].channel.send(b"never")
    await bench.turn()
    await asyncio.sleep(0.03)
    assert bench.sent == []
    assert not any(record.messages or record.sent or record.closed for record in records)


async def test_who_is_told_may_send_and_close(bench):
    record = bench.open()
    left = [b"second", b"third"]

    def send_more(_size):
        if left:
            record.channel.send(left.pop(0))
        else:
            record.channel.close()

    record.on_sent = send_more
    record.channel.send(b"first")
    sent = [packet for _ in range(4) for packet in await bench.turn()]
    assert sent[1:] == [Message(0, b"first"), Message(0, b"second"), Message(0, b"third"), Reset(0)]
