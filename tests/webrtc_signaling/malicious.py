"""A rendezvous server that asks for no proof, and changes what it passes on."""

import json

from aiohttp import WSMsgType

from tests.webrtc_signaling.servers import scripted_server

NONCE = "nonce-0123456789"


class _Client:
    def __init__(self, socket):
        self._socket = socket
        self._sent = 0
        self.received = 0

    async def send(self, message):
        self._sent += 1
        await self._socket.send_json(message | {"seq": self._sent, "ack": self.received})

    async def acknowledge(self, message):
        self.received = message["seq"]
        await self._socket.send_json({"version": 1, "type": "ack", "ack": self.received})


class _Switchboard:
    def __init__(self, tamper):
        self._tamper = tamper
        self._clients = {}

    async def serve(self, socket):
        """One client, from its registration on."""
        await socket.send_json({"version": 1, "type": "challenge", "nonce": NONCE})
        peer = (await socket.receive_json())["peer"]
        client = self._clients[peer] = _Client(socket)
        registered = {"type": "registered", "peer": peer, "proven": True, "resumed": False, "received": 0}
        await socket.send_json({"version": 1, "grace": 1, **registered})
        async for frame in socket:
            assert frame.type is WSMsgType.TEXT
            message = json.loads(frame.data)
            if "seq" in message:
                await client.acknowledge(message)
                for changed in self._tamper(message):
                    if changed["to"] in self._clients:
                        await self._clients[changed["to"]].send(changed)


def malicious_server(tamper):
    """It runs in a thread, as an async context manager.

    :param tamper: a function that gets each signal, and returns those that are passed on in its place
    """
    return scripted_server(_Switchboard(tamper).serve)
