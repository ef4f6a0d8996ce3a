"""The caller's side of signaling through a rendezvous server, however that is reached."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from types import TracebackType
from typing import ClassVar, Final, Self
from urllib.parse import urlsplit

import anyio

from webrtc_transport.abc import SignalingContext
from webrtc_transport.config import IceServer
from webrtc_transport.errors import ConfigurationError
from webrtc_transport.redaction import redacted
from webrtc_transport.task_group import bare_task_group

from .client import ClientOptions, RendezvousClient
from .client_backend import ClientBackend, ClientEvents
from .tokens import TokenDesk, TokenSource
from .wire import Carrier

_FRAGMENT: Final = "#token="
"""As in links to the server's page. What follows a ``#`` is sent to nobody, and is shown in no log."""


class RendezvousBackend(ClientBackend):
    """Meets peers at a rendezvous server, by the protocol of :mod:`webrtc_signaling.messages`.

    It connects when :meth:`connect` or :meth:`serve` is first called, registers under the proven peer id, and
    reconnects by itself until it is left. Sessions outlive a lost connection for as long as the server grants.
    """

    distribution_hint: ClassVar[str | None] = "webrtc-transport[websocket]"
    schemes: ClassVar[tuple[str, str]]
    """Of its URLs, without and with TLS."""

    def __init__(
        self,
        url: str,
        context: SignalingContext,
        *,
        options: ClientOptions | None = None,
        token: TokenSource | None = None,
    ) -> None:
        """Build the backend; no I/O yet.

        :param url: a token of the server's operator may stand behind it: ``wss://signaling.example.org#token=eyJ…``
        :param token: that token, or an async function that gets a fresh one for each connection
        :raises ConfigurationError: if ``url`` is no address of a server, or ``token`` no token, or there are two tokens
        """
        address, mark, url_token = url.partition(_FRAGMENT)
        if mark:
            if token is not None:
                raise ConfigurationError(
                    f"there are two tokens for {redacted(url)}: one in the URL, and one beside it; leave one out"
                )
            url, token = address, url_token
        if not _is_server_url(url, self.schemes):
            plain, secure = self.schemes
            raise ConfigurationError(
                f"{redacted(url)!r} is no address of a signaling server: use {plain}://host:port or {secure}://host:port"
            )
        self._tokens = TokenDesk(token, context.portal)
        self._token_scope: anyio.CancelScope | None = None
        self._stack = AsyncExitStack()
        super().__init__(context, partial(self._make_client, url, context, options or ClientOptions()))

    @staticmethod
    @abstractmethod
    def open_carrier(url: str, options: ClientOptions) -> AbstractAsyncContextManager[Carrier]:
        """Connect to the server at ``url``; this runs on the engine's loop, as a :data:`~.client.Connect`."""

    @classmethod
    def from_url(cls, url: str, context: SignalingContext) -> Self:
        return cls(url, context)

    async def __aenter__(self) -> Self:
        if self._tokens.has_fresh_ones:
            tasks = await self._stack.enter_async_context(bare_task_group())
            self._token_scope = await tasks.start(self._tokens.serve)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await super().__aexit__(exc_type, exc_val, exc_tb)
        if self._token_scope is not None:
            self._token_scope.cancel()
        await self._stack.aclose()

    async def ice_servers(self) -> Sequence[IceServer]:
        """The ICE servers that the server lends us, with credentials that are good for a while.

        :raises SignalingUnavailable: if the server can't be reached, or doesn't answer
        :raises SignalingRejected: if it refuses us
        """
        return await self._portal.run(self._client.ice_servers)

    def _make_client(
        self, url: str, context: SignalingContext, options: ClientOptions, events: ClientEvents
    ) -> RendezvousClient:
        self._client = RendezvousClient(
            url, context.identity, events, options, self.open_carrier, tokens=self._tokens
        )
        return self._client


def _is_server_url(url: str, schemes: tuple[str, str]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:
        return False
