"""What libp2p peers send inside of a Noise handshake: who they are (libp2p specs, ``noise/README.md``).

``NoiseHandshakePayload`` has the identity key in field 1, in field 2 its signature over the static Noise key, and in
field 4 extensions, which webrtc-direct doesn't use.
"""

from __future__ import annotations

from typing import Final

from ..errors import IdentityError
from ..identity import Identity, PublicKey
from .limits import MAX_PROOF_KEY_LENGTH, MAX_PROOF_SIGNATURE_LENGTH
from .protobuf import ProtobufError, TruncatedError, decode_varint, encode_varint

_CONTEXT: Final = b"noise-libp2p-static-key:"
_BYTES: Final = 2
"""The wire type of bytes and strings, and the only one in this message."""
_KEY_TAG: Final = 1 << 3 | _BYTES
_SIGNATURE_TAG: Final = 2 << 3 | _BYTES


def encode_payload(identity: Identity, static_key: bytes) -> bytes:
    """Prove that ``identity`` made the Noise key.

    :param static_key: the public one, 32 bytes
    """
    key, signature = identity.public_key.to_protobuf(), identity.sign(_CONTEXT + static_key)
    return _field(_KEY_TAG, key) + _field(_SIGNATURE_TAG, signature)


def open_payload(payload: bytes, static_key: bytes) -> PublicKey:
    """The identity key of the peer whose public Noise key is ``static_key``.

    :raises IdentityError: if the payload is malformed, a part is missing or too large, or the signature is wrong
    """
    try:
        fields = _decode(payload)
    except ProtobufError as exc:
        raise IdentityError(f"the Noise payload is malformed: {exc}") from None
    key, signature = fields.get(_KEY_TAG, b""), fields.get(_SIGNATURE_TAG, b"")
    if not key or not signature:
        raise IdentityError("the Noise payload lacks the identity key or the signature")
    if len(key) > MAX_PROOF_KEY_LENGTH or len(signature) > MAX_PROOF_SIGNATURE_LENGTH:
        raise IdentityError(
            "the identity key or the signature in the Noise payload is larger than any can be"
        )
    public_key = PublicKey.from_protobuf(key)
    public_key.verify(signature, _CONTEXT + static_key)
    return public_key


def _field(tag: int, value: bytes) -> bytes:
    return bytes((tag,)) + encode_varint(len(value)) + value


def _decode(message: bytes) -> dict[int, bytes]:
    """The fields of bytes by their tags; of a repeated one the last counts, as protobuf demands."""
    fields: dict[int, bytes] = {}
    offset = 0
    while offset < len(message):
        tag, offset = decode_varint(message, offset)
        if tag & 7 != _BYTES or tag >> 3 == 0:
            raise ProtobufError(f"field {tag >> 3} has the wire type {tag & 7}")
        size, start = decode_varint(message, offset)
        offset = start + size
        if offset > len(message):
            raise TruncatedError("the data ends inside of a field")
        fields[tag] = message[start:offset]
    return fields
