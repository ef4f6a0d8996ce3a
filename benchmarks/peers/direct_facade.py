"""This library's webrtc-direct, through its public facade.

python -m benchmarks.peers.direct_facade asyncio|trio accept|dial <role> <parameters>
"""

from __future__ import annotations

import sys
from typing import Self

from webrtc_transport import Identity, Listener, WebRTCTransport

from .facade import FacadeLink
from .lines import Line, Lines
from .roles import Link, Peer, run


class DirectFacadePeer(Peer):
    """A transport, and its listener."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(lines)
        self._transport = WebRTCTransport(Identity.generate())
        self._listener: Listener | None = None

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        if sys.argv[-3] == "accept":
            self._listener = await self._transport.listen("/ip4/127.0.0.1/udp/0/webrtc-direct")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._transport.__aexit__(None, None, None)

    @property
    def address(self) -> Line:
        return {} if self._listener is None else {"address": str(self._listener.addresses[0])}

    async def dial(self, address: Line) -> Link:
        return FacadeLink(await self._transport.dial(address["address"]))

    async def accept(self) -> Link:
        assert self._listener is not None
        return FacadeLink(await self._listener.accept())


if __name__ == "__main__":
    run(DirectFacadePeer, sys.argv[1])
