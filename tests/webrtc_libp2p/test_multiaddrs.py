import pytest
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID

from webrtc_libp2p import create_webrtc_multiaddr
from webrtc_transport.errors import IdentityError


def test_listening_address():
    assert str(create_webrtc_multiaddr()) == "/webrtc"


def test_dialing_address_of_an_id_and_of_its_text():
    peer_id = ID.from_pubkey(create_new_key_pair().public_key)
    assert str(create_webrtc_multiaddr(peer_id)) == f"/webrtc/p2p/{peer_id}"
    assert create_webrtc_multiaddr(str(peer_id)) == create_webrtc_multiaddr(peer_id)


def test_malformed_id():
    with pytest.raises(IdentityError):
        create_webrtc_multiaddr("not a peer id")
