"""The client's polls, and services that answer them badly."""

import asyncio
import contextlib
import gzip
import json
import tracemalloc

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from tests.asyncio_loops import LOOPS
from tests.webrtc_signaling.backends import TIMEOUT
from tests.webrtc_signaling.samples import ALICE_ID, INSTANCE, OFFER, envelope
from webrtc_signaling.batch import CONNECTION_HEADER
from webrtc_signaling.channel import ReliableChannel
from webrtc_signaling.client import ClientOptions
from webrtc_signaling.limits import MAX_BATCH_SIZE, MAX_POLL_TRIES, MIN_COMPRESSED_SIZE, MIN_POLL_INTERVAL
from webrtc_signaling.messages import Ack, Challenge, Register, to_wire
from webrtc_signaling.poll_wire import PollWire
from webrtc_signaling.server.app import running_app
from webrtc_signaling.server.settings import ServerSettings
from webrtc_signaling.wire import Disconnected
from webrtc_transport.errors import InvalidSignal
from webrtc_transport.protocol.signals import DescriptionData, Offer

pytestmark = pytest.mark.anyio

CHALLENGE = Challenge(nonce="n" * 16, connection="c" * 16)
OPTIONS = ClientOptions(heartbeat=2 * TIMEOUT, retry_initial=0.001)
"""A request may take as long as a test: none of these is about a service that is late."""
REGISTER = Register(peer=ALICE_ID, instance=INSTANCE)


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return request.param


def answer(*messages, **options):
    body = "".join(f"{json.dumps(to_wire(message, binary=False))}\n" for message in messages)
    return web.Response(body=body.encode(), **options)


@contextlib.asynccontextmanager
async def wire_to(script):
    """A wire to a service; ``script(request, body)`` answers each of its requests."""

    async def handle(request):
        return await script(request, await request.read())

    app = web.Application(client_max_size=MAX_BATCH_SIZE)
    app.router.add_route("*", "/poll", handle)
    settings = ServerSettings(port=0, close_timeout=0.1)
    async with asyncio.timeout(TIMEOUT), running_app(app, settings) as url, aiohttp.ClientSession() as http:
        yield PollWire(http, URL(url.replace("ws:", "http:")) / "poll", OPTIONS)


def new_channel():
    return ReliableChannel(max_messages=100, max_bytes=1_000_000)


async def test_the_name_of_the_connection_stands_in_each_further_request():
    names = []

    async def script(request, body):
        names.append(request.headers.get(CONNECTION_HEADER))
        return answer(CHALLENGE if names == [None] else Ack(ack=0))

    async with wire_to(script) as wire:
        await wire.open()
        assert (await wire.receive())[0] == CHALLENGE
        await wire.send(REGISTER)
        message, size = await wire.receive()
        assert (message, size) == (Ack(ack=0), len('{"version": 1, "type": "ack", "ack": 0}'))
        with pytest.raises(Disconnected):
            await wire.receive()
    assert names == [None, CHALLENGE.connection]


@pytest.mark.parametrize(
    ("response", "error", "text"),
    [
        (answer, InvalidSignal, "no challenge"),
        (lambda: answer(Challenge(nonce="n" * 16)), InvalidSignal, "no challenge with a connection"),
        (lambda: web.Response(text="<html>Log in to this network</html>"), InvalidSignal, "not JSON"),
        (lambda: web.Response(body=b"\xff"), InvalidSignal, "not UTF-8"),
        (lambda: web.Response(body=b"\n" * (MAX_BATCH_SIZE + 1)), InvalidSignal, "more than 262144 bytes"),
        (
            lambda: web.Response(text="no\nsuch page", status=404),
            Disconnected,
            r"status 404 'no\\nsuch page'",
        ),
        (
            lambda: web.Response(text="<h1>Nothing here</h1>", content_type="text/html", status=501),
            Disconnected,
            "HTTP status 501; a web server answers there, and no signaling server: check host, port and path$",
        ),
        (lambda: web.Response(text="x" * 10_000, status=500), Disconnected, "status 500 'x{200}'$"),
        (lambda: web.Response(text="too many clients\n", status=503), Disconnected, "503 'too many clients'"),
    ],
)
async def test_what_is_no_service_is_refused_by_name(response, error, text):
    async def script(request, body):
        return response()

    async with wire_to(script) as wire:
        with pytest.raises(error, match=text):
            await wire.open()


