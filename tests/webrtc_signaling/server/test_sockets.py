"""How many TCP connections one address may have, whatever it does with them."""

import asyncio
import contextlib

import pytest
from aiohttp import WSServerHandshakeError

from tests.webrtc_signaling.browsers import health, http_url, serve
from webrtc_signaling.server.client_address import ClientAddresses
from webrtc_signaling.server.sockets import CountedProtocol, SocketCount

pytestmark = pytest.mark.anyio


class Transport:
    aborted = False

    def __init__(self, remote):
        self._remote = remote

    def get_extra_info(self, name):
        return (self._remote, 1234)

    def abort(self):
        self.aborted = True


class Inner(asyncio.Protocol):
    def __init__(self):
        self.calls = []

    def __getattribute__(self, name):
        if name == "calls" or name.startswith("__"):
            return super().__getattribute__(name)
        return lambda *_: self.calls.append(name)


def opened(count, remote):
    inner = Inner()
    protocol, transport = CountedProtocol(lambda: inner, count), Transport(remote)
    protocol.connection_made(transport)
    return protocol, transport, inner


async def test_they_are_counted_by_address():
    count = SocketCount(2, ClientAddresses(["10.0.0.1"]))
    kept = [opened(count, "192.0.2.1") for _ in range(2)]
    protocol, transport, inner = opened(count, "192.0.2.1")
    assert transport.aborted
    assert not inner.calls
    for call in (protocol.pause_writing, protocol.resume_writing, protocol.eof_received):
        assert call() is None
    protocol.data_received(b"data")
    protocol.connection_lost(None)
    assert not inner.calls
    assert not opened(count, "192.0.2.2")[1].aborted
    kept[0][0].connection_lost(None)
    assert not opened(count, "192.0.2.1")[1].aborted
    assert opened(count, "192.0.2.1")[1].aborted


async def test_a_trusted_proxy_comes_for_many():
    count = SocketCount(1, ClientAddresses(["10.0.0.1"]))
    assert not any(opened(count, "10.0.0.1")[1].aborted for _ in range(5))


async def test_what_happens_is_passed_on():
    protocol, _, inner = opened(SocketCount(1, ClientAddresses(())), "192.0.2.1")
    protocol.data_received(b"")
    protocol.pause_writing()
    protocol.resume_writing()
    protocol.eof_received()
    protocol.connection_lost(None)
    assert inner.calls == [
        "connection_made",
        "data_received",
        "pause_writing",
        "resume_writing",
        "eof_received",
        "connection_lost",
    ]


async def test_a_websocket_counts_as_a_client_alone():
    async with serve(max_sockets_per_address=1, max_clients_per_address=2) as server:
        async with server.connect(), server.connect():
            async with server.http.get(http_url(server, "/healthz")) as response:
                assert (await response.json())["connections"] == 2
            with pytest.raises(WSServerHandshakeError) as caught:
                await server.connect()
            assert caught.value.status == 429


async def test_idle_ones_are_bounded_and_leave_nothing_behind():
    async with serve(max_sockets_per_address=3) as server, contextlib.AsyncExitStack() as stack:
        port = int(server.url.rpartition(":")[2])
        writers = []
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
            writers.append(writer)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        stack.callback(writer.close)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        for writer in writers:
            writer.transport.abort()
        async with asyncio.timeout(10):
            while True:
                with contextlib.suppress(OSError):
                    assert (await health(server))["status"] == "ok"
                    break
