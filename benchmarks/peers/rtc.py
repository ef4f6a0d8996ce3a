"""aiortc's peer connection, or libwebrtc's, which ``wrtc`` brings with the same interface.

    python -m benchmarks.peers.rtc aiortc|wrtc plain|libp2p accept|dial <role> <parameters>

``libp2p`` frames messages as libp2p's streams do: so it can talk to the facade.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from typing import Any

import anyio

from .lines import Line, Lines
from .roles import Channel, Link, Peer, run

MODULES = {"aiortc": "aiortc", "wrtc": "webrtc.aiortc"}

HIGH_WATER = {"aiortc": 256 * 1024, "wrtc": 1024 * 1024}
"""Bytes that a channel may have unsent. More doesn't help aiortc; libwebrtc tells what it has sent less often."""


MAX_PAYLOAD = 16377
"""Bytes in a frame of a libp2p stream, which has 16384 at most, with what is around them."""


def frame(payload: bytes) -> bytes:
    """A frame with payload alone."""
    body = b"\x12" + uvarint(len(payload)) + payload
    return uvarint(len(body)) + body


def uvarint(value: int) -> bytes:
    """An unsigned varint (multiformats)."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])


def payload_size(message: bytes) -> int:
    """Payload bytes of a message that is whole frames; flags have none."""
    total = at = 0
    while at < len(message):
        length, at = read_uvarint(message, at)
        if message[at] == 0x12:
            size, _ = read_uvarint(message, at + 1)
            total += size
        at += length
    return total


def read_uvarint(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where it ends."""
    value = shift = 0
    while data[at] > 0x7F:
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return value | data[at] << shift, at + 1


class RtcChannel(Channel):
    """An ``RTCDataChannel``; its messages are handled in its callback."""

    def __init__(self, channel: Any, high_water: int, *, is_framed: bool, is_echo: bool = False) -> None:
        self._channel = channel
        self._high_water = high_water
        self._is_framed = is_framed
        self._surplus = 0
        self._wanted = 0
        self._arrived, self._drained, self._closed = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.opened = asyncio.Event()
        channel.bufferedAmountLowThreshold = high_water // 2
        channel.on("open", self.opened.set)
        channel.on("bufferedamountlow", self._drained.set)
        channel.on("close", self._closed.set)
        channel.on("message", channel.send if is_echo else self._count)

    def _count(self, message: bytes) -> None:
        self._surplus += payload_size(message) if self._is_framed else len(message)
        if self._surplus >= self._wanted:
            self._arrived.set()

    async def send(self, data: bytes) -> None:
        while self._channel.bufferedAmount > self._high_water:
            self._drained.clear()
            await self._drained.wait()
        if self._is_framed:
            for at in range(0, len(data), MAX_PAYLOAD):
                self._channel.send(frame(data[at : at + MAX_PAYLOAD]))
        else:
            self._channel.send(data)

    async def receive(self, size: int) -> None:
        self._wanted = size
        while self._surplus < size:
            self._arrived.clear()
            await self._arrived.wait()
        self._surplus -= size

    async def close(self) -> None:
        self._channel.close()
        await self._closed.wait()


