"""What a hostile client costs the others: a real server process is measured, and two bystanders keep talking.

That none of these gets in is tested where the ways in are: ``server/test_access.py``, ``test_tokens.py``,
``test_origins.py``, ``test_auth.py``, ``test_connection.py`` and ``test_long_poll.py``.
"""

import asyncio
import contextlib
import gzip
import os
import statistics
import struct
import time

import aiohttp
import psutil
import pytest

from tests.asyncio_loops import LOOPS
from tests.webrtc_signaling.browsers import Browser
from tests.webrtc_signaling.command import port_of, started
from tests.webrtc_signaling.pollers import HEADER, Poller
from tests.webrtc_signaling.samples import ALICE, BOB, BOB_ID
from webrtc_transport.identity import Identity

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
ATTACK_TIME = 1.5
MAX_GROWTH = 48 * MIB
"""The queues of one victim may grow to 1 MiB, those of all to 256; a body or a message to 256 KiB."""
MAX_LATENCY = 10.0
"""Seconds for a signal from one bystander to the other, at worst, and 1 in the middle: here attackers, bystanders and
server share the processors, with whatever else runs. On a machine of their own the worst is some 0.1 s."""
MAX_MEDIAN = 1.0


@pytest.fixture(params=LOOPS[:1])
def anyio_backend(request):
    return request.param


class Target:
    """The server, as a process, with others as its clients."""

    def __init__(self, process, port, http):
        self.process, self.http = psutil.Process(process.pid), http
        self.host, self.port = "127.0.0.1", port
        self.url = f"ws://127.0.0.1:{port}"

    @contextlib.asynccontextmanager
    async def client(self, identity):
        async with self.http.ws_connect(self.url, max_msg_size=0) as socket:
            browser = Browser(socket, identity)
            reply = await browser.register()
            yield browser if reply["type"] == "registered" else None

    async def memory(self):
        return self.process.memory_info().rss

    async def open(self):
        return await asyncio.open_connection(self.host, self.port)


@contextlib.contextmanager
def running(*more_options):
    # Nobody reads the log meanwhile, and a full pipe would hold the server up.
    options = ["--port", "0", "--max-clients-per-address", "400", "--log-level", "warning"]
    with started(*options, *more_options) as process:
        yield process, port_of(process.stdout.readline())


@pytest.fixture(scope="module")
def shared():
    """A server for attacks that leave nothing behind."""
    with running() as server:
        yield server


@contextlib.asynccontextmanager
async def target(server):
    process, port = server
    timeout = aiohttp.ClientTimeout(total=20)
    async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
        yield Target(process, port, http)
    assert process.poll() is None, "the server has ended"


async def talk(alice, bob, latencies):
    """Signals from one to the other, again and again."""
    session = "bystanders-0123456789"
    offer = {"type": "offer", "sdp": "v=0\r\n"}
    await alice.signal("offer", BOB_ID, offer, session=session)
    assert (await bob.receive())["type"] == "offer"
    index = 0
    while True:
        # A session has 256 signals at most, and then there is another.
        index = index % 200 + 1
        begun = time.perf_counter()
        if index == 200:
            session = f"bystanders-{os.urandom(8).hex()}"
            await alice.signal("offer", BOB_ID, offer, session=session)
        else:
            await alice.signal("candidate", BOB_ID, None, session=session, index=index)
        await bob.receive()
        await bob.send_json({"version": 1, "type": "ack", "ack": bob.received})
        latencies.append(time.perf_counter() - begun)
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def bystanders(server, seconds=ATTACK_TIME):
    """Talk meanwhile, and then look at what it took."""
    latencies = []
    async with server.client(ALICE) as alice, server.client(BOB) as bob:
        talking = asyncio.create_task(talk(alice, bob, latencies))
        try:
            await asyncio.sleep(0.3)
            before = await server.memory()
            yield
            # They have gone on to the end.
            done = len(latencies)
            async with asyncio.timeout(MAX_LATENCY):
                while len(latencies) == done:
                    assert not talking.done(), talking.exception()
                    await asyncio.sleep(0.01)
            growth = await server.memory() - before
        finally:
            talking.cancel()
            await asyncio.wait([talking])
    slowest, median = max(latencies), statistics.median(latencies)
    print(f"growth {growth / MIB:.1f} MiB, slowest {slowest * 1000:.0f} ms, median {median * 1000:.1f} ms")
    assert growth < MAX_GROWTH
    assert slowest < MAX_LATENCY
    assert median < MAX_MEDIAN


