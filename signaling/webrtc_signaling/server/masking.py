"""The mask of the frames of a WebSocket's client (RFC 6455, section 5.3). Sans-IO."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Mask = Callable[[bytes, bytearray], None]
"""Masks data in place with a key of four bytes, or takes the mask off: that is the same."""


def mask_as_integers(key: bytes, data: bytearray) -> None:
    """Python alone has no faster exclusive or."""
    length = len(data)
    pattern = (key * (length // len(key) + 1))[:length]
    masked = int.from_bytes(data, "little") ^ int.from_bytes(pattern, "little")
    data[:] = masked.to_bytes(length, "little")


def compiled_mask() -> Mask | None:
    """aiohttp's, which takes a seventh of the time. It isn't public, so a release may have it elsewhere."""
    try:
        from aiohttp._websocket.helpers import websocket_mask  # noqa: PLC0415 - it may not be there
    except ImportError:
        return None
    return websocket_mask


_mask: Final[Mask] = compiled_mask() or mask_as_integers


def unmask(payload: bytes | bytearray, key: bytes | bytearray) -> bytes:
    """The payload as it was before the client masked it."""
    unmasked = bytearray(payload)
    _mask(bytes(key), unmasked)
    return bytes(unmasked)
