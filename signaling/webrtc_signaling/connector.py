"""What a client makes its TCP connections with. Runs on asyncio."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

import aiohttp

from .client import ClientOptions
from .resolver import DaemonResolver

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import Connection
    from aiohttp.tracing import Trace

_REMEMBERED: Final = 8
"""TLS connections that are looked after at the end: a client has two or three, and those before are gone by then."""

_CLOSING_TURNS: Final = 3
"""Turns of the loop in which a transport that was aborted closes its socket."""


class Connector(aiohttp.TCPConnector):
    """aiohttp's, with name resolution that holds nothing up, and an end that leaves nothing behind.

    aiohttp's own leaves TLS connections alone that were told to close: they wait for the server's goodbye, for up to
    half a minute, in a loop that may end before.

    :param keepalive_timeout: how long idle connections are kept, in seconds
    """

    def __init__(self, options: ClientOptions, *, keepalive_timeout: float | None = None) -> None:
        # True stands for the authorities of the system.
        tls = True if options.ssl is None else options.ssl
        if keepalive_timeout is None:
            super().__init__(resolver=DaemonResolver(), ssl=tls)
        else:
            super().__init__(resolver=DaemonResolver(), ssl=tls, keepalive_timeout=keepalive_timeout)
        self._encrypted: deque[asyncio.Transport] = deque(maxlen=_REMEMBERED)

    async def connect(
        self,
        req: ClientRequest,
        traces: list[Trace],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - the name is aiohttp's
    ) -> Connection:
        connection = await super().connect(req, traces, timeout)
        transport = connection.transport
        if transport is not None and transport.get_extra_info("ssl_object") is not None:
            self._encrypted.append(transport)
        return connection

    async def close(self, *, abort_ssl: bool = False) -> None:
        await super().close(abort_ssl=abort_ssl)
        if self._encrypted:
            for transport in self._encrypted:
                transport.abort()
            for _ in range(_CLOSING_TURNS):
                await asyncio.sleep(0)
