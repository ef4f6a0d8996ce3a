"""py-libp2p's host, on one of its own transports.

python -m benchmarks.peers.libp2p_host webrtc|tcp|quic accept|dial <role> <parameters>
"""

from __future__ import annotations

import sys
from contextlib import AsyncExitStack
from typing import Any, Self

import libp2p
import trio
from libp2p.custom_types import TProtocol
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.peerinfo import info_from_p2p_addr
from multiaddr import Multiaddr

from .lines import Line, Lines
from .roles import Channel, Link, Peer, run

PROTOCOL = TProtocol("/benchmark/1")
LISTEN = {
    "webrtc": "/ip4/{}/udp/0/webrtc-direct",
    "tcp": "/ip4/{}/tcp/0",
    "quic": "/ip4/{}/udp/0/quic-v1",
}


class HostChannel(Channel):
    """A stream."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._surplus = 0

    async def send(self, data: bytes) -> None:
        await self._stream.write(data)

    async def receive(self, size: int) -> None:
        missing = size - self._surplus
        while missing > 0:
            missing -= len(await self._stream.read(65536))
        self._surplus = -missing

    async def close(self) -> None:
        await self._stream.close()


class HostLink(Link):
    """A connection, which py-libp2p keeps to itself: there is one per peer."""

    def __init__(self, host: Any, peer_id: Any, inbound: trio.MemoryReceiveChannel[Any]) -> None:
        self._host = host
        self._peer_id = peer_id
        self._inbound = inbound

    async def open(self) -> Channel:
        return HostChannel(await self._host.new_stream(self._peer_id, [PROTOCOL]))

    async def accept(self) -> Channel:
        return HostChannel(await self._inbound.receive())

    async def serve_echo(self) -> None:
        async with trio.open_nursery() as nursery:
            async for stream in self._inbound:
                nursery.start_soon(echo, stream)

    async def close(self) -> None:
        await self._host.disconnect(self._peer_id)


async def echo(stream: Any) -> None:
    """Send back what arrives."""
    try:
        while chunk := await stream.read(65536):
            await stream.write(chunk)
    except StreamEOF:
        pass
    await stream.close()


class HostPeer(Peer):
    """A host that listens on one address."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(lines)
        self._listen = Multiaddr(LISTEN[sys.argv[1]].format("127.0.0.1"))
        self._host: Any = libp2p.new_host(listen_addrs=[self._listen])
        self._stack = AsyncExitStack()
        self._arrivals, self._inbound = trio.open_memory_channel[Any](1024)
        self._is_accepted = False

    async def __aenter__(self) -> Self:
        async def keep(stream: Any) -> None:
            await self._arrivals.send(stream)
            await trio.sleep_forever()

        await self._stack.enter_async_context(self._host.run([self._listen]))
        self._host.set_stream_handler(PROTOCOL, keep)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def address(self) -> Line:
        return {"address": str(self._host.get_addrs()[0])}

    async def dial(self, address: Line) -> Link:
        info = info_from_p2p_addr(Multiaddr(address["address"]))
        await self._host.connect(info)
        return HostLink(self._host, info.peer_id, self._inbound)

    async def accept(self) -> Link:
        """The one connection; the streams of all peers arrive together."""
        if self._is_accepted:
            await trio.sleep_forever()
        self._is_accepted = True
        return HostLink(self._host, None, self._inbound)


if __name__ == "__main__":
    run(HostPeer, "trio")
