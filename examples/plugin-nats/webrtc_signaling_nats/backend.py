"""The backend: what its URLs look like. Sessions, serving and the seam to asyncio are the library's."""

from __future__ import annotations

import contextlib
import re
from typing import Final, Self
from urllib.parse import urlsplit

from webrtc_signaling.client_backend import ClientBackend
from webrtc_transport.abc import SignalingContext
from webrtc_transport.errors import ConfigurationError
from webrtc_transport.redaction import redacted

from .client import NatsClient, NatsOptions

DEFAULT_PREFIX: Final = "webrtc-signaling"

_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
"""The beginning of a subject: without the characters that NATS gives a meaning."""


class NatsBackend(ClientBackend):
    """Meets peers at a NATS server: each has the subject ``<prefix>.<peer id>``.

    Anybody whom the server lets in may publish on any of them, so nothing that comes that way is believed: sessions
    aren't authenticated, and the transport signs and checks the descriptions.
    """

    def __init__(self, url: str, context: SignalingContext, *, options: NatsOptions | None = None) -> None:
        """Build the backend; no I/O yet.

        :raises ConfigurationError: if ``url`` is no address of a NATS server
        """
        server, prefix = _parse(url)
        super().__init__(
            context,
            lambda events: NatsClient(
                server, prefix, str(context.identity.peer_id), events, options or NatsOptions()
            ),
        )

    @classmethod
    def from_url(cls, url: str, context: SignalingContext) -> Self:
        return cls(url, context)


def _parse(url: str) -> tuple[str, str]:
    """The server's own URL, and the prefix of the subjects."""
    with contextlib.suppress(ValueError):
        parts = urlsplit(url)
        prefix = parts.path.removeprefix("/") or DEFAULT_PREFIX
        is_server = parts.scheme == "nats" and parts.hostname and parts.port != 0
        if is_server and _PREFIX.fullmatch(prefix) and not parts.query and not parts.fragment:
            return f"nats://{parts.netloc}", prefix
    raise ConfigurationError(
        f"{redacted(url)!r} is no address of a NATS server: use nats://host:4222, or nats://host:4222/prefix"
    )
