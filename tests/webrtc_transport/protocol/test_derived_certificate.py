from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256K1,
    SECP256R1,
    SECP384R1,
    derive_private_key,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateNumbers, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding

from webrtc_transport.protocol.certificate import Certificate
from webrtc_transport.protocol.derived_certificate import derive_certificate
from webrtc_transport.protocol.keys import decode_private_key, encode_private_key

SEED = bytes(range(32))
KEY = Ed25519PrivateKey.from_private_bytes(SEED)

# Whoever has announced an address counts on these: they change in no version.
VECTORS = [
    pytest.param(KEY, "0d7a313058a073dc00d0f2b3f0dabeb78ba58d620a25c172f4101538d3d53b66", id="ed25519"),
    pytest.param(
        derive_private_key(7, SECP256K1()),
        "c92a615955db35436cb6cc27ca20c3444a56b2fa815fd4ec14a325dc83e37ce2",
        id="secp256k1",
    ),
    pytest.param(
        derive_private_key(7, SECP256R1()),
        "21f014d1f5e9ad94e311cd7d6471bc629d7ac023863dd0d45b091f7da1f1f96b",
        id="p256",
    ),
]


@pytest.mark.parametrize(("key", "fingerprint"), VECTORS)
def test_vector(key, fingerprint):
    assert derive_certificate(key).fingerprint().hex() == fingerprint


def test_another_process_makes_the_same():
    program = (
        "from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as K\n"
        "from webrtc_transport.protocol.derived_certificate import derive_certificate\n"
        "print(derive_certificate(K.from_private_bytes(bytes(range(32)))).to_pem().decode(), end='')"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, timeout=60
    ).stdout
    assert output == derive_certificate(KEY).to_pem()


def test_it_is_self_signed_and_has_no_end():
    certificate = derive_certificate(KEY)
    certificate.x509.verify_directly_issued_by(certificate.x509)
    assert isinstance(certificate.private_key.curve, SECP256R1)
    assert not certificate.is_expired(datetime(2999, 1, 1, tzinfo=UTC))
    assert certificate.x509.not_valid_before_utc < datetime(2021, 1, 1, tzinfo=UTC)
    assert 0 < certificate.x509.serial_number < 2**127


def test_it_says_nothing_of_its_owner():
    ours, other = derive_certificate(KEY), Certificate.generate(now=datetime(2026, 1, 1, tzinfo=UTC))
    assert ours.x509.subject == ours.x509.issuer == other.x509.subject
    assert KEY.public_key().public_bytes_raw() not in ours.x509.public_bytes(Encoding.DER)


def test_pem_holds_it():
    certificate = derive_certificate(KEY)
    assert Certificate.from_pem(certificate.to_pem()).fingerprint() == certificate.fingerprint()


def test_each_key_has_its_own():
    keys = [
        KEY,
        Ed25519PrivateKey.from_private_bytes(bytes(31) + b"\7"),
        derive_private_key(7, SECP256K1()),
        derive_private_key(7, SECP256R1()),
        derive_private_key(7, SECP384R1()),
    ]
    certificates = [derive_certificate(key) for key in keys]
    assert len({certificate.fingerprint() for certificate in certificates}) == len(keys)
    assert len({certificate.x509.serial_number for certificate in certificates}) == len(keys)


@pytest.mark.parametrize("key", [parameters.values[0] for parameters in VECTORS])
def test_the_encoding_of_the_key_does_not_matter(key):
    again = decode_private_key(encode_private_key(key))
    assert derive_certificate(again).fingerprint() == derive_certificate(key).fingerprint()


def test_the_order_of_rsa_primes_does_not_matter():
    key = generate_private_key(65537, 2048)
    numbers = key.private_numbers()
    swapped = RSAPrivateNumbers(
        p=numbers.q,
        q=numbers.p,
        d=numbers.d,
        dmp1=numbers.dmq1,
        dmq1=numbers.dmp1,
        iqmp=pow(numbers.p, -1, numbers.q),
        public_numbers=numbers.public_numbers,
    ).private_key()
    assert derive_certificate(swapped).fingerprint() == derive_certificate(key).fingerprint()
