"""The server as a browser sees it, before it registers."""

import asyncio
import contextlib
import logging
import socket

import aiohttp
import pytest

from tests.webrtc_signaling.browsers import Browser, health, http_url, serve
from tests.webrtc_signaling.samples import ALICE
from webrtc_signaling.server.app import SERVICE, create_app, running_app
from webrtc_signaling.server.settings import ServerSettings

pytestmark = pytest.mark.anyio
JSON, MSGPACK = "webrtc-signaling.v1.json", "webrtc-signaling.v1.msgpack"


@pytest.mark.parametrize("path", ["/", "/ws", "", "/?token=1"])
@pytest.mark.parametrize(("asked", "given"), [((), None), ((JSON,), JSON), (("other", JSON, MSGPACK), JSON)])
async def test_subprotocols_and_paths(path, asked, given):
    async with serve() as server, server.connect(path, protocols=asked) as socket:
        assert socket.protocol == given
        assert (await Browser(socket, ALICE).register())["type"] == "registered"


async def test_an_unknown_subprotocol_is_refused():
    async with serve() as server:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await server.connect(protocols=["something.else"])
        assert caught.value.status == 400


async def test_connections_are_bounded_by_address_and_in_total():
    for settings, status in (({"max_clients_per_address": 2}, 429), ({"max_clients": 2}, 503)):
        async with serve(**settings) as server:
            async with server.browser(), server.browser():
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await server.connect()
                assert caught.value.status == status
            while (await (await server.http.get(http_url(server, "/healthz"))).json())["connections"]:
                await asyncio.sleep(0)
            async with server.registered():
                pass


async def test_the_end_of_the_server_is_announced():
    async with serve() as server, server.registered(ALICE) as alice:
        await server.app[SERVICE].shut_down(server.app)
        assert await alice.refusal() == "shutting-down"


async def test_people_get_a_page():
    async with serve() as server, server.http.get(http_url(server, "/")) as response:
        assert response.status == 200
        assert response.content_type == "text/html"
        assert "script-src 'self'" in response.headers["Content-Security-Policy"]
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "signaling" in await response.text()


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/static/",
        "/app.py",
        "/../../etc/passwd",
    ],
)
async def test_nothing_else_is_served(path):
    async with serve() as server:
        host, port = server.url.removeprefix("ws://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        status = (await reader.read()).split()[1]
        writer.close()
        await writer.wait_closed()
        assert status in (b"403", b"404")


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x00" * 1000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    ],
)
async def test_other_requests_get_an_answer_and_leave_no_traceback(request_bytes):
    async with serve() as server:
        host, port = server.url.removeprefix("ws://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        with contextlib.suppress(ConnectionError):
            writer.write(request_bytes)
            status = (await reader.readline()).split()[1]
            assert status[:1] == b"4"
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        assert (await health(server))["connections"] == 0


async def test_a_port_in_use_is_an_os_error():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = ServerSettings(port=taken.getsockname()[1])
        with pytest.raises(OSError, match="address already in use"):
            async with running_app(create_app(settings), settings):
                pass


async def test_an_insecure_server_takes_anybody_and_says_so(caplog):
    async with serve(insecure=True) as server, server.browser() as browser:
        reply = await browser.register(public_key=None, signature=None)
        assert (reply["proven"], "without proof" in reply["notice"]) == (False, True)
    assert "WITHOUT PROOF" in next(r.message for r in caplog.records if r.levelno == logging.WARNING)


async def test_an_error_in_one_turn_does_not_end_the_next(caplog, monkeypatch):
    caplog.set_level("ERROR", "libp2p.transport.webrtc.signaling.server")
    turns, twice = [], asyncio.Event()

    def fail(_now):
        raise RuntimeError("a defect")

    def look_after(_now):
        turns.append(1)
        if len(turns) == 2:
            twice.set()
            fail(_now)

    async with serve() as server:
        monkeypatch.setattr(server.app[SERVICE].hub, "expire", fail)
        monkeypatch.setattr(server.app[SERVICE].websockets, "look_after", look_after)
        async with asyncio.timeout(20):
            await twice.wait()
    assert {str(record.exc_info[1]) for record in caplog.records} == {"a defect"}
    assert len(caplog.records) >= 3
