"""Clients of signaling servers as asyncio protocols: ours by WebSocket and by polls, and PeerJS's."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import statistics
import struct
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Final, cast

from webrtc_signaling.messages import register_payload
from webrtc_transport import Identity

HEARTBEAT: Final = 20
"""Seconds that a poll asks to wait."""

CANDIDATE: Final = (
    '{"candidate":"candidate:842163049 1 udp 1677729535 203.0.113.57 46154 typ srflx raddr 10.0.17.4 rport 46154 '
    'generation 0 ufrag 7hXk network-cost 999","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"7hXk"}'
)
SDP: Final = "v=0\\r\\n" + "a=candidate:842163049 1 udp 1677729535 203.0.113.57 46154\\r\\n" * 20
DIAL: Final = 10
"""Messages of one dial in one direction: a description, and candidates. The session ends with the last one."""

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


_KEY: Final = b"\x5a\xc3\x96\x1e"
_KEYS: Final = _KEY * 4096
"""A key as good as any, but for zeros: some servers skip those, and no client of theirs sends them."""


def text_frame(payload: bytes) -> bytes:
    """A masked frame."""
    return _frame(_TEXT, payload)


def _frame(opcode: int, payload: bytes) -> bytes:
    length = len(payload)
    masked = int.from_bytes(payload, "little") ^ int.from_bytes(_KEYS[:length], "little")
    if length < 126:
        head = struct.pack("!BB4s", 0x80 | opcode, 0x80 | length, _KEY)
    else:
        head = struct.pack("!BBH4s", 0x80 | opcode, 0x80 | 126, length, _KEY)
    return head + masked.to_bytes(length, "little")


class Client(asyncio.Protocol, ABC):
    """A connection that tells when it is registered, and if it is lost."""

    def __init__(self) -> None:
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.fault: str | None = None
        self.on_message: Callable[[], None] | None = None
        self._transport: asyncio.Transport
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no subclass.
        self._transport = cast("asyncio.Transport", transport)
        self.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self.fail(f"connection lost: {exc}")

    def fail(self, reason: str) -> None:
        """It is of no use any more."""
        self.fault = self.fault or reason
        if not self.ready.done():
            self.ready.set_exception(RuntimeError(reason))

    @abstractmethod
    def begin(self) -> None:
        """Say the first words."""


class WebSocketClient(Client):
    """What both servers by WebSocket have in common."""

    path: str

    def __init__(self) -> None:
        super().__init__()
        self._is_open = False

    def begin(self) -> None:
        self._transport.write(
            f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )

    def data_received(self, data: bytes) -> None:
        if self._buffer:
            data = self._buffer + data
        if not self._is_open:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            if not head.startswith(b"HTTP/1.1 101"):
                self.fail(head.decode())
                return
            self._is_open = True
        position = 0
        while len(data) - position >= 2:
            opcode, length, start = data[position] & 15, data[position + 1], position + 2
            if length == 126:
                length, start = int.from_bytes(data[start : start + 2], "big"), start + 2
            if start + length > len(data):
                break
            position = start + length
            if opcode == _TEXT:
                self.received(data[start:position])
            elif opcode == _PING:
                self._transport.write(_frame(_PONG, data[start:position]))
            elif opcode == _CLOSE:
                self.fail(f"closed: {data[start:position]!r}")
        self._buffer = data[position:]

    @abstractmethod
    def received(self, payload: bytes) -> None:
        """A message came."""

    @abstractmethod
    def send_to(self, other: WebSocketClient) -> None:
        """Send the next message of a dial."""


class OurClient(WebSocketClient):
    """A client of this project's server."""

    path = "/ws"

    def __init__(self) -> None:
        super().__init__()
        self.peer = ""
        self._sent = 0
        self._received = 0
        self._announced = 0
        self._session = b""

    def received(self, payload: bytes) -> None:
        if self.on_message is not None and len(payload) > 100:
            if b'"error"' in payload:
                self.fail(payload.decode())
            self._received += 1
            if self._received - self._announced >= 16:
                self._announced = self._received
                self._transport.write(text_frame(b'{"version":1,"type":"ack","ack":%d}' % self._received))
            self.on_message()
            return
        message = json.loads(payload)
        match message["type"]:
            case "challenge":
                self.peer, answer = register(message["nonce"])
                self._transport.write(text_frame(answer))
            case "registered":
                self.ready.set_result(None)
            case "error":
                self.fail(payload.decode())

    def send_to(self, other: WebSocketClient) -> None:
        assert isinstance(other, OurClient)
        step = self._sent % DIAL
        if step == 0:
            self._session = secrets.token_urlsafe(16).encode()
        self._sent += 1
        self._announced = self._received
        payload = (
            b'{"version":1,"type":%s,"from":"%s","to":"%s","session":"%s","index":%d,"seq":%d,"ack":%d}'
            % (
                _content(step),
                self.peer.encode(),
                other.peer.encode(),
                self._session,
                step,
                self._sent,
                self._received,
            )
        )
        self._transport.write(text_frame(payload))


def _content(step: int) -> bytes:
    if step == 0:
        return b'"offer","data":{"type":"offer","sdp":"%s"}' % SDP.encode()
    if step == DIAL - 1:
        return b'"bye","data":{"reason":"the other end has said all that it has to say, and needs no more"}'
    return b'"candidate","data":%s' % CANDIDATE.encode()