async def many(count, attack, *, at_least=0):
    """Run ``attack`` side by side for the time of an attack, and until it was run often enough, again and again."""
    runs, is_over = 0, False

    async def again():
        nonlocal runs
        while not is_over:
            with contextlib.suppress(aiohttp.ClientError, OSError, asyncio.IncompleteReadError, TimeoutError):
                await attack()
                runs += 1
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(again()) for _ in range(count)]
    await asyncio.wait(tasks, timeout=ATTACK_TIME, return_when=asyncio.FIRST_EXCEPTION)
    while runs < at_least and not any(task.done() for task in tasks):
        await asyncio.sleep(0.01)
    # Python 3.11 loses a cancellation that comes while wait_for() ends.
    is_over = True
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results), results


def frame(opcode, length, *, final=True):
    """The head of a client's WebSocket frame (RFC 6455, section 5.2), with a mask of zeros."""
    first = opcode | (0x80 if final else 0)
    if length < 126:
        return struct.pack("!BB4x", first, 0x80 | length)
    if length < 65536:
        return struct.pack("!BBH4x", first, 0x80 | 126, length)
    return struct.pack("!BBQ4x", first, 0x80 | 127, length)


@contextlib.asynccontextmanager
async def raw_websocket(server):
    reader, writer = await server.open()
    try:
        writer.write(
            b"GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        )
        await reader.readuntil(b"\r\n\r\n")
        yield reader, writer
    finally:
        writer.transport.abort()


async def send_100_mib(writer, head, *, each=None):
    """100 MiB after ``head``, or as long as the server takes them."""
    sent = 0
    chunk = bytes(64 * 1024)
    writer.write(head)
    while sent < 100 * MIB:
        writer.write((each or b"") + chunk)
        await writer.drain()
        sent += len(chunk)
    return sent


@pytest.mark.parametrize("kind", ["one frame", "fragments"])
async def test_a_message_of_100_mib(kind, shared):
    async with target(shared) as server, bystanders(server):

        async def attack():
            async with raw_websocket(server) as (_, writer):
                if kind == "one frame":
                    await send_100_mib(writer, frame(1, 100 * MIB))
                else:
                    each = frame(0, 64 * 1024, final=False)
                    await send_100_mib(writer, frame(1, 0, final=False), each=each)
                pytest.fail("the server has read 100 MiB")

        await many(2, attack)


async def test_sessions_without_end(shared):
    """One peer begins sessions as fast as it can, with a peer that reads nothing, and comes back when it is cut off."""
    mallory, carol = Identity.generate(), Identity.generate()
    begun = 0
    async with target(shared) as server, bystanders(server), server.client(carol):

        async def attack():
            nonlocal begun
            async with server.client(mallory) as client:
                if client is None:
                    return
                while not client.socket.closed:
                    await client.signal(
                        "offer",
                        str(carol.peer_id),
                        {"type": "offer", "sdp": "v=0\r\n" * 100},
                        session=os.urandom(12).hex(),
                    )
                    begun += 1

        await many(1, attack)
        async with server.http.get(f"http://127.0.0.1:{server.port}/healthz") as response:
            assert (await response.json())["registrations"] <= 4
    assert begun > 1000


NOBODY = str(Identity.generate().peer_id)


async def take(client):
    """Read what comes, and acknowledge it, until the end."""
    async for frame in client.socket:
        if '"seq":' in frame.data:
            client.received += 1
            if client.received % 16 == 0:
                await client.send_json({"version": 1, "type": "ack", "ack": client.received})


@pytest.mark.soak
@pytest.mark.parametrize(
    ("kind", "count"), [("to nobody", 400_000), ("never ended", 400_000), ("ended at once", 200_000)]
)
async def test_a_million_sessions_of_one_peer(kind, count):
    """With the bounds on its rates lifted: by default, a million take more than half an hour."""
    lifted = ["--max-messages-per-second", "1e9", "--max-message-burst", "1000000000"]
    offer = {"type": "offer", "sdp": "v=0\r\n"}
    with running(*lifted) as attacked:
        async with (
            target(attacked) as server,
            server.client(Identity.generate()) as mallory,
            server.client(Identity.generate()) as carol,
            bystanders(server),
        ):
            taking = [asyncio.create_task(take(client)) for client in (mallory, carol)]
            to = NOBODY if kind == "to nobody" else carol.peer
            begun = time.monotonic()
            for number in range(count):
                session = f"session-{number:09}"
                await mallory.signal("offer", to, offer, session=session)
                if kind == "ended at once":
                    await mallory.signal("bye", to, {"reason": ""}, session=session, index=1)
                # Neither may be given up for what it doesn't read.
                while mallory.sent - mallory.received - carol.received > 1000 and not taking[0].done():
                    await asyncio.sleep(0)
            print(f"{count} sessions {kind} in {time.monotonic() - begun:.1f} s")
            assert not any(task.done() for task in taking), "the server has cut one off"
            for task in taking:
                task.cancel()
            await asyncio.wait(taking)


BOMBS = [
    "[" * 131_000,
    '{"a":' * 26_000,
    '{"version":1,"type":"register",' + ",".join(f'"{n}":{n}' for n in range(9000)) + "}",
    '{"version":1,"type":"ack","ack":' + "9" * 130_000 + "}",
    '{"version":1,"type":"' + "\\u0000" * 21_000 + '"}',
]


async def test_bombs_of_json(shared):
    async with target(shared) as server, bystanders(server):
        bombs = iter(range(10**9))

        async def attack():
            bomb = BOMBS[next(bombs) % len(BOMBS)]
            async with server.http.ws_connect(server.url) as socket:
                await socket.receive()
                await socket.send_str(bomb)
                await socket.receive()

        await many(4, attack, at_least=2 * len(BOMBS))


async def test_bombs_of_gzip(shared):
    bomb = gzip.compress(bytes(64 * MIB))
    async with target(shared) as server, bystanders(server):

        async def attack():
            mallory = await Poller(_Polled(server), Identity.generate()).open()
            headers = {HEADER: mallory.headers[HEADER], "Content-Encoding": "gzip"}
            async with server.http.post(mallory.url, data=bomb, headers=headers) as response:
                assert response.status == 413, await response.text()

        await many(2, attack, at_least=2)


class _Polled:
    """What a poller needs of a server."""

    def __init__(self, server):
        self.url, self.http = server.url, server.http


async def test_headers_by_the_byte(shared):
    """Slow loris: as many connections as there may be, each of which says a little, now and then."""
    async with target(shared) as server, bystanders(server):
        writers = []
        for _ in range(300):
            _, writer = await server.open()
            writer.write(b"POST /poll HTTP/1.1\r\nHost: a\r\nX-A: ")
            writers.append(writer)
        end = time.monotonic() + ATTACK_TIME
        while time.monotonic() < end:
            for writer in writers:
                writer.write(b"a")
            await asyncio.sleep(0.1)
        for writer in writers:
            writer.transport.abort()


async def test_connections_without_end():
    """One after the other, as fast as they can be made, each with a proof to be checked."""
    mallory = Identity.generate()
    with running() as attacked:
        async with target(attacked) as server, bystanders(server):

            async def attack():
                async with server.client(mallory):
                    pass

            await many(8, attack)
