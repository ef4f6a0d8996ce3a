"""TLS connections end with the client that made them, also while the server doesn't say goodbye."""

import asyncio

import aiohttp
import pytest

from tests.asyncio_loops import LOOPS
from tests.webrtc_signaling.certificates import certificate_in
from webrtc_signaling.client import ClientOptions
from webrtc_signaling.connector import Connector

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return request.param


@pytest.mark.parametrize("keepalive_timeout", [None, 5.0])
async def test_nothing_is_left_behind(tmp_path, keepalive_timeout):
    made = certificate_in(tmp_path)
    ended = asyncio.Event()

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
        # It never says goodbye.
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        ended.set()
        writer.transport.abort()

    context = made.server()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    connector = Connector(ClientOptions(ssl=made.client()), keepalive_timeout=keepalive_timeout)
    async with asyncio.timeout(10):
        async with aiohttp.ClientSession(connector=connector) as http:
            async with http.get(f"https://127.0.0.1:{port}/") as response:
                assert await response.text() == "ok"
        await ended.wait()
    assert all(transport.is_closing() for transport in connector._encrypted)
    server.close()
    await server.wait_closed()
