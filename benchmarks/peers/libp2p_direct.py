"""py-libp2p's own webrtc-direct transport by itself: its swarm waits 250 ms per dial, whatever it dials.

python -m benchmarks.peers.libp2p_direct accept|dial setups <parameters>
"""

from __future__ import annotations

import sys
from typing import Any, Self

import trio
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.transport.webrtc.transport import WebRTCDirectTransport
from multiaddr import Multiaddr

from .lines import Line, Lines
from .roles import Channel, Link, Peer, run


class DirectLink(Link):
    """A connection that is set up and closed, and carries nothing."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    async def open(self) -> Channel:
        raise TypeError("only set-ups are measured with this peer")

    async def accept(self) -> Channel:
        raise TypeError("only set-ups are measured with this peer")

    async def serve_echo(self) -> None:
        # It never notices that the other end has gone.
        await trio.sleep_forever()

    async def close(self) -> None:
        await self._connection.close()


class DirectPeer(Peer):
    """The transport, and its listener."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(lines)
        self._transport: Any = WebRTCDirectTransport(create_new_key_pair().private_key)
        self._arrivals, self._inbound = trio.open_memory_channel[Any](1024)
        self._listener: Any = self._transport.create_listener(self._arrivals.send)

    async def __aenter__(self) -> Self:
        if sys.argv[-3] == "accept":
            await self._listener.listen(Multiaddr("/ip4/127.0.0.1/udp/0/webrtc-direct"))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.close()
        await self._transport.close()

    @property
    def address(self) -> Line:
        return {"address": str(self._listener.get_addrs()[0])}

    async def dial(self, address: Line) -> Link:
        return DirectLink(await self._transport.dial(Multiaddr(address["address"])))

    async def accept(self) -> Link:
        return DirectLink(await self._inbound.receive())


if __name__ == "__main__":
    run(DirectPeer, "trio")
