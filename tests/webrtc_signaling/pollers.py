"""Clients of the long-poll as other languages have them: plain HTTP requests, without the SDK."""

import base64
import json

from tests.webrtc_signaling.browsers import http_url
from tests.webrtc_signaling.samples import INSTANCE, SESSION

HEADER = "Signaling-Connection"


class Poller:
    """A client made of HTTP requests alone."""

    def __init__(self, server, identity):
        self.server, self.identity = server, identity
        self.peer = str(identity.peer_id)
        self.url = http_url(server, "/poll")
        self.headers = {}
        self.challenge = None
        self.sent = self.received = 0

    async def open(self):
        [self.challenge] = await self.post_nothing()
        self.headers = {HEADER: self.challenge["connection"]}
        return self

    async def post_nothing(self):
        async with self.server.http.post(self.url) as response:
            assert response.status == 201
            return lines(await response.text())

    def register_message(self, **changes):
        payload = f"webrtc-signaling-register/1\n{self.challenge['nonce']}\n{self.peer}".encode()
        message = {
            "version": 1,
            "type": "register",
            "peer": self.peer,
            "public_key": base64.b64encode(self.identity.public_key.to_protobuf()).decode(),
            "signature": base64.b64encode(self.identity.sign(payload)).decode(),
            "instance": INSTANCE,
        }
        return message | changes

    async def register(self, **changes):
        await self.open()
        return (await self.post(self.register_message(**changes)))[0]

    def signal_message(self, kind, to, data, *, session=SESSION, index=0, **changes):
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
        return message | changes

    async def signal(self, *args, **changes):
        return await self.post(self.signal_message(*args, **changes))

    async def post(self, *messages):
        """Send messages; returns the answer."""
        return lines(await self.request("POST", "\n".join(map(json.dumps, messages)).encode()))

    async def poll(self, received=None, wait=5):
        """The next messages."""
        cursor = self.received if received is None else received
        messages = lines(await self.request("GET", params={"received": cursor, "wait": wait}))
        for message in messages:
            self.received = max(self.received, message.get("seq", 0))
        return messages

    async def leave(self):
        await self.request("DELETE", params={"received": self.received}, status=204)

    async def request(self, method, body=b"", *, status=200, headers=None, **options):
        headers = self.headers | (headers or {})
        async with self.server.http.request(
            method, self.url, data=body, headers=headers, **options
        ) as response:
            text = await response.text()
            assert response.status == status, (response.status, text)
            return text


def lines(text):
    return [json.loads(line) for line in text.splitlines()]


async def registered(server, identity, **changes):
    """A client that has registered."""
    poller = Poller(server, identity)
    assert (await poller.register(**changes))["type"] == "registered"
    return poller
