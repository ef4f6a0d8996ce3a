"""The ICE servers that a rendezvous server lends to its clients, for a time. Runs on asyncio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from webrtc_transport.config import IceServer
from webrtc_transport.errors import ConfigurationError, InvalidSignal, SignalingUnavailable

from .messages import IceServers, IceServersRequest

_logger = logging.getLogger("libp2p.transport.webrtc.signaling")

_FRESH: Final = 0.5
"""Of their lifetime, how long credentials are handed out: what is left has to last for a connection, or its set-up."""


class LeasedIceServers:
    """Asks the server when it is needed, and keeps the answer for a while.

    :param push: sends the question
    :param timeout: how long an answer may take, in seconds
    """

    def __init__(self, push: Callable[[IceServersRequest], None], timeout: float) -> None:
        self._push = push
        self._timeout = timeout
        self._offered = False
        self._was_told = False
        self._servers: tuple[IceServer, ...] = ()
        self._fresh_until = 0.0
        self._answer: asyncio.Future[None] | None = None
        """There is one while an answer is awaited."""

    def registered(self, *, offered: bool, resumed: bool) -> None:
        """There is a new connection, to a server that has ICE servers to lend or hasn't."""
        self._offered = offered
        if self._answer is not None and not resumed:
            # The server has forgotten the question, too.
            self._push(IceServersRequest())

    def receive(self, message: IceServers) -> None:
        """The server answers.

        :raises InvalidSignal: if what it names are no ICE servers
        """
        try:
            self._servers = tuple(
                IceServer(urls=server.urls, username=server.username, credential=server.credential)
                for server in message.servers
            )
        except ConfigurationError as exc:
            raise InvalidSignal(f"ice-servers: {exc}") from None
        self._fresh_until = asyncio.get_running_loop().time() + message.lifetime * _FRESH
        if self._answer is not None:
            self._answer.set_result(None)
            self._answer = None

    async def get(self) -> tuple[IceServer, ...]:
        """The servers that may be used now; none, with a warning, if this server has none.

        :raises SignalingUnavailable: if it doesn't answer
        """
        if not self._offered:
            if not self._was_told:
                _logger.warning(
                    "the signaling server lends no TURN servers; its operator can name them in turn_urls"
                )
                self._was_told = True
            return ()
        loop = asyncio.get_running_loop()
        if loop.time() >= self._fresh_until:
            if self._answer is None:
                self._push(IceServersRequest())
                self._answer = loop.create_future()
            try:
                async with asyncio.timeout(self._timeout):
                    await asyncio.shield(self._answer)
            except TimeoutError:
                raise SignalingUnavailable(
                    f"the signaling server has told no ICE servers within {self._timeout:g} s"
                ) from None
        return self._servers
