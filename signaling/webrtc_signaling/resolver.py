"""Name resolution for aiohttp that holds nothing up."""

from __future__ import annotations

import socket

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from webrtc_transport.engine.resolver import resolve

from .client import ClientOptions


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


def new_connector(options: ClientOptions, *, keepalive_timeout: float | None = None) -> aiohttp.TCPConnector:
    """What a client makes its TCP connections with.

    :param keepalive_timeout: how long idle ones are kept, in seconds
    """
    # True stands for the system's authorities.
    ssl = True if options.ssl is None else options.ssl
    resolver = DaemonResolver()
    if keepalive_timeout is None:
        return aiohttp.TCPConnector(resolver=resolver, ssl=ssl)
    return aiohttp.TCPConnector(resolver=resolver, ssl=ssl, keepalive_timeout=keepalive_timeout)
