"""libp2p's encodings of keys (libp2p specs, ``peer-ids/peer-ids.md``, "Keys").

A key is a message of its kind and its bytes, which are encoded in a way of its kind. Keys in memory are those
of the ``cryptography`` library.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256K1,
    SECP256R1,
    SECP384R1,
    SECP521R1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
    load_der_public_key,
    load_pem_private_key,
)

from ..errors import IdentityError
from .limits import MAX_RSA_BITS, MIN_RSA_BITS
from .protobuf import ProtobufError, decode_message, encode_message

RawPublicKey = Ed25519PublicKey | EllipticCurvePublicKey | RSAPublicKey
RawPrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey | RSAPrivateKey

_MAX_MESSAGE_LENGTH: Final = 8192
"""Bytes of a key message; the private key of RSA-8192 has some 4,700."""

_ED25519_LENGTH: Final = 32
_SECP256K1_LENGTH: Final = 32


class KeyType(IntEnum):
    """The ``KeyType`` of libp2p's key messages."""

    RSA = 0
    ED25519 = 1
    SECP256K1 = 2
    ECDSA = 3


def key_type_of(key: RawPublicKey) -> KeyType:
    """The kind of ``key``.

    :raises IdentityError: if its curve or its size isn't supported
    """
    match key:
        case Ed25519PublicKey():
            return KeyType.ED25519
        case RSAPublicKey():
            if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
                raise IdentityError(
                    f"an RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits here, not {key.key_size}"
                )
            return KeyType.RSA
        case EllipticCurvePublicKey(curve=SECP256K1()):
            return KeyType.SECP256K1
        case EllipticCurvePublicKey(curve=SECP256R1() | SECP384R1() | SECP521R1()):
            return KeyType.ECDSA
        case _:
            raise IdentityError(
                f"the curve {key.curve.name} isn't supported; use secp256k1, P-256, P-384 or P-521"
            )


def encode_public_key(key: RawPublicKey) -> bytes:
    """libp2p's ``PublicKey`` message; the same for the same key, always.

    :raises IdentityError: if the curve or the size of ``key`` isn't supported
    """
    key_type = key_type_of(key)
    match key_type:
        case KeyType.ED25519:
            data = key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        case KeyType.SECP256K1:
            data = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
        case KeyType.RSA | KeyType.ECDSA:
            data = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return encode_message(key_type, data)


def decode_public_key(message: bytes) -> RawPublicKey:
    """Parse libp2p's ``PublicKey`` message.

    :raises IdentityError: if it is malformed, of an unsupported kind, or not in its one valid encoding
    """
    key_type, data = _decode_message(message)
    try:
        match key_type:
            case KeyType.ED25519:
                key: object = Ed25519PublicKey.from_public_bytes(data)
            case KeyType.SECP256K1:
                key = EllipticCurvePublicKey.from_encoded_point(SECP256K1(), data)
            case KeyType.RSA | KeyType.ECDSA:
                key = load_der_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise IdentityError(f"the {key_type.name} public key is malformed: {exc}") from None
    # Encoding again shows whether it is the key that it says it is. And a key in two encodings would be two peers.
    if not isinstance(key, RawPublicKey) or encode_public_key(key) != message:
        raise IdentityError(f"the {key_type.name} public key isn't encoded as libp2p's specification demands")
    return key


def encode_private_key(key: RawPrivateKey) -> bytes:
    """libp2p's ``PrivateKey`` message. It is secret.

    :raises IdentityError: if the curve or the size of ``key`` isn't supported
    """
    key_type = key_type_of(key.public_key())
    match key:
        case Ed25519PrivateKey():
            data = key.private_bytes_raw() + key.public_key().public_bytes_raw()
        case EllipticCurvePrivateKey(curve=SECP256K1()):
            data = key.private_numbers().private_value.to_bytes(_SECP256K1_LENGTH)
        case _:
            data = key.private_bytes(Encoding.DER, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    return encode_message(key_type, data)


def decode_private_key(message: bytes) -> RawPrivateKey:
    """Parse libp2p's ``PrivateKey`` message.

    :raises IdentityError: if it is malformed or of an unsupported kind
    """
    key_type, data = _decode_message(message)
    try:
        match key_type:
            case KeyType.ED25519:
                key: object = _decode_ed25519_private_key(data)
            case KeyType.SECP256K1:
                key = _decode_secp256k1_private_key(data)
            case KeyType.RSA | KeyType.ECDSA:
                key = load_der_private_key(data, password=None)
    except (TypeError, ValueError, UnsupportedAlgorithm) as exc:
        raise IdentityError(f"the {key_type.name} private key is malformed: {exc}") from None
    if not isinstance(key, RawPrivateKey) or key_type_of(key.public_key()) != key_type:
        raise IdentityError(f"the {key_type.name} private key is of another kind inside")
    return key


def decode_private_pem(pem: bytes) -> RawPrivateKey:
    """Parse the first private key of ``pem``.

    :raises IdentityError: if there is none, or it is encrypted or of a kind that libp2p doesn't have
    """
    if b"PRIVATE KEY-----" not in pem:
        raise IdentityError("there is no private key in PEM (-----BEGIN PRIVATE KEY-----)")
    try:
        key = load_pem_private_key(pem, password=None)
    except TypeError:
        raise IdentityError(
            "the private key is encrypted; decrypt it with `openssl pkey -in … -out …`"
        ) from None
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise IdentityError(f"there is no usable private key: {exc}") from None
    if not isinstance(key, RawPrivateKey):
        raise IdentityError("the private key is of a kind that libp2p doesn't have; use Ed25519")
    return key


def _decode_ed25519_private_key(data: bytes) -> Ed25519PrivateKey:
    # Old files hold the public key twice, and py-libp2p leaves it out.
    private, public = data[:_ED25519_LENGTH], data[_ED25519_LENGTH:]
    key = Ed25519PrivateKey.from_private_bytes(private)
    expected = key.public_key().public_bytes_raw()
    if public not in (b"", expected, expected + expected):
        raise ValueError("its public half doesn't belong to its private half")
    return key


def _decode_secp256k1_private_key(data: bytes) -> EllipticCurvePrivateKey:
    if len(data) != _SECP256K1_LENGTH:
        raise ValueError(f"it has {len(data)} bytes, not {_SECP256K1_LENGTH}")
    return derive_private_key(int.from_bytes(data), SECP256K1())


def _decode_message(message: bytes) -> tuple[KeyType, bytes]:
    if len(message) > _MAX_MESSAGE_LENGTH:
        raise IdentityError(
            f"a key message has at most {_MAX_MESSAGE_LENGTH} bytes, this one has {len(message)}"
        )
    try:
        kind, data = decode_message(message)
    except ProtobufError as exc:
        raise IdentityError(f"this is no libp2p key message: {exc}") from None
    if kind is None or data is None:
        raise IdentityError("this is no libp2p key message: it lacks the type or the data")
    try:
        return KeyType(kind), data
    except ValueError:
        raise IdentityError(f"the key is of a type that libp2p doesn't have ({kind})") from None
