"""The codec of key messages by itself; test_identity.py has the spec's vectors, and what is malformed."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from webrtc_transport.errors import IdentityError
from webrtc_transport.protocol.keys import (
    KeyType,
    decode_private_key,
    decode_private_pem,
    decode_public_key,
    encode_private_key,
    encode_public_key,
    key_type_of,
)

KEYS = {
    KeyType.ED25519: ed25519.Ed25519PrivateKey.generate(),
    KeyType.SECP256K1: ec.generate_private_key(ec.SECP256K1()),
    KeyType.ECDSA: ec.generate_private_key(ec.SECP256R1()),
    KeyType.RSA: rsa.generate_private_key(65537, 2048),
}


@pytest.mark.parametrize("kind", KEYS)
def test_keys_come_back_as_they_were(kind):
    key = KEYS[kind]
    public = key.public_key()
    assert key_type_of(public) is kind
    assert decode_public_key(encode_public_key(public)) == public
    again = decode_private_key(encode_private_key(key))
    assert again.public_key() == public
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    assert decode_private_pem(pem).public_key() == public


@pytest.mark.parametrize("curve", [ec.SECP192R1(), ec.SECP224R1()])
def test_curves_that_libp2p_does_not_have(curve):
    with pytest.raises(IdentityError, match="curve"):
        key_type_of(ec.generate_private_key(curve).public_key())


@pytest.mark.parametrize("bits", [1024, 1536])
def test_rsa_keys_that_prove_nothing(bits):
    with pytest.raises(IdentityError, match=str(bits)):
        key_type_of(rsa.generate_private_key(65537, bits).public_key())


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data):
    for decode in (decode_public_key, decode_private_key, decode_private_pem):
        try:
            decode(data)
        except IdentityError:
            continue
