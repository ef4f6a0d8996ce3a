"""Addresses in py-libp2p's terms."""

from __future__ import annotations

from libp2p.peer.id import ID
from multiaddr import Multiaddr

from webrtc_transport.addresses import webrtc_address
from webrtc_transport.identity import PeerId


def create_webrtc_multiaddr(peer_id: ID | str | None = None) -> Multiaddr:
    """``/webrtc``, which a host listens on, or ``/webrtc/p2p/<peer id>``, which others dial.

    :raises webrtc_transport.errors.IdentityError: if ``peer_id`` is malformed
    """
    return webrtc_address(None if peer_id is None else PeerId.from_string(str(peer_id)))
