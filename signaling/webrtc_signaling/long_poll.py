"""Signaling through a rendezvous server, ``http://`` and ``https://``: by WebSocket if that works, else by polls."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Final

import aiohttp
from yarl import URL

from webrtc_transport.errors import InvalidSignal
from webrtc_transport.redaction import redacted

from .client import ClientOptions
from .connect_errors import connect_reason
from .connector import Connector
from .poll_wire import PollWire
from .rendezvous import RendezvousBackend
from .websocket import open_websocket
from .wire import Carrier, Disconnected

_logger = logging.getLogger("libp2p.transport.webrtc.signaling")

_WEBSOCKET_SHARE: Final = 0.4
"""Of the time for an attempt to connect, what the WebSocket gets before the polls have their turn. To give one up that
is stuck takes time, too."""

_KEEP_ALIVE: Final = 5.0
"""Seconds that an idle connection is kept: less than servers do, or requests would meet ones that are just closed."""


@contextlib.asynccontextmanager
async def open_polls(url: str, options: ClientOptions) -> AsyncIterator[PollWire]:
    """A connection to the server that needs nothing but HTTP requests.

    :raises Disconnected: if it is refused
    :raises InvalidSignal: if what answers is no server of this protocol
    :raises aiohttp.ClientConnectorError: if nothing answers
    """
    connector = Connector(options, keepalive_timeout=_KEEP_ALIVE)
    async with aiohttp.ClientSession(connector=connector) as http:
        server = URL(url)
        wire = PollWire(http, (server / "poll").with_query(server.query), options)
        await wire.open()
        yield wire


@contextlib.asynccontextmanager
async def open_either(url: str, options: ClientOptions) -> AsyncIterator[Carrier]:
    """A WebSocket to the server if the network lets it through, else polls.

    :raises Disconnected: if it is refused
    :raises InvalidSignal: if what answers is no server of this protocol
    :raises aiohttp.ClientConnectorError: if nothing answers
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            # What is entered by then is left here if something fails, and else when the caller is done.
            async with contextlib.AsyncExitStack() as attempt:
                async with asyncio.timeout(options.connect_timeout * _WEBSOCKET_SHARE):
                    websocket = await attempt.enter_async_context(open_websocket(_as_websocket(url), options))
                    await websocket.wait_for_first()
                carrier: Carrier = websocket
                stack.push_async_exit(attempt.pop_all())
        except aiohttp.ClientConnectorError:
            # Nobody is there, for polls neither.
            raise
        except (Disconnected, InvalidSignal, TimeoutError, aiohttp.ClientError) as exc:
            _logger.info("no WebSocket to %s (%s); polling instead", redacted(url), connect_reason(exc, url))
            carrier = await stack.enter_async_context(open_polls(url, options))
        yield carrier


class LongPollBackend(RendezvousBackend):
    """Meets peers at a rendezvous server that is known by its ``http://`` or ``https://`` address.

    Each connection is tried as a WebSocket first. Where a proxy or a firewall stops that, HTTP requests carry the same
    messages.
    """

    schemes = ("http", "https")
    open_carrier = staticmethod(open_either)


def _as_websocket(url: str) -> str:
    # http to ws, https to wss.
    return f"ws{url.removeprefix('http')}"
