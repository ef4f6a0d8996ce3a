"""What py-libp2p applications need of the WebRTC transport: its addresses, and their identity for it."""

from .identity import identity_from_key_pair
from .multiaddrs import create_webrtc_multiaddr

__all__ = ["create_webrtc_multiaddr", "identity_from_key_pair"]
