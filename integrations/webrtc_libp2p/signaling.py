"""Ways to signal for a py-libp2p host."""

from __future__ import annotations

from libp2p.abc import IHost
from libp2p.exceptions import BaseLibp2pError
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from webrtc_signaling.manager import (
    SignalingChannel,
    WebRTCSignalingManager,
    WebSocketSignalingChannel,
    check_peer,
)
from webrtc_transport.abc import SignalingBackend, SignalingContext
from webrtc_transport.errors import AddressError, IdentityError
from webrtc_transport.identity import PeerId

from .circuit import CircuitSignaling

__all__ = [
    "CircuitRelaySignalingChannel",
    "SignalingChannel",
    "WebRTCSignalingManager",
    "WebSocketSignalingChannel",
]


class CircuitRelaySignalingChannel(SignalingChannel):
    """Signals through a libp2p relay.

    When the host listens on ``/webrtc`` it reserves a place at the relay. Peers that are dialed without a relay in
    their address are looked for at it.

    :param host: whose transport it is for
    :param relay_peer_id: the relay's peer id, if the host's peerstore has its address by the time that the host
        listens; or its address, with the peer id at the end
    :raises AddressError: if it is neither
    """

    def __init__(self, host: IHost, relay_peer_id: ID | Multiaddr | str) -> None:
        self._own = PeerId.from_string(str(host.get_id()))
        self.relay = _relay_info(str(relay_peer_id))
        self.circuit = CircuitSignaling(host, [self.relay])

    def create_backend(self, context: SignalingContext) -> SignalingBackend:
        check_peer(self._own, context)
        return self.circuit.backend


def _relay_info(text: str) -> PeerInfo:
    try:
        if text.startswith("/"):
            return info_from_p2p_addr(Multiaddr(text))
        # py-libp2p takes any base58 for an id.
        return PeerInfo(ID.from_string(str(PeerId.from_string(text))), [])
    except (ValueError, TypeError, ArithmeticError, MultiaddrError, BaseLibp2pError, IdentityError) as exc:
        raise AddressError(f"{text!r} is neither the peer id of a relay nor its address: {exc}") from exc
