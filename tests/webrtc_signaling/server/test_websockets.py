"""What is done for all WebSockets together: silent ones are found, and at the end all go."""

import asyncio
import gc
import math

import pytest
from aiohttp import WSMsgType, WSServerHandshakeError, web

from tests.webrtc_signaling.browsers import OFFER_DATA, TIMEOUT, health, serve
from tests.webrtc_signaling.samples import ALICE, ALICE_ID, BOB, BOB_ID
from webrtc_signaling.messages import Failure, error_data
from webrtc_signaling.server.app import SERVICE, create_app, running_app
from webrtc_signaling.server.settings import ServerSettings

pytestmark = pytest.mark.anyio


async def raw_websocket(server):
    """A connection that answers nothing by itself; the handshake and the challenge are read."""
    host, port = server.url.removeprefix("ws://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
    )
    await reader.readuntil(b"\r\n\r\n")
    await reader.readexactly((await reader.readexactly(2))[1])
    return reader, writer


async def test_aiohttp_keeps_nothing_of_a_websocket():
    async with serve() as server, server.registered(ALICE) as alice:
        (connection,) = server.app[SERVICE].websockets._connections
        assert connection._transport.get_protocol() is connection
        # What it made for the handshake is gone.
        gc.collect()
        assert not [each for each in gc.get_objects() if isinstance(each, web.RequestHandler)]
        assert ALICE_ID in server.hub.roster._registrations
        await alice.signal("offer", BOB_ID, OFFER_DATA)
        assert (await alice.receive())["data"]["code"] == "peer-not-found"


async def test_a_client_that_is_silent_is_asked_and_dropped():
    async with serve(heartbeat=0.2) as server:
        reader, writer = await raw_websocket(server)
        async with asyncio.timeout(TIMEOUT):
            assert await reader.readexactly(2) == b"\x89\x00"
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await reader.readexactly(1)
        writer.close()
        assert (await health(server))["connections"] == 0


async def test_one_that_can_not_be_written_to_keeps_no_other_waiting(caplog):
    class Connection:
        def __init__(self, error=None):
            self.error = error
            self.flushed = asyncio.Event()

        def flush(self):
            if self.error is not None:
                raise self.error
            self.flushed.set()

    async with serve() as server:
        websockets, other = server.app[SERVICE].websockets, Connection()
        websockets.flush_soon(Connection(RuntimeError("a defect")))
        websockets.flush_soon(other)
        async with asyncio.timeout(TIMEOUT):
            await other.flushed.wait()
    assert "RuntimeError: a defect" in caplog.text


async def test_one_that_is_dropped_is_written_to_no_more():
    async with serve() as server, server.registered(ALICE):
        (connection,) = server.app[SERVICE].websockets._connections
        connection._asked_at = -math.inf
        connection.look_after(0.0)
        assert connection._is_closing


async def test_a_client_that_answers_stays():
    async with serve(heartbeat=0.2) as server, server.registered(ALICE) as alice:
        registration = server.hub.roster._registrations[ALICE_ID]
        (connection,) = server.app[SERVICE].websockets._connections
        reading = asyncio.create_task(alice.socket.receive())
        for _ in range(2):
            while connection._asked_at is None:
                await asyncio.sleep(0.001)
            while connection._asked_at is not None:
                await asyncio.sleep(0.001)
        assert registration.link is connection
        reading.cancel()


async def test_pings_of_a_client_are_answered_amid_a_message():
    async with serve() as server:
        reader, writer = await raw_websocket(server)
        zero = bytes(4)
        writer.write(b"\x01\x82" + zero + b"ab" + b"\x89\x82" + zero + b"hi")
        assert await reader.readexactly(4) == b"\x8a\x02hi"
        writer.write(b"\x88\x82" + zero + b"\x03\xe8")
        assert await reader.read() == b"\x88\x02\x03\xe8"
        writer.close()


@pytest.mark.parametrize("data", [b"\x81\x02ab", b"\x83\x82" + bytes(4) + b"ab"])
async def test_frames_that_are_none_cost_the_connection(data):
    async with serve() as server:
        reader, writer = await raw_websocket(server)
        writer.write(data)
        assert await reader.readexactly(4) == b"\x88\x02\x03\xea"
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
        assert (await health(server))["connections"] == 0


async def test_who_goes_on_after_what_is_no_frame_is_not_read_and_gets_no_more_time():
    async with serve(close_timeout=0.3) as server:
        reader, writer = await raw_websocket(server)
        (connection,) = server.app[SERVICE].websockets._connections
        # Of a frame that is wrong only with its second byte: there is a buffer by then.
        writer.write(b"\x82")
        while connection._frames._buffer is None:
            await asyncio.sleep(0)
        writer.write(b"\x00")
        assert await reader.readexactly(4) == b"\x88\x02\x03\xea"
        deadline = connection._timer.when()
        heard_at = connection._heard_at
        for _ in range(3):
            connection.data_received(b"\x82\x00" * 1000)
            connection.close(Failure(data=error_data("shutting-down", "it ends")))
        assert connection._frames is None
        assert connection._heard_at == heard_at
        assert connection._timer.when() == deadline
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


async def test_closing_again_gives_no_more_time():
    async with serve() as server:
        reader, writer = await raw_websocket(server)
        (connection,) = server.app[SERVICE].websockets._connections
        connection.close(Failure(data=error_data("shutting-down", "it ends")))
        deadline = connection._timer.when()
        await reader.readuntil(b"\x88\x02\x03\xf0")
        connection.eof_received()
        assert connection._timer is not None
        assert connection._timer.when() == deadline
        writer.close()


