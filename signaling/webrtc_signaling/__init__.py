"""Signaling backends for :mod:`webrtc_transport`: ways for two peers to exchange their descriptions.

``WebSocketBackend`` needs the extra ``websocket`` and is imported when it is asked for; the rendezvous server for it is
in :mod:`webrtc_signaling.server` and needs the extra ``server``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .memory import MemoryBackend

if TYPE_CHECKING:
    from .websocket import WebSocketBackend

__all__ = ["MemoryBackend", "WebSocketBackend"]


def __getattr__(name: str) -> object:
    if name != "WebSocketBackend":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # Needs aiohttp, which users of other backends needn't have.
    from .websocket import WebSocketBackend  # noqa: PLC0415

    return WebSocketBackend
