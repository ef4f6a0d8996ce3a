"""The caller's side of signaling through a rendezvous server, however that is reached."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import AbstractAsyncContextManager
from typing import ClassVar, Self
from urllib.parse import urlsplit

from webrtc_transport.abc import SignalingContext
from webrtc_transport.errors import ConfigurationError
from webrtc_transport.redaction import redacted

from .client import ClientOptions, RendezvousClient
from .client_backend import ClientBackend
from .wire import Carrier


class RendezvousBackend(ClientBackend):
    """Meets peers at a rendezvous server (:mod:`webrtc_signaling.messages` describes the protocol).

    It connects when :meth:`connect` or :meth:`serve` is first called, registers under the proven peer id, and
    reconnects by itself until it is left. Sessions outlive a lost connection for as long as the server grants.
    """

    distribution_hint: ClassVar[str | None] = "webrtc-transport[websocket]"
    schemes: ClassVar[tuple[str, str]]
    """Of its URLs, without and with TLS."""

    def __init__(self, url: str, context: SignalingContext, *, options: ClientOptions | None = None) -> None:
        """Build the backend; no I/O yet.

        :raises ConfigurationError: if ``url`` is no address of a server
        """
        if not _is_server_url(url, self.schemes):
            plain, secure = self.schemes
            raise ConfigurationError(
                f"{redacted(url)!r} is no address of a signaling server: use {plain}://host:port or {secure}://host:port"
            )
        super().__init__(
            context,
            lambda events: RendezvousClient(
                url, context.identity, events, options or ClientOptions(), self.open_carrier
            ),
        )

    @staticmethod
    @abstractmethod
    def open_carrier(url: str, options: ClientOptions) -> AbstractAsyncContextManager[Carrier]:
        """Connect to the server at ``url``; this runs on the engine's loop, as a :data:`~.client.Connect`."""

    @classmethod
    def from_url(cls, url: str, context: SignalingContext) -> Self:
        return cls(url, context)


def _is_server_url(url: str, schemes: tuple[str, str]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:
        return False
