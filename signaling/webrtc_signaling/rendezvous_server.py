"""What an application says once about its rendezvous server: where it is, with which token, and whom it trusts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from ssl import SSLContext

from webrtc_transport.abc import SignalingContext
from webrtc_transport.arguments import check_type
from webrtc_transport.config import IceServer
from webrtc_transport.errors import ConfigurationError, SignalingUnavailable
from webrtc_transport.redaction import redacted

from .client import ClientOptions
from .long_poll import LongPollBackend
from .rendezvous import RendezvousBackend
from .tokens import TokenSource, check_token_source
from .websocket import WebSocketBackend

_BACKENDS: tuple[type[RendezvousBackend], ...] = (WebSocketBackend, LongPollBackend)


class RendezvousServer:
    """A rendezvous server, for one transport::

        server = RendezvousServer("wss://signaling.example.org", token=fetch_token)
        config = TransportConfig(ice_servers=server.ice_servers)
        transport = WebRTCTransport(identity, signaling=[server], config=config)

    :param url: ``ws://``, ``wss://``, ``http://`` or ``https://``, as in ``signaling=[url]``
    :param token: of the server's operator, or an async function that gets one. It is called for each connection, in the
        transport's event loop
    :param ssl: for ``wss://`` and ``https://``: ``ssl.create_default_context(cafile=…)`` trusts a private authority
    :param options: times, and the encoding
    :raises ConfigurationError: if ``url`` is no address of a server, or ``token`` no token
    :raises TypeError: if ``url`` is no text, or ``ssl`` no context
    """

    def __init__(
        self,
        url: str,
        *,
        token: TokenSource | None = None,
        ssl: SSLContext | None = None,
        options: ClientOptions | None = None,
    ) -> None:
        check_type("url", url, str, "write one like 'wss://signaling.example.org'")
        # Not left to aiohttp, for which False is a wish, too: to trust everybody.
        check_type("ssl", ssl, SSLContext | None, "ssl.create_default_context(cafile=…) makes one")
        check_token_source(token)
        self._url = url
        self._token = token
        self._options = options or ClientOptions()
        if ssl is not None:
            self._options = dataclasses.replace(self._options, ssl=ssl)
        self._kind = _kind_of(url)
        self._backend: RendezvousBackend | None = None

    def __repr__(self) -> str:
        return f"RendezvousServer({redacted(self._url)!r})"

    def __call__(self, context: SignalingContext) -> RendezvousBackend:
        """Make the backend: a transport does that.

        :raises ConfigurationError: if ``url`` is no address of a server
        """
        self._backend = self._kind(self._url, context, options=self._options, token=self._token)
        return self._backend

    async def ice_servers(self) -> Sequence[IceServer]:
        """The TURN servers that this server lends its clients: for ``TransportConfig(ice_servers=…)``.

        They come with credentials that are good for a while, and are asked for anew in time. If the server lends none,
        there is a warning in the log, and the list is empty.

        :raises SignalingError: if the server can't be reached, or refuses us
        """
        if self._backend is None:
            raise SignalingUnavailable(
                f"no transport uses {self!r}; pass it to one: WebRTCTransport(identity, signaling=[server])"
            )
        return await self._backend.ice_servers()


def _kind_of(url: str) -> type[RendezvousBackend]:
    scheme = url.partition("://")[0].lower()
    for kind in _BACKENDS:
        if scheme in kind.schemes:
            return kind
    schemes = ", ".join(f"{scheme}://" for kind in _BACKENDS for scheme in kind.schemes)
    raise ConfigurationError(
        f"{redacted(url)!r} is no address of a rendezvous server; it begins with one of {schemes}"
    )
