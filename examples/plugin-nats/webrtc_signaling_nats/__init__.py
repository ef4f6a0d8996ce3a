"""Signaling for webrtc_transport over a NATS server: ``nats://host:4222``, or ``nats://host:4222/some.prefix``."""

from .backend import NatsBackend
from .client import NatsOptions

__all__ = ["NatsBackend", "NatsOptions"]
