from __future__ import annotations

import base64
import contextlib
import hashlib
import warnings
from datetime import UTC, datetime, timedelta, timezone

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from webrtc_transport.config import TransportConfig
from webrtc_transport.errors import ConfigurationError, IdentityError
from webrtc_transport.protocol.certificate import DEFAULT_LIFETIME, Certificate

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CERTIFICATE = Certificate.generate(now=NOW)
KEY_PEM = CERTIFICATE.private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
DER = CERTIFICATE.x509.public_bytes(Encoding.DER)
CERTIFICATE_PEM = CERTIFICATE.x509.public_bytes(Encoding.PEM)


def test_a_new_certificate_is_self_signed_and_on_p256() -> None:
    assert isinstance(CERTIFICATE.private_key.curve, SECP256R1)
    CERTIFICATE.x509.verify_directly_issued_by(CERTIFICATE.x509)


def test_each_has_its_own_key_and_says_nothing_of_its_owner() -> None:
    other = Certificate.generate(now=NOW)
    assert other.fingerprint() != CERTIFICATE.fingerprint()
    assert other.x509.serial_number != CERTIFICATE.x509.serial_number
    assert other.x509.subject == CERTIFICATE.x509.subject


def test_its_validity_begins_before_now_and_ends_after_the_lifetime() -> None:
    assert CERTIFICATE.x509.not_valid_before_utc < NOW
    assert CERTIFICATE.not_valid_after == NOW + DEFAULT_LIFETIME
    short = Certificate.generate(now=NOW, lifetime=timedelta(hours=1))
    assert not short.is_expired(NOW)
    assert not short.is_expired(NOW + timedelta(hours=1))
    assert short.is_expired(NOW + timedelta(hours=1, seconds=1))


def test_any_time_zone_will_do() -> None:
    elsewhere = NOW.astimezone(timezone(timedelta(hours=9)))
    assert Certificate.generate(now=elsewhere).not_valid_after == NOW + DEFAULT_LIFETIME
    assert not CERTIFICATE.is_expired(elsewhere)


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"no time zone; pass datetime.now\(UTC\)"):
        Certificate.generate(now=NOW.replace(tzinfo=None))
    with pytest.raises(TypeError, match="now has to be datetime, not float"):
        Certificate.generate(now=NOW.timestamp())


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-384", "sha-512"])
def test_a_fingerprint_is_the_hash_of_the_der(algorithm: str) -> None:
    assert CERTIFICATE.fingerprint(algorithm) == hashlib.new(algorithm.replace("-", ""), DER).digest()
    assert CERTIFICATE.fingerprint() == CERTIFICATE.fingerprint("sha-256")


@pytest.mark.parametrize("algorithm", ["sha-1", "md5", "SHA-256", ""])
def test_other_fingerprints_are_refused(algorithm: str) -> None:
    with pytest.raises(IdentityError, match="use one of sha-256, sha-384, sha-512"):
        CERTIFICATE.fingerprint(algorithm)


@pytest.mark.parametrize("pem", [CERTIFICATE.to_pem(), CERTIFICATE_PEM + KEY_PEM])
def test_pem_holds_both_parts_in_any_order(pem: bytes) -> None:
    loaded = Certificate.from_pem(pem)
    assert loaded.x509 == CERTIFICATE.x509
    assert loaded.private_key.private_numbers() == CERTIFICATE.private_key.private_numbers()


def pem_of(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def encrypted(certificate: Certificate) -> bytes:
    return certificate.private_key.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )


@pytest.mark.parametrize(
    ("pem", "problem"),
    [
        (b"", "no private key in PEM"),
        (CERTIFICATE_PEM, "no private key in PEM"),
        (KEY_PEM, "a private key, and no certificate"),
        (encrypted(CERTIFICATE) + CERTIFICATE_PEM, "encrypted; decrypt it with"),
        (pem_of(Ed25519PrivateKey.generate()) + CERTIFICATE_PEM, "needs a key on P-256"),
        (Certificate.generate(now=NOW).to_pem()[: len(KEY_PEM)] + CERTIFICATE_PEM, "isn't the certificate's"),
    ],
    ids=["empty", "no-key", "no-certificate", "encrypted", "ed25519", "mismatch"],
)
def test_pem_that_lacks_something_is_refused(pem: bytes, problem: str) -> None:
    with pytest.raises(IdentityError, match=problem):
        Certificate.from_pem(pem)


def certificate_pem(der: bytes) -> bytes:
    body = base64.encodebytes(der)
    return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"


def test_a_certificate_with_a_malformed_key_is_refused() -> None:
    point = CERTIFICATE.private_key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    damaged = DER.replace(point, point[:1] + bytes(len(point) - 1))
    with pytest.raises(IdentityError, match="the certificate's key is malformed"):
        Certificate.from_pem(KEY_PEM + certificate_pem(damaged))


def test_another_curve_is_refused() -> None:
    with pytest.raises(IdentityError, match="P-256, not on secp384r1"):
        Certificate(generate_private_key(SECP384R1()), CERTIFICATE.x509)


def test_repr_keeps_the_key_secret() -> None:
    assert repr(CERTIFICATE) == f"<Certificate sha-256 {CERTIFICATE.fingerprint().hex(':')}>"


def refuses_or_loads(pem: bytes) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # cryptography's, about the oddities of broken certificates
        with contextlib.suppress(IdentityError):
            Certificate.from_pem(pem)


@given(st.binary())
def test_no_bytes_raise_anything_else(pem: bytes) -> None:
    refuses_or_loads(pem)


@given(st.integers(0, len(DER) - 1), st.integers(0, 255), st.integers(0, len(DER)))
def test_no_damaged_certificate_raises_anything_else(position: int, byte: int, end: int) -> None:
    damaged = (DER[:position] + bytes([byte]) + DER[position + 1 :])[: max(end, position)]
    refuses_or_loads(KEY_PEM + certificate_pem(damaged))


def test_it_is_one_opaque_setting_of_a_transport() -> None:
    assert TransportConfig(certificate=CERTIFICATE).certificate is CERTIFICATE
    with pytest.raises(ValidationError):
        TransportConfig.model_validate({"certificate": {"private_key": None, "x509": None}})
