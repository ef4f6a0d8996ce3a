"""The wire over a WebSocket that only takes notes."""

import asyncio

import pytest
from aiohttp import WSCloseCode, WSMessage, WSMsgType

from tests.asyncio_loops import LOOPS
from tests.webrtc_signaling.samples import OFFER, candidate, envelope
from webrtc_signaling.channel import ReliableChannel
from webrtc_signaling.codec import Codec, decode, encode
from webrtc_signaling.messages import (
    Ack,
    Failure,
    Numbered,
    error_data,
    parse_client_message,
    parse_server_message,
)
from webrtc_signaling.wire import Disconnected, Wire
from webrtc_transport.errors import InvalidSignal

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return request.param


class Socket:
    def __init__(self):
        self.sent, self.close_code, self.inbound = [], None, asyncio.Queue()
        self.error = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.sent_something = asyncio.Event()

    def exception(self):
        return self.error

    async def send_str(self, text):
        await self.gate.wait()
        if self.error:
            raise self.error
        self.sent.append(parse_server_message(decode(text, Codec.JSON)))
        self.sent_something.set()

    async def receive(self):
        return await self.inbound.get()

    async def close(self, *, code=WSCloseCode.OK):
        self.close_code = code
        self.arrive_end()

    def arrive(self, message):
        self.inbound.put_nowait(WSMessage(WSMsgType.TEXT, encode(message, Codec.JSON), None))

    def arrive_end(self, kind=WSMsgType.CLOSED):
        self.inbound.put_nowait(WSMessage(kind, None, None))


class Exchange:
    """An exchange that runs as a task."""

    def __init__(self):
        self.socket = Socket()
        self.wire = Wire(self.socket, Codec.JSON, parse_client_message)
        self.channel = ReliableChannel(max_messages=100, max_bytes=100_000)
        self.handled = []
        self.task = asyncio.create_task(self.wire.exchange(self.channel, self.handle))

    def handle(self, message, size):
        assert size > 0
        self.handled.append(message)
        self.channel.accept(message.seq, asyncio.get_running_loop().time())
        self.wire.wake()

    def push(self, number):
        self.channel.push(envelope(candidate(number)), 100)
        self.wire.wake()

    async def end(self):
        return await asyncio.wait_for(self.task, 5)

    async def quiet(self):
        for _ in range(10):
            await asyncio.sleep(0)


def numbered(number, ack=0):
    return Numbered(envelope(candidate(number)), number, ack)


async def test_what_is_pushed_is_sent_and_what_arrives_is_handled_and_acknowledged():
    exchange = Exchange()
    exchange.push(1)
    await exchange.quiet()
    assert exchange.socket.sent == [numbered(1)]
    exchange.socket.arrive(numbered(1))
    await exchange.quiet()
    assert exchange.handled == [numbered(1)]
    exchange.socket.sent_something.clear()
    await asyncio.wait_for(exchange.socket.sent_something.wait(), 5)
    assert exchange.socket.sent[1:] == [Ack(ack=1)]
    exchange.socket.arrive_end()
    with pytest.raises(Disconnected):
        await exchange.end()


async def test_finishing_sends_what_is_left_and_then_closes():
    exchange = Exchange()
    exchange.socket.arrive(numbered(1))
    await exchange.quiet()
    exchange.push(1)
    farewell = Failure(data=error_data("replaced", "by another"))
    exchange.wire.finish(farewell)
    exchange.wire.finish(Failure(data=error_data("too-late", "")))
    exchange.socket.arrive(numbered(2))
    await exchange.end()
    assert exchange.socket.sent == [numbered(1, ack=1), farewell]
    assert exchange.socket.close_code == WSCloseCode.POLICY_VIOLATION
    # What came after the decision was neither handled nor acknowledged.
    assert exchange.handled == [numbered(1)]


async def test_finishing_without_a_farewell_is_a_goodbye():
    exchange = Exchange()
    exchange.socket.arrive(numbered(1))
    await exchange.quiet()
    exchange.wire.finish()
    await exchange.end()
    assert exchange.socket.sent == [Ack(ack=1)]
    assert exchange.socket.close_code == WSCloseCode.OK


async def test_after_a_drop_the_channel_is_left_alone():
    exchange = Exchange()
    await exchange.quiet()
    exchange.wire.drop()
    exchange.push(1)
    exchange.socket.arrive(numbered(1))
    with pytest.raises(Disconnected, match="took over"):
        await exchange.end()
    assert exchange.socket.sent == []
    assert exchange.handled == []
    assert exchange.channel.transmit(0) == [numbered(1)]


async def test_a_slow_reader_holds_the_writer_and_nothing_else():
    exchange = Exchange()
    exchange.socket.gate.clear()
    for number in range(1, 4):
        exchange.push(number)
    exchange.socket.arrive(numbered(1))
    await exchange.quiet()
    assert exchange.handled == [numbered(1)]
    exchange.socket.gate.set()
    await exchange.quiet()
    assert [message.seq for message in exchange.socket.sent] == [1, 2, 3]
    exchange.socket.arrive_end()
    with pytest.raises(Disconnected):
        await exchange.end()


async def test_a_connection_that_breaks_while_sending_is_over():
    exchange = Exchange()
    exchange.socket.error = ConnectionResetError("broken")
    exchange.push(1)
    with pytest.raises(Disconnected, match="broken"):
        await exchange.end()


async def test_nonsense_ends_the_exchange():
    exchange = Exchange()
    exchange.socket.inbound.put_nowait(WSMessage(WSMsgType.TEXT, "nonsense", None))
    with pytest.raises(InvalidSignal):
        await exchange.end()


async def test_what_the_handler_raises_ends_the_exchange():
    exchange = Exchange()
    exchange.socket.arrive(numbered(5))
    with pytest.raises(InvalidSignal, match="missing"):
        await exchange.end()


async def test_cancelling_leaves_no_task():
    exchange = Exchange()
    await exchange.quiet()
    exchange.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await exchange.end()
    assert asyncio.all_tasks() == {asyncio.current_task()} | {
        task for task in asyncio.all_tasks() if "TestRunner" in repr(task)
    }


async def test_an_end_tells_its_code():
    socket = Socket()
    wire = Wire(socket, Codec.JSON, parse_client_message)
    socket.close_code = 1001
    socket.arrive_end(WSMsgType.CLOSE)
    with pytest.raises(Disconnected) as caught:
        await wire.receive()
    assert caught.value.code == 1001


async def test_a_message_comes_with_its_size():
    socket = Socket()
    message = Numbered(envelope(OFFER), 1, 0)
    socket.arrive(message)
    size = len(encode(message, Codec.JSON))
    assert await Wire(socket, Codec.JSON, parse_client_message).receive() == (message, size)
