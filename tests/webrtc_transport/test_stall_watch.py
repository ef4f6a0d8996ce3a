"""Streams that nobody reads: when they are given up, and that others live on."""

import anyio
import pytest

from tests.pairs import config, connected, read_all
from webrtc_transport.errors import StreamReset, StreamStalled
from webrtc_transport.link import GRANTS_PER_BUFFER
from webrtc_transport.protocol.framing import Flag, encode_frame
from webrtc_transport.protocol.limits import MAX_FRAME_PAYLOAD
from webrtc_transport.stall_watch import LOOKS_PER_TIMEOUT, StallWatch

pytestmark = pytest.mark.anyio

WINDOW = 64 * 1024
TIMEOUT = 0.5


class FakeStream:
    """As much of a stream as the watch looks at."""

    def __init__(self, unread=0, incomplete=0):
        self.unread = (unread, 0)
        self.incomplete = (incomplete, 0)
        self.was_stalled = False

    def arrive(self, size):
        self.unread = (self.unread[0] + size, self.unread[1])

    def read(self, size):
        self.unread = (self.unread[0] - size, self.unread[1] + 1)

    def begin_frame(self, size):
        self.incomplete = (size, self.incomplete[1] + 1)

    def add_to_frame(self, size):
        self.incomplete = (self.incomplete[0] + size, self.incomplete[1])

    def stalled(self, why):
        self.was_stalled = True
        self.why = why
        self.unread = (0, self.unread[1])
        self.incomplete = (0, self.incomplete[1])


def test_what_lies_unread_for_the_whole_time_is_given_up():
    watch, lying, empty = StallWatch(10, 3, 1000), FakeStream(5), FakeStream()
    for now in (0, 5, 9.9):
        watch.look([lying, empty], now)
        lying.arrive(1)
        assert not lying.was_stalled
    watch.look([lying, empty], 10)
    assert lying.was_stalled
    assert not empty.was_stalled


def test_each_read_gives_a_stream_the_whole_time_again():
    watch, slow = StallWatch(10, 3, 1000), FakeStream(100)
    for now in range(0, 100, 9):
        watch.look([slow], now)
        slow.read(1)
    watch.look([slow], 109)
    assert not slow.was_stalled
    watch.look([slow], 119)
    assert slow.was_stalled


def test_the_time_begins_when_there_is_something_to_read():
    watch, stream = StallWatch(10, 3, 1000), FakeStream()
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
    watch, unread, read = StallWatch(10, 3, 1000), FakeStream(5), FakeStream(5)
    for stream in (unread, read, FakeStream()):
        watch.closed(stream)
    assert watch._closed == [unread, read]
    watch.look([], 0)
    read.read(5)
    watch.look([], 10)
    assert unread.was_stalled
    assert not read.was_stalled
    assert watch._closed == []


def test_a_frame_has_the_whole_time_once():
    watch, dripping, busy = StallWatch(10, 3, 1000), FakeStream(incomplete=1000), FakeStream(incomplete=1000)
    for now in range(0, 10, 2):
        watch.look([dripping, busy], now)
        assert not dripping.was_stalled
        dripping.add_to_frame(1)
        busy.begin_frame(1000)
    watch.look([dripping, busy], 10)
    assert dripping.was_stalled
    assert dripping.why.startswith("the peer left a frame incomplete for 10 s (stalled_stream_timeout)")
    assert not busy.was_stalled


def test_the_length_of_a_frame_that_cant_come_yet_keeps_nobody_waiting():
    watch, innocent = StallWatch(10, 3, 1000), FakeStream(incomplete=3)
    for now in (0, 10, 20):
        watch.look([innocent], now)
    assert not innocent.was_stalled
    innocent.add_to_frame(1)
    watch.look([innocent], 30)
    watch.look([innocent], 40)
    assert innocent.was_stalled


def test_a_frame_that_cant_come_because_others_are_read_slowly_has_its_time_after_that():
    watch, innocent, slow = StallWatch(10, 3, 1000), FakeStream(incomplete=500), FakeStream(unread=2000)
    for now in range(0, 50, 2):
        watch.look([innocent, slow], now)
        slow.read(1)
    assert not innocent.was_stalled
    slow.read(1000)
    for now in (50, 59):
        slow.read(1)
        watch.look([innocent, slow], now)
        assert not innocent.was_stalled
    watch.look([innocent, slow], 60)
    assert innocent.was_stalled
    assert not slow.was_stalled


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


ALMOST = encode_frame(bytes(MAX_FRAME_PAYLOAD))[:-1]
"""A frame that lacks one byte."""


async def send_raw(stream, message):
    """Send what isn't a whole frame, as one message."""
    await stream._portal.call(stream._channel.send, message)


@pytest.mark.parametrize("engine", ["native", "memory"])
async def test_frames_that_are_never_completed_give_way(engine):
    """Each holds less than a frame, and all together the whole window."""
    settings = config(engine=engine, stalled_stream_timeout=TIMEOUT)
    streams = settings.receive_buffer // len(ALMOST) + 6
    async with connected(dialer_settings=config(engine=engine), listener_settings=settings) as pair:
        hostile = [await pair.dialer.open_stream() for _ in range(streams)]
        for stream in hostile:
            await send_raw(stream, ALMOST)
        while sum(stream.incomplete[0] for stream in pair.listener._link.streams) < WINDOW:
            await anyio.sleep(0.001)
        other = await pair.dialer.open_stream()
        await other.send(b"let me through")
        await other.send_eof()
        with anyio.fail_after(20):
            held = [await pair.listener.accept_stream() for _ in range(streams)]
            assert await read_all(await pair.listener.accept_stream()) == b"let me through"
            for stream in held:
                with pytest.raises(
                    StreamStalled, match=r"left a frame incomplete for 0.5 s \(stalled_stream_"
                ):
                    await stream.receive()
            for stream in hostile:
                with pytest.raises(StreamReset):
                    await stream.receive()
        # Nothing is held any more: the window is as wide as before.
        while (await pair.listener.statistics()).engine.unread > settings.receive_buffer // GRANTS_PER_BUFFER:
            await anyio.sleep(0.001)


@pytest.mark.parametrize("is_reset", [False, True])
async def test_what_comes_of_a_frame_after_the_end_of_its_stream_is_not_held(is_reset):
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"data")
        inbound = await pair.listener.accept_stream()
        if is_reset:
            inbound.reset()
            await send_raw(stream, ALMOST)
        else:
            # Both halves end by a FIN that is acknowledged.
            await inbound.send_eof()
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()
            await send_raw(stream, encode_frame(flag=Flag.FIN) + ALMOST)
        await (await pair.dialer.open_stream()).send(b"behind it")
        await pair.listener.accept_stream()
        assert inbound.incomplete[0] == 0
