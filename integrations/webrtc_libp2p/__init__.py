"""WebRTC for py-libp2p: a transport for its hosts, with ways to signal."""

from .connection import WebRTCConnection
from .identity import identity_from_key_pair
from .listener import WebRTCListener
from .multiaddrs import create_webrtc_multiaddr
from .registry import create_transport_for_multiaddr, register_transport
from .signaling import CircuitRelaySignalingChannel, WebRTCSignalingManager, WebSocketSignalingChannel
from .stream import WebRTCStream
from .transport import WebRTCTransport

__all__ = [
    "CircuitRelaySignalingChannel",
    "WebRTCConnection",
    "WebRTCListener",
    "WebRTCSignalingManager",
    "WebRTCStream",
    "WebRTCTransport",
    "WebSocketSignalingChannel",
    "create_transport_for_multiaddr",
    "create_webrtc_multiaddr",
    "identity_from_key_pair",
    "register_transport",
]
