"""The handshake as a program writes it by hand, and frames that don't wait for its end."""

import asyncio
import json

import pytest

from tests.webrtc_signaling.browsers import TIMEOUT, health, serve
from tests.webrtc_signaling.samples import ALICE_ID, INSTANCE
from webrtc_signaling.server.app import SERVICE
from webrtc_signaling.server.websocket_handshake import answer_handshake

pytestmark = pytest.mark.anyio

HEADERS = {
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    # RFC 6455, section 1.3.
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def request(line="GET /ws HTTP/1.1", **changes):
    headers = HEADERS | {name.replace("_", "-"): value for name, value in changes.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([line, "Host: x", *lines, "", ""]).encode()


class Connection:
    def __init__(self, server):
        self._host, self._port = server.url.removeprefix("ws://").split(":")

    async def __aenter__(self):
        self.reader, self.writer = await asyncio.open_connection(self._host, int(self._port))
        return self

    async def __aexit__(self, *exc_info):
        self.writer.transport.abort()

    async def head(self):
        async with asyncio.timeout(TIMEOUT):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        return int(head[0].split()[1]), dict(line.split(": ", 1) for line in head[1:] if line)

    async def frame(self):
        """The first byte of a frame, and its payload."""
        async with asyncio.timeout(TIMEOUT):
            first, length = await self.reader.readexactly(2)
            if length == 126:
                length = int.from_bytes(await self.reader.readexactly(2), "big")
            return first, await self.reader.readexactly(length)


async def test_the_sample_of_the_rfc():
    async with serve() as server, Connection(server) as client:
        client.writer.write(request())
        status, headers = await client.head()
        assert (status, headers["Sec-WebSocket-Accept"]) == (101, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        assert (headers["Upgrade"], headers["Connection"]) == ("websocket", "Upgrade")
        assert "Sec-WebSocket-Protocol" not in headers
        first, payload = await client.frame()
        assert (first, json.loads(payload)["type"]) == (0x81, "challenge")


@pytest.mark.parametrize(
    ("changes", "expected", "text"),
    [
        ({"Upgrade": None}, 400, "the place for WebSockets"),
        ({"Upgrade": "h2c"}, 400, "the place for WebSockets"),
        ({"line": "GET /ws HTTP/1.0"}, 400, "begin with HTTP/1.1"),
        ({"Content_Length": "4"}, 400, "no body"),
        ({"Transfer_Encoding": "chunked"}, 400, "no body"),
        ({"Connection": "close"}, 400, "the place for WebSockets"),
        ({"Sec_WebSocket_Key": None}, 400, "16 bytes in base64"),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400, "16 bytes in base64"),
        ({"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ"}, 400, "16 bytes in base64"),
        ({"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBu*25jZQ=="}, 400, "16 bytes in base64"),
        ({"Sec_WebSocket_Protocol": "soap, mqtt"}, 400, "use one of the subprotocols"),
        ({"Sec_WebSocket_Version": "8"}, 426, "version 13"),
        ({"Sec_WebSocket_Version": None}, 426, "version 13"),
    ],
)
async def test_what_is_no_handshake_is_refused_with_the_reason(changes, expected, text):
    async with serve() as server, Connection(server) as client:
        client.writer.write(request(**changes))
        status, headers = await client.head()
        assert status == expected
        if expected == 426:
            told = ("13", "websocket", "Upgrade")
            assert told == tuple(headers[name] for name in ("Sec-WebSocket-Version", "Upgrade", "Connection"))
        assert text in (await client.reader.readexactly(int(headers["Content-Length"]))).decode()
        assert (await health(server))["connections"] == 0


async def test_a_request_for_the_head_alone_begins_nothing():
    for path, expected in (("/ws", 405), ("/", 200)):
        async with serve() as server, Connection(server) as client:
            client.writer.write(request(f"HEAD {path} HTTP/1.1"))
            assert (await client.head())[0] == expected
            assert (await health(server))["connections"] == 0


async def test_it_may_be_one_of_several_protocols_that_are_asked_for():
    for path in ("/ws", "/"):
        async with serve() as server, Connection(server) as client:
            client.writer.write(request(f"GET {path} HTTP/1.1", Upgrade="h2c, WebSocket"))
            assert (await client.head())[0] == 101


def masked(first, payload):
    """A client's frame, with a mask of zeros."""
    length = bytes([0x80 | len(payload)]) if len(payload) < 126 else b"\xfe" + len(payload).to_bytes(2, "big")
    return bytes([first]) + length + bytes(4) + payload


REGISTER = json.dumps({"version": 1, "type": "register", "peer": ALICE_ID, "instance": INSTANCE}).encode()


@pytest.mark.parametrize("cut", [0, 1, 20])
async def test_what_comes_right_behind_it_is_not_lost(cut):
    """Without proof nothing has to wait for the challenge, so a client may send all at once."""
    early = masked(0x89, b"hi") + masked(0x81, REGISTER)
    async with serve(insecure=True) as server, Connection(server) as client:
        client.writer.write(request() + early[: len(early) - cut])
        assert (await client.head())[0] == 101
        assert json.loads((await client.frame())[1])["type"] == "challenge"
        assert await client.frame() == (0x8A, b"hi")
        client.writer.write(early[len(early) - cut :])
        assert json.loads((await client.frame())[1])["type"] == "registered"
        assert ALICE_ID in server.hub.roster._registrations


async def test_nor_is_it_read_without_a_bound(monkeypatch):
    """While the answer isn't there yet aiohttp stops reading, and who takes over reads on."""

    async def late(request):
        async with asyncio.timeout(TIMEOUT):
            while request.transport.is_reading():
                await asyncio.sleep(0)
        return await answer_handshake(request)

    monkeypatch.setattr("webrtc_signaling.server.app.answer_handshake", late)
    async with serve() as server, Connection(server) as client:
        client.writer.write(request() + 200_000 * masked(0x8A, b"1234"))
        assert (await client.head())[0] == 101
        await client.frame()
        first, payload = await client.frame()
        assert (first, json.loads(payload)["data"]["code"]) == (0x81, "rate-limited")


async def test_who_breaks_the_framing_at_once_is_told():
    async with serve() as server, Connection(server) as client:
        client.writer.write(request() + b"\x81\x02ab")
        assert (await client.head())[0] == 101
        await client.frame()
        assert await client.frame() == (0x88, b"\x03\xea")
        (connection,) = server.app[SERVICE].websockets._connections
        assert connection._frames is None
