"""A WebRTC transport for libp2p: streams over data channels, for asyncio and trio."""

from .abc import CandidatePair, PeerStatistics
from .config import IceServer, TransportConfig
from .connection import Connection, ConnectionState, ConnectionStatistics, SetupTimes, WebRTCAttribute
from .identity import Identity, PeerId, PublicKey
from .links import TransportStatistics
from .listener import Listener
from .protocol.certificate import Certificate
from .stream import Stream
from .transport import WebRTCTransport

__all__ = [
    "CandidatePair",
    "Certificate",
    "Connection",
    "ConnectionState",
    "ConnectionStatistics",
    "IceServer",
    "Identity",
    "Listener",
    "PeerId",
    "PeerStatistics",
    "PublicKey",
    "SetupTimes",
    "Stream",
    "TransportConfig",
    "TransportStatistics",
    "WebRTCAttribute",
    "WebRTCTransport",
]
