"""The answer to a WebSocket's handshake (RFC 6455, section 4.2.2).

aiohttp's own answer comes with a reader of frames, which takes those that came right behind the request: they would be
lost when the transport is taken over.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from aiohttp import HttpVersion11, hdrs, web

from ..codec import Codec

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""Section 1.3."""

_WEBSOCKET: Final = "websocket"
_VERSION: Final = "13"
_KEY_LENGTH: Final = 16

_UPGRADE: Final = {hdrs.UPGRADE: _WEBSOCKET, hdrs.CONNECTION: "Upgrade"}
"""What the answer says of it."""


def asks_for_websocket(request: web.Request) -> bool:
    """Whether a request for a page that is a WebSocket, too, is for that."""
    return request.method == hdrs.METH_GET and _lists(request, hdrs.UPGRADE, _WEBSOCKET)


async def answer_handshake(request: web.Request) -> Codec:
    """Answer a GET. From then on both ends send frames, of messages in this encoding.

    :raises HTTPBadRequest: if it isn't one, or asks for subprotocols that we don't know
    :raises HTTPUpgradeRequired: if it is for another version
    """
    codec = _subprotocol(request)
    headers = {**_UPGRADE, hdrs.SEC_WEBSOCKET_ACCEPT: _accept(request)}
    if codec is not None:
        headers[hdrs.SEC_WEBSOCKET_PROTOCOL] = codec
    await web.StreamResponse(status=101, headers=headers).prepare(request)
    return codec or Codec.JSON


def _accept(request: web.Request) -> str:
    if not _lists(request, hdrs.UPGRADE, _WEBSOCKET) or not _lists(request, hdrs.CONNECTION, "upgrade"):
        raise web.HTTPBadRequest(
            text="this is the place for WebSockets; does a proxy take their headers away?\n"
        )
    # Section 4.2.1; and a body would be read as frames.
    if request.version < HttpVersion11:
        raise web.HTTPBadRequest(text="WebSockets begin with HTTP/1.1; does a proxy speak HTTP/1.0?\n")
    if request.headers.get(hdrs.CONTENT_LENGTH, "0") != "0" or hdrs.TRANSFER_ENCODING in request.headers:
        raise web.HTTPBadRequest(text="a handshake has no body\n")
    if request.headers.get(hdrs.SEC_WEBSOCKET_VERSION) != _VERSION:
        raise web.HTTPUpgradeRequired(
            text=f"WebSockets are of version {_VERSION} here\n",
            # RFC 9110, section 15.5.22, wants the first two.
            headers={**_UPGRADE, hdrs.SEC_WEBSOCKET_VERSION: _VERSION},
        )
    key = request.headers.get(hdrs.SEC_WEBSOCKET_KEY, "")
    try:
        is_key = len(base64.b64decode(key, validate=True)) == _KEY_LENGTH
    except ValueError:
        is_key = False
    if not is_key:
        raise web.HTTPBadRequest(text=f"Sec-WebSocket-Key is to be {_KEY_LENGTH} bytes in base64\n")
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


def _subprotocol(request: web.Request) -> Codec | None:
    """The first of those asked for that we know; ``None`` if none is."""
    asked = [name for name in _tokens(request, hdrs.SEC_WEBSOCKET_PROTOCOL) if name]
    known = [codec for name in asked for codec in Codec if codec == name]
    if asked and not known:
        raise web.HTTPBadRequest(text=f"use one of the subprotocols {', '.join(Codec)}\n")
    return known[0] if known else None


def _lists(request: web.Request, name: str, token: str) -> bool:
    """Whether a header has this among others, in whatever case."""
    return token in map(str.lower, _tokens(request, name))


def _tokens(request: web.Request, name: str) -> list[str]:
    """What a header lists, over all its lines."""
    return [token.strip() for line in request.headers.getall(name, []) for token in line.split(",")]