async def test_a_bomb_of_gzip_takes_little_memory():
    bomb = gzip.compress(b" " * 100 * 1024 * 1024)

    async def script(request, body):
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with wire_to(script) as wire:
        tracemalloc.start()
        try:
            with pytest.raises(InvalidSignal, match="more than"):
                await wire.open()
            assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
        finally:
            tracemalloc.stop()


async def test_large_bodies_are_compressed_and_small_ones_are_not():
    seen = []

    async def script(request, body):
        if request.method == "POST":
            seen.append((request.headers.get("Content-Encoding"), len(body)))
            return answer(Ack(ack=len(seen)))
        return answer()

    async with wire_to(script) as wire:
        channel = new_channel()
        exchange = asyncio.create_task(
            wire.exchange(channel, lambda message, _: channel.acknowledge(message.ack))
        )
        for sdp in ("v=0\r\n", "v=0\r\n" * 1000):
            channel.push(envelope(Offer(data=DescriptionData(type="offer", sdp=sdp))), 100)
            wire.wake()
            while channel.unacknowledged:
                await asyncio.sleep(0.001)
        wire.finish()
        await exchange
    assert [encoding for encoding, _ in seen] == [None, "gzip"]
    assert seen[0][1] < MIN_COMPRESSED_SIZE < seen[1][1]


async def test_a_request_that_fails_again_and_again_ends_the_connection():
    polls = []

    async def script(request, body):
        polls.append(request.query["received"])
        raise web.HTTPBadGateway

    async with wire_to(script) as wire:
        with pytest.raises(Disconnected, match="502"):
            await wire.exchange(new_channel(), None)
    assert polls == ["0"] * MAX_POLL_TRIES


async def test_a_connection_that_the_service_has_forgotten_is_over_at_once():
    polls = []

    async def script(request, body):
        polls.append(request.method)
        raise web.HTTPNotFound(text="there is no such connection")

    async with wire_to(script) as wire:
        with pytest.raises(Disconnected, match="no such connection"):
            await wire.exchange(new_channel(), None)
    assert polls == ["GET"]


async def test_a_service_that_does_not_wait_is_not_flooded():
    times = []

    async def script(request, body):
        times.append(asyncio.get_running_loop().time())
        if len(times) == 3:
            raise web.HTTPNotFound
        return answer()

    async with wire_to(script) as wire:
        with pytest.raises(Disconnected):
            await wire.exchange(new_channel(), None)
    # Less a hair, because the time of the request's way isn't known.
    assert times[2] - times[0] > 2 * MIN_POLL_INTERVAL - 0.2


async def test_finishing_sends_what_is_left_and_says_goodbye():
    seen = []

    async def script(request, body):
        if request.method == "GET":
            await asyncio.sleep(5)
        seen.append((request.method, body.count(b"\n"), request.query.get("received")))
        return answer(Ack(ack=2)) if request.method == "POST" else web.Response(status=204)

    async with wire_to(script) as wire:
        channel = new_channel()
        channel.accept(1, 0.0)
        for index in range(2):
            channel.push(envelope(OFFER, index=index), 100)
        wire.finish()
        await wire.exchange(channel, lambda message, _: channel.acknowledge(message.ack))
        assert seen == [("POST", 2, None), ("DELETE", 0, "1")]
        assert not channel.unacknowledged


async def test_what_the_handler_raises_ends_the_exchange():
    async def script(request, body):
        return answer(Ack(ack=9))

    def handle(message, size):
        raise InvalidSignal("ack")

    async with wire_to(script) as wire:
        with pytest.raises(InvalidSignal):
            await wire.exchange(new_channel(), handle)


async def test_cancelling_leaves_no_task():
    async def script(request, body):
        await asyncio.sleep(5)

    async with wire_to(script) as wire:
        before = len(asyncio.all_tasks())
        exchange = asyncio.create_task(wire.exchange(new_channel(), None))
        while len(asyncio.all_tasks()) < before + 3:
            await asyncio.sleep(0)
        exchange.cancel()
        with pytest.raises(asyncio.CancelledError):
            await exchange
        assert not {"_read", "_write"} & {task.get_coro().__name__ for task in asyncio.all_tasks()}
