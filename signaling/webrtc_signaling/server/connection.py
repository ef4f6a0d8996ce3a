"""A client's connection to the server by WebSocket, from its challenge to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial

from aiohttp import WSCloseCode, web

from webrtc_transport.errors import InvalidSignal

from ..codec import Codec
from ..messages import ClientMessage, Failure, parse_client_message
from ..wire import Disconnected, Wire
from .admission import Admission
from .auth import Refused
from .client import Client, failure_of
from .hub import Hub
from .registration import Registration
from .settings import ServerSettings

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")

_GOODBYES = frozenset({WSCloseCode.OK, WSCloseCode.GOING_AWAY})
"""How a client ends its registration. The second is what a browser sends when its page is left."""


def check_room(admission: Admission, address: str) -> None:
    """Before a client costs anything.

    :raises HTTPException: if nobody else is let in, or nobody else from its address
    """
    if admission.is_full:
        raise web.HTTPServiceUnavailable(text="too many clients\n")
    if admission.is_full_for(address):
        raise web.HTTPTooManyRequests(text="too many clients from your address\n")


class ClientConnection:
    """The hub's :class:`~webrtc_signaling.server.registration.Link` to a client."""

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        address: str,
        hub: Hub,
        settings: ServerSettings,
    ) -> None:
        codec = Codec(socket.ws_protocol or Codec.JSON)
        self._wire: Wire[ClientMessage] = Wire(socket, codec, parse_client_message)
        self._transport = transport
        self._client = Client(self, address, hub, settings)
        self._settings = settings

    async def run(self) -> None:
        """Serve the client until it goes, or has to."""
        try:
            await self._serve()
        except Disconnected as exc:
            _logger.debug("%s: %s", self._client.name, exc)
        except (Refused, InvalidSignal) as exc:
            await self._refuse(failure_of(exc))
        finally:
            # A client that doesn't read what is left for it holds nothing up.
            self._transport.abort()

    def wake(self) -> None:
        self._wire.wake()

    def close(self, farewell: Failure) -> None:
        self._client.dismissed(farewell)
        self._wire.finish(farewell)
        asyncio.get_running_loop().call_later(self._settings.close_timeout, self._transport.abort)

    def drop(self) -> None:
        self._wire.drop()
        self._transport.abort()

    async def _serve(self) -> None:
        """Serve the client.

        :raises Disconnected: if it goes
        :raises Refused: if its proof is wrong, or takes too long
        :raises InvalidSignal: if it breaks the protocol
        """
        registration, reply = self._client.register(await self._ask())
        leaving = False
        try:
            await self._wire.send(reply)
            await self._wire.exchange(registration.channel, partial(self._handle, registration))
        except Disconnected as exc:
            leaving = exc.code in _GOODBYES
            raise
        finally:
            self._client.disconnected(leaving=leaving)

    async def _ask(self) -> ClientMessage:
        """Ask who it is; returns the answer."""
        try:
            async with asyncio.timeout(self._settings.register_timeout):
                await self._wire.send(self._client.challenge)
                answer, _ = await self._wire.receive()
        except TimeoutError:
            raise Refused("register-timeout", "you have not registered in time") from None
        return answer

    def _handle(self, registration: Registration, message: ClientMessage, size: int) -> None:
        self._client.receive(registration, message, size)
        # The message is to be acknowledged.
        self._wire.wake()

    async def _refuse(self, failure: Failure) -> None:
        self._client.refused(failure)
        with contextlib.suppress(TimeoutError, Disconnected):
            async with asyncio.timeout(self._settings.close_timeout):
                await self._wire.close(failure)
