"""A DTLS certificate that follows from the identity key, so that its ``certhash`` survives a restart.

An address of webrtc-direct has the hash of the certificate in it. A certificate that is made anew makes every
address that was announced worthless; one in a file is one more file to keep. This one takes nothing but the
identity key: the same key makes the same certificate, byte for byte, on every machine.

It is valid for as long as X.509 can say and there is no rotation: who has the identity key can make it anyway, and a
change would break the addresses that it is there to keep. Who has the certificate's key can't compute the
identity key from it, because HKDF is one way, and can't pass for the peer either, because Noise proves the
identity. Recorded traffic stays secret, because DTLS makes new keys for each connection.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.x509.oid import NameOID

from .certificate import Certificate
from .keys import RawPrivateKey, key_type_of

_CONTEXT: Final = b"webrtc-transport/derived-certificate/1 "
"""Begins HKDF's info: what is derived here can't be what another protocol derives from the same key."""

_P256_ORDER: Final = 0xFFFFFFFF_00000000_FFFFFFFF_FFFFFFFF_BCE6FAAD_A7179E84_F3B9CAC2_FC632551

_SCALAR_LENGTH: Final = 32 + 16
"""Bytes that the scalar is reduced from: 128 bits more than the order leave no bias (FIPS 186-5, A.2.1, has 64)."""

_SERIAL_LENGTH: Final = 16
"""Bytes of the serial number; 20 is the most (RFC 5280, section 4.1.2.2)."""

_SUBJECT: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "WebRTC")])
_NOT_BEFORE: Final = datetime(2020, 1, 1, tzinfo=UTC)
_NOT_AFTER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""Says that there is no end (RFC 5280, section 4.1.2.5)."""


def derive_certificate(identity_key: RawPrivateKey) -> Certificate:
    """The certificate of the peer whose private key this is; always the same.

    :raises IdentityError: if the key's kind or size isn't one that libp2p has
    """
    secret = _secret_of(identity_key)
    info = _CONTEXT + key_type_of(identity_key.public_key()).name.encode() + b" "
    scalar = int.from_bytes(_expand(secret, info + b"scalar", _SCALAR_LENGTH)) % (_P256_ORDER - 1) + 1
    # A serial number is positive, and its first bit is its sign.
    serial = int.from_bytes(_expand(secret, info + b"serial", _SERIAL_LENGTH)) >> 1 or 1
    private_key = derive_private_key(scalar, SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_SUBJECT)
        .issuer_name(_SUBJECT)
        .public_key(private_key.public_key())
        .serial_number(serial)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
        .sign(private_key, SHA256(), ecdsa_deterministic=True)
    )
    return Certificate(private_key, certificate)


def _secret_of(key: RawPrivateKey) -> bytes:
    """What makes the key, in the one form that it has, whichever file it came from."""
    match key:
        case Ed25519PrivateKey():
            return key.private_bytes_raw()
        case EllipticCurvePrivateKey():
            # The curve is part of the key: the same number is another key on another curve.
            size = (key.key_size + 7) // 8
            return key.curve.name.encode() + b" " + key.private_numbers().private_value.to_bytes(size)
        case RSAPrivateKey():
            # Files differ in the order of the primes and in the exponent, and the primes in order say it all.
            numbers = key.private_numbers()
            size = key.key_size // 8 + 1
            return b"".join(prime.to_bytes(size) for prime in sorted((numbers.p, numbers.q)))


def _expand(secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=None, info=info).derive(secret)
