import pytest
from libp2p.crypto.ed25519 import create_new_key_pair as create_ed25519
from libp2p.crypto.secp256k1 import create_new_key_pair as create_secp256k1
from libp2p.peer.id import ID

from webrtc_libp2p import identity_from_key_pair


@pytest.mark.parametrize("create", [create_ed25519, create_secp256k1])
def test_identity_keeps_the_peer_id(create):
    key_pair = create()
    identity = identity_from_key_pair(key_pair)
    assert str(identity.peer_id) == str(ID.from_pubkey(key_pair.public_key))


@pytest.mark.parametrize("create", [create_ed25519, create_secp256k1])
def test_each_library_verifies_what_the_other_signs(create):
    key_pair = create()
    identity = identity_from_key_pair(key_pair)
    assert key_pair.public_key.verify(b"data", identity.sign(b"data"))
    identity.public_key.verify(key_pair.private_key.sign(b"data"), b"data")
