"""Which web pages may use the server: their own ones, and those that the operator names (RFC 6454).

A browser says in the header ``Origin`` where a page comes from, and the page can't change that. Other programs send
none, or what they like: for them this is no bound.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from webrtc_transport.errors import ConfigurationError

from ..batch import CONNECTION_HEADER

POLL_PATH: Final = "/poll"
"""What pages from elsewhere may ask for, beside WebSockets."""

ANY: Final = "*"
"""In place of an origin: every page."""

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}

_MAX_SHOWN: Final = 200
"""Characters of a foreign origin that are told."""

_ALLOWED: Final = {
    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, DELETE",
    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: f"{CONNECTION_HEADER}, Content-Type, Content-Encoding",
    hdrs.ACCESS_CONTROL_MAX_AGE: "600",
}
"""What a page of an allowed origin may do, for the question that its browser asks first (Fetch, CORS-preflight)."""

_Origin = tuple[str, str, int]


class Origins:
    """The origins whose pages are let in.

    :param allowed: beside the server's own: ``https://host[:port]``, or ``*`` for all
    :raises ConfigurationError: if one of them is no origin
    """

    def __init__(self, allowed: Iterable[str]) -> None:
        named = list(allowed)
        self._allow_all = ANY in named
        self._allowed = {_named(text) for text in named if text != ANY}

    def check(self, request: web.Request) -> None:
        """:raises HTTPForbidden: if a page asks that comes from elsewhere"""
        if not self._is_allowed(request):
            origin = ascii(request.headers.get(hdrs.ORIGIN, "")[:_MAX_SHOWN])
            raise web.HTTPForbidden(
                text=f"pages of {origin} may not use this server; its operator can name them in allowed_origins\n"
            )

    async def preflight(self, request: web.Request) -> web.Response:
        """Tell a browser what a page may do here."""
        self.check(request)
        return web.Response(status=204, headers=_ALLOWED)

    async def add_headers(self, request: web.Request, response: web.StreamResponse) -> None:
        """Let a page read the answer to its poll, if it was let in: a signal of aiohttp's.

        What else the server says isn't for pages from elsewhere: one in a browser on the server's own machine would
        read what only its operator may see.
        """
        if request.path == POLL_PATH and (self._allow_all or self._allowed):
            response.headers.add(hdrs.VARY, hdrs.ORIGIN)
            origin = request.headers.get(hdrs.ORIGIN)
            if origin is not None and self._is_allowed(request):
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin

    def _is_allowed(self, request: web.Request) -> bool:
        text = request.headers.get(hdrs.ORIGIN)
        if text is None or self._allow_all:
            return True
        origin = _parse(text)
        return origin is not None and (origin in self._allowed or _is_own(origin, request.host))


def _is_own(origin: _Origin, host: str) -> bool:
    """Whether it is the origin of the page that this server shows, as which it may be known by several names.

    The scheme isn't compared: behind a proxy with TLS, the server doesn't know its own.
    """
    own = _parse(f"{origin[0]}://{host}")
    return own is not None and own == origin


def _parse(text: str) -> _Origin | None:
    try:
        parts = urlsplit(text)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme)
    except ValueError:
        return None
    is_origin = (
        text.isascii() and "@" not in parts.netloc and not (parts.path or parts.query or parts.fragment)
    )
    if not is_origin or not parts.hostname or port is None:
        return None
    return parts.scheme, parts.hostname, port


def _named(text: str) -> _Origin:
    origin = _parse(text)
    if origin is None:
        raise ConfigurationError(
            f"allowed_origins: {text[:80]!r} is no origin; write one like https://app.example.org, without a path"
        )
    return origin
