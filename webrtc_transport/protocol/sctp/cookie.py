"""State cookies (RFC 9260, section 5.1.3): what an end needs to know of a peer's INIT, kept by the peer."""

from __future__ import annotations

import hmac
import struct
from typing import Final

from .packet import Init

LIFETIME: Final = 60.0
"""Seconds (RFC 9260, section 16: Valid.Cookie.Life)."""

_STATE: Final = struct.Struct("!dIIHHIB")
_DIGEST: Final = "sha256"
_DIGEST_SIZE: Final = 32


class StaleCookie(ValueError):
    """The cookie is ours, and too old.

    :param tag: the peer's, to answer to
    """

    def __init__(self, tag: int) -> None:
        super().__init__("the cookie is too old")
        self.tag = tag


def make_cookie(key: bytes, init: Init, now: float) -> bytes:
    """A cookie that says what was in ``init``."""
    extensions = bytes(sorted(init.extensions))[:255]
    state = _STATE.pack(
        now,
        init.tag,
        init.window,
        init.outbound_streams,
        init.inbound_streams,
        init.initial_tsn,
        len(extensions),
    )
    state += extensions
    return state + hmac.digest(key, state, _DIGEST)


def open_cookie(key: bytes, cookie: bytes, now: float) -> Init | None:
    """The INIT that the cookie was made of; ``None`` if it isn't ours.

    :raises StaleCookie: if it is too old
    """
    state, digest = cookie[:-_DIGEST_SIZE], cookie[-_DIGEST_SIZE:]
    if len(state) < _STATE.size or not hmac.compare_digest(digest, hmac.digest(key, state, _DIGEST)):
        return None
    made_at, tag, window, outbound, inbound, tsn, count = _STATE.unpack_from(state)
    if not 0 <= now - made_at <= LIFETIME:
        raise StaleCookie(tag)
    extensions = state[_STATE.size : _STATE.size + count]
    return Init(tag, window, outbound, inbound, tsn, b"", frozenset(extensions))