async def test_the_end_waits_for_nobody_for_ever():
    async with serve(close_timeout=0.1) as server:
        _, writer = await raw_websocket(server)
        websockets = server.app[SERVICE].websockets
        (connection,) = websockets._connections
        # As if it had been told to go, and then its timer was lost.
        connection._is_closing = True
        connection._cancel_timer()
        async with asyncio.timeout(TIMEOUT):
            await websockets.end_all()
            while websockets._connections:
                await asyncio.sleep(0)
        writer.close()


@pytest.mark.parametrize("path", ["/", "/ws"])
async def test_nobody_gets_in_any_more_when_the_server_ends(path):
    async with serve() as server:
        await server.app[SERVICE].websockets.end_all()
        with pytest.raises(WSServerHandshakeError) as caught:
            await server.connect(path)
        assert caught.value.status == 503
        assert (await health(server))["connections"] == 0


async def test_nor_does_who_was_amid_the_handshake(monkeypatch):
    async with serve() as server:
        websockets = server.app[SERVICE].websockets
        monkeypatch.setattr(websockets, "check_open", lambda: None)
        await websockets.end_all()
        async with server.connect() as socket:
            assert (await socket.receive(TIMEOUT)).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
        assert not websockets._connections


async def test_who_does_not_go_is_cut_off_in_time():
    async with serve(close_timeout=0.1) as server:
        reader, writer = await raw_websocket(server)
        # No client any more would be a wrong proof; it closes for that.
        writer.write(b"\x81\x82" + bytes(4) + b"{}")
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(100_000)
        writer.close()


async def test_a_flood_of_pings_is_stopped():
    async with (
        serve(max_message_burst=10, max_messages_per_second=1) as server,
        server.registered(ALICE) as alice,
    ):
        for _ in range(11):
            await alice.socket.ping()
        assert await alice.refusal() == "rate-limited"


@pytest.mark.parametrize("head", [b"\x89", b"\x8a", b"\x00"], ids=["ping", "pong", "fragment"])
async def test_so_is_one_of_other_frames_before_the_registration(head):
    async with serve(max_message_burst=10, max_messages_per_second=0.001) as server:
        reader, writer = await raw_websocket(server)
        empty = b"\x80" + bytes(4)
        begin = b"\x01" + empty if head == b"\x00" else head + empty
        writer.write(begin + 9 * (head + empty))
        # A ping amid the message would count, so the state is looked at.
        (connection,) = server.app[SERVICE].websockets._connections
        while connection._bucket is None:
            await asyncio.sleep(0)
        assert not connection._is_closing
        writer.write(head + empty)
        told = await reader.readuntil(b"\x88\x02\x03\xf0")
        assert b"rate-limited" in told
        assert told.count(b"\x8a\x00") == (10 if head == b"\x89" else 0)
        writer.close()


async def test_pongs_that_were_asked_for_cost_nothing():
    async with serve(max_message_burst=1, max_messages_per_second=0.001) as server:
        reader, writer = await raw_websocket(server)
        (connection,) = server.app[SERVICE].websockets._connections
        pong = b"\x8a\x80" + bytes(4)
        for _ in range(3):
            # As if it had been silent for long.
            connection.look_after(math.inf)
            assert await reader.readexactly(2) == b"\x89\x00"
            writer.write(pong)
            while connection._asked_at is not None:
                await asyncio.sleep(0)
        assert connection._bucket is None
        # One answers, one is let through, and one is too many.
        connection.look_after(math.inf)
        assert await reader.readexactly(2) == b"\x89\x00"
        writer.write(3 * pong)
        assert b"rate-limited" in await reader.readuntil(b"\x88\x02\x03\xf0")
        writer.close()


async def test_who_does_not_read_gets_no_answers_to_pings():
    async with serve() as server:
        reader, writer = await raw_websocket(server)
        (connection,) = server.app[SERVICE].websockets._connections
        # As the transport does when more waits for the client than it likes.
        connection.pause_writing()
        connection._asked_at = 0.0
        writer.write(b"\x89\x81" + bytes(4) + b"1")
        while connection._asked_at is not None:
            await asyncio.sleep(0)
        connection.resume_writing()
        writer.write(b"\x89\x81" + bytes(4) + b"2")
        assert await reader.readexactly(3) == b"\x8a\x012"
        writer.close()


async def test_the_server_ends_when_all_have_gone():
    settings = ServerSettings(port=0, close_timeout=0.2)
    app = create_app(settings)
    async with running_app(app, settings) as url:
        server = type("Server", (), {"url": url})
        _, writer = await raw_websocket(server)
        assert app[SERVICE].websockets._connections
    assert not app[SERVICE].websockets._connections
    writer.close()


async def test_messages_to_one_client_go_in_one_write(monkeypatch):
    async with serve() as server, server.registered(ALICE) as alice, server.registered(BOB) as bob:
        link = server.hub.roster._registrations[BOB_ID].link
        flushes = []
        flush = type(link).flush
        monkeypatch.setattr(type(link), "flush", lambda self: (flushes.append(self), flush(self)))
        for index in range(5):
            await alice.signal("candidate", BOB_ID, None, index=index)
        assert [(await bob.receive())["index"] for _ in range(5)] == [0, 1, 2, 3, 4]
        assert 1 <= flushes.count(link) <= 5
        assert alice.socket._response is not None
        frame = await alice.socket.receive(TIMEOUT)
        assert frame.type is WSMsgType.TEXT
