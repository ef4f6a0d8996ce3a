"""One client's connection to the server, from its challenge to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial

from aiohttp import WSCloseCode, web

from webrtc_transport.errors import InvalidSignal

from ..codec import Codec
from ..messages import (
    Ack,
    ClientMessage,
    Failure,
    Numbered,
    Register,
    UnsupportedVersion,
    error_data,
    parse_client_message,
)
from ..wire import Disconnected, Wire
from .auth import Refused, check_proof, new_challenge
from .hub import Hub, Registration
from .settings import ServerSettings

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")

_GOODBYES = frozenset({WSCloseCode.OK, WSCloseCode.GOING_AWAY})
"""How a client ends its registration. The second is what a browser sends when its page is left."""


class ClientConnection:
    """The hub's :class:`~webrtc_signaling.server.hub.Link` to a client."""

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
        self._name = address
        self._hub = hub
        self._settings = settings

    async def run(self) -> None:
        """Serve the client until it goes, or has to."""
        try:
            await self._serve()
        except Disconnected as exc:
            _logger.debug("%s: %s", self._name, exc)
        except Refused as exc:
            await self._refuse(exc.code, str(exc))
        except UnsupportedVersion as exc:
            await self._refuse("unsupported-version", str(exc))
        except InvalidSignal as exc:
            await self._refuse("invalid-message", str(exc))
        finally:
            # A client that doesn't read what is left for it holds nothing up.
            self._transport.abort()

    def wake(self) -> None:
        self._wire.wake()

    def close(self, farewell: Failure) -> None:
        _logger.info("%s has to go: %s", self._name, farewell.data.code)
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
        register, proven = await self._authenticate()
        registration, reply = self._hub.register(register, self, _now(), proven=proven)
        self._name = f"{self._name} ({registration.peer})"
        _logger.info("%s registered%s", self._name, "" if proven else " WITHOUT PROOF")
        leaving = False
        try:
            await self._wire.send(reply)
            await self._wire.exchange(registration.channel, partial(self._handle, registration))
        except Disconnected as exc:
            leaving = exc.code in _GOODBYES
            raise
        finally:
            self._hub.disconnected(registration, self, _now(), leaving=leaving)

    async def _authenticate(self) -> tuple[Register, bool]:
        """Ask who it is; returns the answer, and whether it is proven."""
        challenge = new_challenge()
        try:
            async with asyncio.timeout(self._settings.register_timeout):
                await self._wire.send(challenge)
                register, _ = await self._wire.receive()
        except TimeoutError:
            raise Refused("register-timeout", "you have not registered in time") from None
        if not isinstance(register, Register):
            raise InvalidSignal("type: register first")
        return register, check_proof(register, challenge, insecure=self._settings.insecure)

    def _handle(self, registration: Registration, message: ClientMessage, size: int) -> None:
        now = _now()
        if not registration.bucket.take(now):
            self.close(Failure(data=error_data("rate-limited", "you send too many messages")))
            return
        match message:
            case Ack(ack=ack):
                registration.channel.acknowledge(ack)
            case Numbered():
                self._hub.receive(registration, message, size, now)
                self._wire.wake()
            case Register():
                raise InvalidSignal("type: you are registered already")

    async def _refuse(self, code: str, reason: str) -> None:
        _logger.info("%s refused: %s (%s)", self._name, reason, code)
        with contextlib.suppress(TimeoutError, Disconnected):
            async with asyncio.timeout(self._settings.close_timeout):
                await self._wire.close(Failure(data=error_data(code, reason)))


def _now() -> float:
    return asyncio.get_running_loop().time()
