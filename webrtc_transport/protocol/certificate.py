"""The certificate that a peer shows in the DTLS handshake (RFC 8827, section 6.5).

It is self-signed and proves nothing by itself: the session description carries its fingerprint, and whoever
vouches for the description vouches for the certificate.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, Self

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512, HashAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ..arguments import check_type
from ..errors import ConfigurationError, IdentityError
from .keys import decode_private_pem

DEFAULT_LIFETIME: Final = timedelta(days=30)
"""As long as browsers make their certificates last."""

_CLOCK_SKEW: Final = timedelta(days=1)
"""Certificates begin in the past, because the peer's clock may be behind."""

_SUBJECT: Final = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "WebRTC")])
"""The same for everybody, so that it tells nothing about the peer."""

_HASHES: Final[Mapping[str, HashAlgorithm]] = {"sha-256": SHA256(), "sha-384": SHA384(), "sha-512": SHA512()}
"""By the names of RFC 8122, section 5."""


class Certificate:
    """A self-signed ECDSA certificate on P-256, the curve that every WebRTC stack has, and its private key."""

    # No dataclass: pydantic would take it apart where it is a setting.
    __slots__ = ("private_key", "x509")

    def __init__(self, private_key: EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        """Put a key and its certificate, objects of the ``cryptography`` library, together.

        :raises IdentityError: if the key is on another curve, or isn't the certificate's
        """
        if not isinstance(private_key.curve, SECP256R1):
            raise IdentityError(
                f"a DTLS certificate needs a key on P-256, not on {private_key.curve.name}; make a new one"
            )
        try:
            public_key = certificate.public_key()
        except (ValueError, UnsupportedAlgorithm) as exc:
            raise IdentityError(f"the certificate's key is malformed: {exc}") from None
        if public_key != private_key.public_key():
            raise IdentityError("the private key isn't the certificate's; put the two that belong together")
        self.private_key: Final = private_key
        self.x509: Final = certificate

    @classmethod
    def generate(cls, *, now: datetime, lifetime: timedelta = DEFAULT_LIFETIME) -> Self:
        """Make a new key and a certificate for it, valid until ``now + lifetime``.

        :param now: the time, with a time zone
        :raises ConfigurationError: if it has none: it would be taken for UTC, and be hours off
        """
        check_type("now", now, datetime, "datetime.now(UTC) is one")
        if now.tzinfo is None:
            raise ConfigurationError("now has no time zone; pass datetime.now(UTC)")
        private_key = generate_private_key(SECP256R1())
        certificate = (
            x509.CertificateBuilder()
            .subject_name(_SUBJECT)
            .issuer_name(_SUBJECT)
            .public_key(private_key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _CLOCK_SKEW)
            .not_valid_after(now + lifetime)
            .sign(private_key, SHA256())
        )
        return cls(private_key, certificate)

    @classmethod
    def from_pem(cls, pem: bytes) -> Self:
        """Parse PEM with a private key and its certificate, in any order.

        :raises IdentityError: if one is missing or malformed, or they aren't what this class needs
        """
        check_type("pem", pem, bytes, "load_certificate(path) reads a file")
        private_key = decode_private_pem(pem)
        if not isinstance(private_key, EllipticCurvePrivateKey):
            raise IdentityError("a DTLS certificate needs a key on P-256; make a new one")
        if b"-----BEGIN CERTIFICATE-----" not in pem:
            raise IdentityError(
                "there is a private key, and no certificate (-----BEGIN CERTIFICATE-----) beside it"
            )
        try:
            certificate = x509.load_pem_x509_certificate(pem)
        except (ValueError, x509.InvalidVersion) as exc:
            raise IdentityError(f"there is no usable certificate: {exc}") from None
        return cls(private_key, certificate)

    def to_pem(self) -> bytes:
        """The private key, unencrypted (PKCS #8), and the certificate, in PEM. It is secret."""
        key = self.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return key + self.x509.public_bytes(Encoding.PEM)

    def fingerprint(self, algorithm: str = "sha-256") -> bytes:
        """The hash of the certificate in DER (RFC 8122, section 5): 32, 48 or 64 bytes.

        :param algorithm: ``sha-256``, ``sha-384`` or ``sha-512``
        :raises IdentityError: if it is another one
        """
        try:
            return self.x509.fingerprint(_HASHES[algorithm])
        except KeyError:
            raise IdentityError(
                f"no fingerprints are made by {algorithm!r}; use one of {', '.join(_HASHES)}"
            ) from None

    @property
    def not_valid_after(self) -> datetime:
        """The last moment of its validity, in UTC."""
        return self.x509.not_valid_after_utc

    def is_expired(self, now: datetime) -> bool:
        """Whether its validity is over at ``now``, which has a time zone."""
        return now > self.not_valid_after

    def __repr__(self) -> str:
        return f"<Certificate sha-256 {self.fingerprint().hex(':')}>"
