"""Name resolution for aiohttp that holds nothing up."""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult

from webrtc_transport.engine.resolver import resolve


class DaemonResolver(AbstractResolver):
    """Resolves on daemon threads. aiohttp's own are joined at the end, which waits for a dead DNS server."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host, host=address, port=port, family=found, proto=0, flags=socket.AI_NUMERICHOST
            )
            for found, address in await resolve(host, port, family=family)
        ]

    async def close(self) -> None:
        """Nothing to release."""
