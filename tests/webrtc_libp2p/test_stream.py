import contextlib

import pytest
import trio
from libp2p.network.stream.exceptions import StreamClosed, StreamEOF, StreamReset
from libp2p.stream_muxer.exceptions import MuxedStreamClosed, MuxedStreamEOF, MuxedStreamReset

from tests.webrtc_libp2p.hosts import settings, two_hosts, until
from webrtc_libp2p import connection as connection_module

pytestmark = pytest.mark.anyio

RAW = "/raw/1.0.0"


@contextlib.asynccontextmanager
async def streams(server, **changes):
    """Both ends of a stream: the dialer's and the listener's."""
    arrived, done = [], trio.Event()

    async def handler(stream):
        arrived.append(stream)
        await done.wait()

    with trio.fail_after(30):
        async with two_hosts(server.url, config=settings(**changes)) as (dialer, listener):
            listener.set_stream_handler(RAW, handler)
            stream = await dialer.new_stream(listener.get_id(), [RAW])
            await until(lambda: arrived)
            yield stream, arrived[0]
            done.set()


async def test_each_direction_ends_by_itself(server):
    async with streams(server) as (ours, theirs):
        await ours.write(b"question")
        await ours.close_write()
        assert await theirs.read(100) == b"question"
        with pytest.raises(StreamEOF):
            await theirs.read(100)
        await theirs.write(b"answer")
        assert await ours.read(100) == b"answer"
        with pytest.raises(StreamClosed):
            await ours.write(b"more")
        await theirs.close()
        with pytest.raises(StreamEOF):
            await ours.read(100)


async def test_what_is_answered_after_close_can_be_read(server):
    """As py-libp2p's echo example does: write, close, read."""
    async with streams(server) as (ours, theirs):
        await ours.write(b"question")
        await ours.close()
        assert await theirs.read() == b"question"
        assert await theirs.read() == b""
        await theirs.write(b"answer")
        await theirs.close()
        assert await ours.read() == b"answer"


async def test_the_end_is_told_once_without_an_exception_and_then_with_one(server):
    async with streams(server) as (ours, theirs):
        await ours.close_write()
        assert await theirs.read() == b""
        with pytest.raises(StreamEOF):
            await theirs.read()


async def test_a_read_takes_no_more_than_asked(server):
    async with streams(server) as (ours, theirs):
        await ours.write(b"0123456789")
        assert await theirs.read(4) == b"0123"
        assert await theirs.read(0) == b""
        assert await theirs.read(-1) == b"456789"
        with pytest.raises(ValueError, match="not -2"):
            await theirs.muxed_stream.read(-2)


async def test_a_reset_is_told_to_both(server):
    async with streams(server) as (ours, theirs):
        await ours.reset()
        with pytest.raises(StreamReset):
            await theirs.read(1)
        with pytest.raises(MuxedStreamReset):
            await ours.muxed_stream.read(1)
        with pytest.raises(MuxedStreamReset):
            await ours.muxed_stream.write(b"more")
        # What is over needs no end.
        await ours.muxed_stream.close()


async def test_the_end_of_the_connection_is_a_reset(server):
    async with streams(server) as (ours, theirs):
        await theirs.muxed_conn.abort()
        with pytest.raises(MuxedStreamReset):
            await ours.muxed_stream.read(1)


async def test_a_peer_that_does_not_read_lets_the_writer_wait(server):
    async with streams(server, receive_buffer=64 * 1024, send_buffer=32 * 1024) as (ours, theirs):
        data = bytes(8 * 2**20)
        with trio.move_on_after(0.5) as scope:
            await ours.muxed_stream.write(data)
        assert scope.cancelled_caught
        received = 0
        with trio.move_on_after(0.5):
            while True:
                received += len(await theirs.read(65536))
        assert 0 < received < len(data)


async def test_deadlines(server):
    async with streams(server, receive_buffer=64 * 1024, send_buffer=32 * 1024) as (ours, theirs):
        stream = ours.muxed_stream
        with pytest.raises(ValueError, match="future"):
            stream.set_deadline(-1)
        stream.set_deadline(60)
        await theirs.write(b"in time")
        assert await stream.read(100) == b"in time"
        stream.set_deadline(0)
        with pytest.raises(TimeoutError, match="read"):
            await stream.read(100)
        with pytest.raises(TimeoutError, match="write"):
            await stream.write(bytes(2**22))


async def test_tasks_that_write_at_once_take_turns(server):
    async with streams(server) as (ours, theirs), trio.open_nursery() as nursery:
        for letter in (b"a", b"b", b"c"):
            nursery.start_soon(ours.write, letter * 50_000)
        received = b""
        while len(received) < 150_000:
            received += await theirs.read(65536)
        order = list(dict.fromkeys(received))
        assert received == b"".join(bytes([byte]) * 50_000 for byte in order)


async def test_a_closed_stream_that_nobody_reads_is_let_go(server, monkeypatch):
    monkeypatch.setattr(connection_module, "READ_AFTER_CLOSE", 0.05)
    async with streams(server) as (ours, theirs):
        await ours.close()
        await trio.sleep(0.1)
        # The peer is told that nobody reads it, and our end reads nothing more.
        with pytest.raises(MuxedStreamEOF):
            await ours.muxed_stream.read(1)

        async def until_told():
            while True:
                await theirs.muxed_stream.write(b"anybody there?")
                await trio.sleep(0.01)

        with pytest.raises(MuxedStreamClosed):
            await until_told()


async def test_a_closed_stream_that_is_read_is_kept(server, monkeypatch):
    monkeypatch.setattr(connection_module, "READ_AFTER_CLOSE", 0.05)
    async with streams(server) as (ours, theirs), trio.open_nursery() as nursery:
        await ours.close()

        async def answer():
            await trio.sleep(0.3)
            await theirs.write(b"late")

        nursery.start_soon(answer)
        assert await ours.read(100) == b"late"


async def test_as_a_context_it_is_closed_at_the_end(server):
    async with streams(server) as (ours, theirs):
        async with ours.muxed_stream as stream:
            await stream.write(b"all")
        assert await theirs.read(100) == b"all"
        with pytest.raises(StreamEOF):
            await theirs.read(100)
        assert ours.get_remote_address() == ours.muxed_conn.get_remote_address()