def register(nonce: str) -> tuple[str, bytes]:
    """A new peer, and its answer to a challenge."""
    identity = Identity.generate()
    peer = str(identity.peer_id)
    fields = {
        "version": 1,
        "type": "register",
        "peer": peer,
        "public_key": base64.b64encode(identity.public_key.to_protobuf()).decode(),
        "signature": base64.b64encode(identity.sign(register_payload(nonce=nonce, peer=peer))).decode(),
        "instance": secrets.token_urlsafe(16),
    }
    return peer, json.dumps(fields).encode()


class PollClient(Client):
    """A client of this project's server that waits in a GET."""

    def __init__(self) -> None:
        super().__init__()
        self._name = ""

    def begin(self) -> None:
        self._request("POST", "/poll", b"")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, body = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
        if len(body) < int(fields.get("content-length", 0)):
            return
        self._buffer = b""
        if not head.startswith(b"HTTP/1.1 20"):
            self.fail(f"{head.decode()}: {body.decode()}")
        elif not self._name:
            challenge = json.loads(body)
            self._name = challenge["connection"]
            self._request("POST", "/poll", register(challenge["nonce"])[1] + b"\n")
        else:
            if not self.ready.done():
                assert json.loads(body.split(b"\n")[0])["type"] == "registered"
                self.ready.set_result(None)
            self._request("GET", f"/poll?received=0&wait={HEARTBEAT}", b"")

    def _request(self, method: str, path: str, body: bytes) -> None:
        name = f"Signaling-Connection: {self._name}\r\n" if self._name else ""
        length = f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{name}{length}\r\n"
        self._transport.write(head.encode() + body)


class PeerJSClient(WebSocketClient):
    """A client of PeerJS's server. It proves nothing: an id and a token are all that is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.peer, self._sent = secrets.token_hex(16), 0
        self.path = f"/peerjs?key=peerjs&id={self.peer}&token={secrets.token_hex(8)}&version=1.5.4"

    def received(self, payload: bytes) -> None:
        if self.on_message is not None:
            if b'"ERROR"' in payload or b'"EXPIRE"' in payload:
                self.fail(payload.decode())
            self.on_message()
        elif json.loads(payload)["type"] == "OPEN":
            self.ready.set_result(None)
        else:
            self.fail(payload.decode())

    def send_to(self, other: WebSocketClient) -> None:
        assert isinstance(other, PeerJSClient)
        step = self._sent % DIAL
        self._sent += 1
        content = (
            b'"OFFER","payload":{"sdp":{"type":"offer","sdp":"%s"},"type":"data","connectionId":"dc_%d"}'
            % (SDP.encode(), self._sent)
            if step == 0
            else b'"CANDIDATE","payload":{"candidate":%s,"type":"data","connectionId":"dc_%d"}'
            % (CANDIDATE.encode(), self._sent)
        )
        self._transport.write(text_frame(b'{"type":%s,"dst":"%s"}' % (content, other.peer.encode())))


PROTOCOLS: Final[dict[str, Callable[[], Client]]] = {
    "ours": OurClient,
    "polls": PollClient,
    "peerjs": PeerJSClient,
}


class Traffic:
    """Messages between clients, two and two. They arrive in the order in which they were sent.

    Times are ``time.perf_counter``'s: the clock of uvloop counts whole milliseconds.
    """

    def __init__(self, clients: list[WebSocketClient]) -> None:
        self.sent = 0
        self.arrived = 0
        self._clients = clients
        self._under_way: list[deque[float]] = [deque() for _ in clients]
        self._seconds: list[float] = []
        self._refills_until = 0.0
        self._awaited = -1
        self._is_here = asyncio.Event()
        for number, client in enumerate(clients):
            client.on_message = lambda number=number: self._arrive(number)

    def refill_until(self, ended: float) -> None:
        """From now on each arrival lets another message go, of the client whose turn it is.

        If it were the same sender's, those with the faster way would send more: between clients of one server would go
        four fifths, and not half.
        """
        self._refills_until = ended

    def send(self, number: int, at: float) -> None:
        """Let one client send to its partner; its time counts from ``at``."""
        sender = number % len(self._clients)
        receiver = sender ^ 1
        self.sent += 1
        self._under_way[receiver].append(at)
        self._clients[sender].send_to(self._clients[receiver])

    async def wait_for(self, count: int) -> None:
        """Until so many have arrived."""
        self._awaited = count
        if self.arrived < count:
            await self._is_here.wait()

    def milliseconds(self) -> dict[str, float]:
        """How long messages took."""
        cuts = statistics.quantiles(self._seconds, n=1000, method="inclusive")
        return {"p50": cuts[499] * 1e3, "p99": cuts[989] * 1e3, "p99.9": cuts[998] * 1e3}

    def _arrive(self, receiver: int) -> None:
        now = time.perf_counter()
        self._seconds.append(now - self._under_way[receiver].popleft())
        self.arrived += 1
        if self.arrived == self._awaited:
            self._is_here.set()
        if now < self._refills_until:
            self.send(self.sent, at=now)
