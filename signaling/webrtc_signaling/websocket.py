"""Signaling through a rendezvous server by WebSocket: ``ws://`` and ``wss://``. What connects runs on asyncio."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import aiohttp

from webrtc_transport.errors import InvalidSignal

from .client import ClientOptions
from .codec import Codec
from .connector import Connector
from .limits import MAX_MESSAGE_SIZE
from .messages import ServerMessage, parse_server_message
from .rendezvous import RendezvousBackend
from .wire import Wire


@contextlib.asynccontextmanager
async def open_websocket(url: str, options: ClientOptions) -> AsyncIterator[Wire[ServerMessage]]:
    """A WebSocket to the server, as long as the context is open.

    :raises InvalidSignal: if the server doesn't know the encoding
    :raises aiohttp.ClientError: if there is none, or it refuses
    """
    codec = options.codec
    async with (
        aiohttp.ClientSession(connector=Connector(options)) as http,
        http.ws_connect(
            url,
            protocols=(codec,),
            heartbeat=options.heartbeat,
            max_msg_size=MAX_MESSAGE_SIZE,
            # attrs makes its parameters, unseen by pyright.
            timeout=aiohttp.ClientWSTimeout(ws_close=options.close_timeout),  # pyright: ignore[reportCallIssue]
        ) as socket,
    ):
        if socket.protocol != codec and codec is not Codec.JSON:
            raise InvalidSignal(f"it doesn't know the subprotocol {codec}")
        try:
            yield Wire(socket, codec, parse_server_message)
        except InvalidSignal:
            # Any other code would end the registration, and the sessions with it.
            await socket.close(code=aiohttp.WSCloseCode.PROTOCOL_ERROR)
            raise


class WebSocketBackend(RendezvousBackend):
    """Meets peers at a rendezvous server, over a WebSocket."""

    schemes = ("ws", "wss")
    open_carrier = staticmethod(open_websocket)
