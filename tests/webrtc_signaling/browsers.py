"""Clients as a browser has them, plain WebSockets without the SDK, and a server in the same loop."""

import asyncio
import base64
import contextlib
import json

import aiohttp
from aiohttp import WSMsgType

from tests.webrtc_signaling.samples import ALICE, INSTANCE, SESSION
from webrtc_signaling.server.app import SERVICE, create_app, running_app
from webrtc_signaling.server.settings import ServerSettings

TIMEOUT = 60
"""Seconds for what takes none: a machine may be crowded."""


class Browser:
    """A client made of ``WebSocket`` and WebCrypto alone."""

    def __init__(self, socket, identity):
        self.socket, self.identity = socket, identity
        self.peer = str(identity.peer_id)
        self.sent = 0
        self.received = 0

    async def register(self, *, instance=INSTANCE, received=None, **changes):
        challenge = await self.receive()
        assert challenge["type"] == "challenge"
        payload = f"webrtc-signaling-register/1\n{challenge['nonce']}\n{self.peer}".encode()
        message = {
            "version": 1,
            "type": "register",
            "peer": self.peer,
            "public_key": base64.b64encode(self.identity.public_key.to_protobuf()).decode(),
            "signature": base64.b64encode(self.identity.sign(payload)).decode(),
            "instance": instance,
            "received": received,
        }
        await self.send_json(
            {name: value for name, value in (message | changes).items() if value is not None}
        )
        return await self.receive()

    async def signal(self, kind, to, data, *, session=SESSION, index=0, **changes):
        self.sent += 1
        message = {
            "version": 1,
            "type": kind,
            "from": self.peer,
            "to": to,
            "session": session,
            "index": index,
            "seq": self.sent,
            "ack": self.received,
            "data": data,
        }
        await self.send_json(message | changes)

    async def send_json(self, message):
        await self.socket.send_str(json.dumps(message))

    async def receive(self):
        """The next message that isn't an acknowledgement."""
        while True:
            frame = await asyncio.wait_for(self.socket.receive(), TIMEOUT)
            assert frame.type is WSMsgType.TEXT, frame
            message = json.loads(frame.data)
            assert message["version"] == 1
            if "seq" in message:
                assert message["seq"] == self.received + 1
                self.received += 1
            if message["type"] != "ack":
                return message

    async def refusal(self):
        """The code of the error, after which the server closes the connection."""
        message = await self.receive()
        assert message["type"] == "error"
        assert "session" not in message
        await self.closed()
        return message["data"]["code"]

    async def closed(self):
        async with asyncio.timeout(TIMEOUT):
            async for message in self.socket:
                raise AssertionError(message)


class Server:
    def __init__(self, app, url, http):
        self.app, self.url, self.http = app, url, http

    @property
    def hub(self):
        return self.app[SERVICE].hub

    def connect(self, path="/", **options):
        return self.http.ws_connect(self.url + path, **options)

    @contextlib.asynccontextmanager
    async def browser(self, identity=ALICE, **options):
        async with self.connect(**options) as socket:
            yield Browser(socket, identity)

    @contextlib.asynccontextmanager
    async def registered(self, identity=ALICE, **register):
        async with self.browser(identity) as browser:
            reply = await browser.register(**register)
            assert reply["type"] == "registered", reply
            yield browser


@contextlib.asynccontextmanager
async def serve(**settings):
    settings = ServerSettings(**{"port": 0, "close_timeout": 0.5, **settings})
    app = create_app(settings)
    async with (
        asyncio.timeout(TIMEOUT),
        running_app(app, settings) as url,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT)) as http,
    ):
        yield Server(app, url, http)


OFFER_DATA = {"type": "offer", "sdp": "v=0\r\n"}


def http_url(server, path):
    return server.url.replace("ws:", "http:") + path


async def health(server):
    async with server.http.get(http_url(server, "/healthz")) as response:
        assert response.status == 200
        return await response.json()
