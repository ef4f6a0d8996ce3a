"""Streams that nobody reads: when they are given up, and that others live on."""

import anyio
import pytest

from tests.pairs import config, connected, read_all
from webrtc_transport.errors import StreamReset, StreamStalled
from webrtc_transport.stall_watch import LOOKS_PER_TIMEOUT, StallWatch

pytestmark = pytest.mark.anyio

WINDOW = 64 * 1024
TIMEOUT = 0.5


class FakeStream:
    """As much of a stream as the watch looks at."""

    def __init__(self, unread=0):
        self.unread = (unread, 0)
        self.was_stalled = False

    def arrive(self, size):
        self.unread = (self.unread[0] + size, self.unread[1])

    def read(self, size):
        self.unread = (self.unread[0] - size, self.unread[1] + 1)

    def stalled(self, timeout):
        self.was_stalled = True
        self.unread = (0, self.unread[1])


def test_what_lies_unread_for_the_whole_time_is_given_up():
    watch, lying, empty = StallWatch(10), FakeStream(5), FakeStream()
    for now in (0, 5, 9.9):
        watch.look([lying, empty], now)
        lying.arrive(1)
        assert not lying.was_stalled
    watch.look([lying, empty], 10)
    assert lying.was_stalled
    assert not empty.was_stalled


def test_each_read_gives_a_stream_the_whole_time_again():
    watch, slow = StallWatch(10), FakeStream(100)
    for now in range(0, 100, 9):
        watch.look([slow], now)
        slow.read(1)
    watch.look([slow], 109)
    assert not slow.was_stalled
    watch.look([slow], 119)
    assert slow.was_stalled


def test_the_time_begins_when_there_is_something_to_read():
    watch, stream = StallWatch(10), FakeStream()
    watch.look([stream], 0)
    stream.arrive(5)
    watch.look([stream], 100)
    assert not stream.was_stalled
    stream.read(5)
    watch.look([stream], 105)
    stream.arrive(5)
    watch.look([stream], 111)
    assert not stream.was_stalled


def test_streams_whose_channel_is_closed_are_watched_until_they_are_read():
    watch, unread, read = StallWatch(10), FakeStream(5), FakeStream(5)
    for stream in (unread, read, FakeStream()):
        watch.closed(stream)
    assert watch._closed == [unread, read]
    watch.look([], 0)
    read.read(5)
    watch.look([], 10)
    assert unread.was_stalled
    assert not read.was_stalled
    assert watch._closed == []


async def fill(stream):
    """Send more than the window holds; returns what ended it."""
    with pytest.raises(StreamReset) as caught:
        while True:
            await stream.send(bytes(16 * 1024))
    return caught.value


async def shut_and_opened(engine, **settings):
    """One stream that nobody reads shuts the window; the other comes to life again after the deadline."""
    listener_settings = config(
        engine=engine, receive_buffer=WINDOW, stalled_stream_timeout=TIMEOUT, **settings
    )
    async with connected(dialer_settings=config(engine=engine), listener_settings=listener_settings) as pair:
        stalled = await pair.dialer.open_stream()
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(fill, stalled)
            unread = await pair.listener.accept_stream()
            while unread.unread[0] < WINDOW // 2:
                await anyio.sleep(0.001)
            # Nothing of it arrives before the other gives way, for the window is shut.
            other = await pair.dialer.open_stream()
            await other.send(bytes(4 * WINDOW))
            await other.send_eof()
            started = anyio.current_time()
            inbound = await pair.listener.accept_stream()
            with anyio.fail_after(20):
                assert await read_all(inbound) == bytes(4 * WINDOW)
        with pytest.raises(StreamStalled, match="stalled_stream_timeout"):
            await unread.receive()
        return anyio.current_time() - started


@pytest.mark.parametrize("engine", ["memory", "native", "aiortc"])
async def test_a_stream_that_nobody_reads_gives_way_to_the_others(engine):
    await shut_and_opened(engine)


async def test_with_the_memory_engine_the_others_wait_for_the_deadline_and_not_much_longer():
    assert TIMEOUT / 2 < await shut_and_opened("memory") < 4 * TIMEOUT


async def test_a_slow_reader_loses_nothing():
    settings = config(engine="memory", stalled_stream_timeout=TIMEOUT)
    async with connected(dialer_settings=config(engine="memory"), listener_settings=settings) as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(bytes(1000))
        await stream.send_eof()
        inbound = await pair.listener.accept_stream()
        received = b""
        for _ in range(8):
            received += await inbound.receive(100)
            await anyio.sleep(TIMEOUT / 2)
        assert received + await read_all(inbound) == bytes(1000)


async def test_a_stream_that_nobody_accepts_gives_way_too():
    settings = config(engine="memory", stalled_stream_timeout=0.05)
    async with connected(dialer_settings=config(engine="memory"), listener_settings=settings) as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"data")
        with pytest.raises(StreamReset), anyio.fail_after(5):
            await stream.receive()
        with pytest.raises(StreamStalled):
            await (await pair.listener.accept_stream()).receive()


async def test_what_came_on_a_channel_that_is_closed_gives_way_too():
    settings = config(engine="memory", stalled_stream_timeout=0.2)
    async with connected(dialer_settings=config(engine="memory"), listener_settings=settings) as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"data")
        inbound = await pair.listener.accept_stream()
        await inbound.send_eof()
        await stream.aclose()
        while (await pair.listener.statistics()).streams:
            await anyio.sleep(0.001)
        with anyio.fail_after(5):
            while inbound.unread[0]:
                await anyio.sleep(0.2 / LOOKS_PER_TIMEOUT)
        with pytest.raises(StreamStalled):
            await inbound.receive()