class RtcLink(Link):
    """An ``RTCPeerConnection``."""

    def __init__(self, library: str, *, is_framed: bool) -> None:
        rtc = importlib.import_module(MODULES[library])
        self.connection: Any = rtc.RTCPeerConnection(rtc.RTCConfiguration(iceServers=[]))
        self._high_water = HIGH_WATER[library]
        self._is_framed = is_framed
        self._inbound: asyncio.Queue[Any] = asyncio.Queue()
        self._is_echo = False
        self._first: RtcChannel | None = None
        """A description without a channel would have no SCTP in it."""
        self.connected = asyncio.Event()
        self._closed = asyncio.Event()
        self.connection.on("datachannel", self._on_channel)
        self.connection.on("connectionstatechange", self._on_state)

    def _on_state(self) -> None:
        if self.connection.connectionState == "connected":
            self.connected.set()
        elif self.connection.connectionState in ("closed", "failed"):
            self._closed.set()

    def _on_channel(self, channel: Any) -> None:
        self._inbound.put_nowait(self._adopt(channel, is_echo=self._is_echo))

    def _adopt(self, channel: Any, *, is_echo: bool = False) -> RtcChannel:
        return RtcChannel(channel, self._high_water, is_framed=self._is_framed, is_echo=is_echo)

    def prepare_echo(self) -> None:
        """Echo on all channels to come."""
        self._is_echo = True

    def create_channel(self) -> RtcChannel:
        """Begin to open a channel."""
        self._first = self._adopt(self.connection.createDataChannel(""))
        return self._first

    async def open(self) -> Channel:
        channel, self._first = self._first or self.create_channel(), None
        await channel.opened.wait()
        return channel

    async def accept(self) -> Channel:
        channel: Channel = await self._inbound.get()
        return channel

    async def serve_echo(self) -> None:
        await self._closed.wait()
        await self.connection.close()

    async def close(self) -> None:
        await self.connection.close()


class RtcPeer(Peer):
    """Sends offers and answers whole; takes candidates that trickle."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(lines)
        self._library, framing = sys.argv[1:3]
        self._is_framed = framing == "libp2p"
        self._is_echo = sys.argv[-2] != "transfer"
        self._sessions = 0
        module = MODULES[self._library]
        self._description = importlib.import_module(module).RTCSessionDescription
        self._parse_candidate = importlib.import_module(f"{module}.sdp").candidate_from_sdp

    async def __aexit__(self, *_: object) -> None:
        """Nothing is left to do: the process ends."""

    async def dial(self, address: Line) -> Link:  # noqa: ARG002 - the other end needs none
        link = RtcLink(self._library, is_framed=self._is_framed)
        channel = link.create_channel()
        self._sessions += 1
        session = f"{self._sessions:022}"
        await link.connection.setLocalDescription(await link.connection.createOffer())
        self._send_description(link, session)
        await self._follow(link, session, channel.opened)
        return link

    async def accept(self) -> Link:
        link = RtcLink(self._library, is_framed=self._is_framed)
        if self._is_echo:
            link.prepare_echo()
        while (line := await self.lines.read())["signal"]["type"] != "offer":
            pass
        await self._take_description(link, line)
        await link.connection.setLocalDescription(await link.connection.createAnswer())
        self._send_description(link, line["session"])
        await self._follow(link, line["session"], link.connected)
        return link

    def _send_description(self, link: RtcLink, session: str) -> None:
        local = link.connection.localDescription
        data = {"type": local.type, "sdp": local.sdp}
        self.lines.write({"session": session, "signal": {"type": local.type, "data": data}})

    async def _take_description(self, link: RtcLink, line: Line) -> None:
        await link.connection.setRemoteDescription(self._description(**line["signal"]["data"]))

    async def _follow(self, link: RtcLink, session: str, done: asyncio.Event) -> None:
        """Take the signals of the other end until the connection stands."""

        async def take_signals() -> None:
            while True:
                line = await self.lines.read()
                kind, data = line["signal"]["type"], line["signal"]["data"]
                if line["session"] != session:
                    continue
                if kind == "answer":
                    await self._take_description(link, line)
                elif kind == "candidate" and data["candidate"]:
                    candidate = self._parse_candidate(data["candidate"].partition(":")[2])
                    candidate.sdpMid, candidate.sdpMLineIndex = data["sdpMid"], data["sdpMLineIndex"]
                    await link.connection.addIceCandidate(candidate)

        async with anyio.create_task_group() as task_group:
            task_group.start_soon(take_signals)
            await done.wait()
            task_group.cancel_scope.cancel()


if __name__ == "__main__":
    run(RtcPeer, "asyncio")
