"""Signaling backends for :mod:`webrtc_transport`: ways for two peers to exchange their descriptions.

They are imported when they are asked for: ``WebSocketBackend``, ``LongPollBackend``, and ``RendezvousServer``, which
says more about a server than a URL can, need the extra ``websocket``, which users of others needn't have. The
rendezvous server itself is in :mod:`webrtc_signaling.server` and needs the extra ``server``; its command has to be
ready for an interrupt before anything large is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .long_poll import LongPollBackend
    from .memory import MemoryBackend
    from .rendezvous_server import RendezvousServer
    from .websocket import WebSocketBackend

__all__ = ["LongPollBackend", "MemoryBackend", "RendezvousServer", "WebSocketBackend"]

_MODULES = {
    "LongPollBackend": "long_poll",
    "MemoryBackend": "memory",
    "RendezvousServer": "rendezvous_server",
    "WebSocketBackend": "websocket",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)
