from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webrtc_transport.errors import IdentityError
from webrtc_transport.identity import Identity
from webrtc_transport.protocol.limits import MAX_PROOF_KEY_LENGTH, MAX_PROOF_SIGNATURE_LENGTH
from webrtc_transport.protocol.noise_payload import encode_payload, open_payload
from webrtc_transport.protocol.protobuf import encode_varint

IDENTITY = Identity.from_protobuf(b"\x08\x01\x12\x20" + bytes(range(32)))
STATIC = bytes(range(32, 64))
KEY = IDENTITY.public_key.to_protobuf()
SIGNATURE = IDENTITY.sign(b"noise-libp2p-static-key:" + STATIC)


def field(number: int, value: bytes, wire_type: int = 2) -> bytes:
    return encode_varint(number << 3 | wire_type) + encode_varint(len(value)) + value


def test_the_wire_form():
    # Ed25519 signs deterministically, so one key makes one payload.
    assert encode_payload(IDENTITY, STATIC) == field(1, KEY) + field(2, SIGNATURE)


def test_it_proves_the_identity():
    assert open_payload(encode_payload(IDENTITY, STATIC), STATIC) == IDENTITY.public_key


def test_extensions_and_what_is_unknown_are_passed_over():
    payload = field(4, field(2, b"/yamux/1.0.0")) + field(1, KEY) + field(9, b"x") + field(2, SIGNATURE)
    assert open_payload(payload, STATIC) == IDENTITY.public_key


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b"", "lacks"),
        (field(1, KEY), "lacks"),
        (field(2, SIGNATURE), "lacks"),
        (field(1, b"") + field(2, SIGNATURE), "lacks"),
        (field(1, KEY) + field(2, SIGNATURE)[:-1], "malformed"),
        (field(1, KEY, 0) + field(2, SIGNATURE), "malformed"),
        (field(0, b"") + field(1, KEY) + field(2, SIGNATURE), "malformed"),
        (field(1, KEY[:-1]) + field(2, SIGNATURE), "no libp2p key message"),
        (field(1, KEY) + field(2, SIGNATURE[:-1] + b"\0"), "isn't by"),
        (field(1, KEY) + field(2, SIGNATURE) + field(2, b"x"), "isn't by"),
        (field(1, Identity.generate().public_key.to_protobuf()) + field(2, SIGNATURE), "isn't by"),
        (field(1, bytes(MAX_PROOF_KEY_LENGTH + 1)) + field(2, SIGNATURE), "larger"),
        (field(1, KEY) + field(2, bytes(MAX_PROOF_SIGNATURE_LENGTH + 1)), "larger"),
    ],
)
def test_refused(payload, message):
    with pytest.raises(IdentityError, match=message):
        open_payload(payload, STATIC)


def test_a_signature_over_another_key_proves_nothing():
    with pytest.raises(IdentityError, match="other data"):
        open_payload(encode_payload(IDENTITY, STATIC), STATIC[::-1])


@given(st.binary(max_size=200) | st.binary(max_size=50).map(lambda data: field(1, KEY) + field(2, data)))
def test_any_bytes(payload):
    with pytest.raises(IdentityError):
        open_payload(payload, STATIC)
