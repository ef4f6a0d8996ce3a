from __future__ import annotations

import hashlib

import multibase
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multiaddr import Multiaddr

from webrtc_transport.errors import AddressError
from webrtc_transport.protocol.certhash import (
    decode_certhash,
    decode_multihash,
    encode_certhash,
    encode_multihash,
)
from webrtc_transport.protocol.sdp import Fingerprint

# The certhash in the specification of WebTransport, and in many tests of go-libp2p.
TEXT = "uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ"
FINGERPRINT = Fingerprint(
    "sha-256", bytes.fromhex("241f96b80cf18a52e3818d8c340a0c23bdc24224c0f62bfd5a96e291feda5ebd")
)
SHA512 = Fingerprint("sha-512", hashlib.sha512(b"certificate").digest())


def test_vector():
    assert decode_certhash(TEXT) == FINGERPRINT
    assert encode_certhash(FINGERPRINT) == TEXT
    assert encode_multihash(FINGERPRINT) == b"\x12\x20" + FINGERPRINT.digest


@pytest.mark.parametrize("fingerprint", [FINGERPRINT, SHA512])
def test_there_and_back(fingerprint):
    assert decode_certhash(encode_certhash(fingerprint)) == fingerprint
    assert decode_multihash(encode_multihash(fingerprint)) == fingerprint


@pytest.mark.parametrize("fingerprint", [FINGERPRINT, SHA512])
def test_multiaddr_takes_it(fingerprint):
    address = f"/ip4/1.2.3.4/udp/1/webrtc-direct/certhash/{encode_certhash(fingerprint)}"
    assert str(Multiaddr(Multiaddr(address).to_bytes())) == address


@pytest.mark.parametrize("base", ["base64url", "base64", "base58btc", "base32", "base16", "base64urlpad"])
def test_any_base(base):
    text = multibase.encode(base, encode_multihash(SHA512)).decode()
    assert decode_certhash(text) == SHA512


def multihash(code: bytes, size: int, digest: bytes) -> str:
    return multibase.encode("base64url", code + bytes((size,)) + digest).decode()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no certhash"),
        ("EiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ", "certhash"),
        ("u", "no multihash|no certhash"),
        ("u!!!", "certhash"),
        ("u" + "A" * 160, "160 characters"),
        (TEXT[:-2], "32 bytes"),
        (TEXT + "AA", "32 bytes"),
        (multihash(b"\x11", 20, bytes(20)), "hash function 0x11"),
        (multihash(b"\x00", 32, bytes(32)), "hash function 0x0;"),
        (multihash(b"\x20", 48, bytes(48)), "hash function 0x20"),
        (multihash(b"\x16", 32, bytes(32)), "hash function 0x16"),
        (multihash(b"\x12", 31, bytes(31)), "32 bytes"),
        (multihash(b"\x13", 32, bytes(32)), "64 bytes"),
        (multihash(b"\x12", 32, bytes(33)), "32 bytes"),
        (multihash(b"\x92\x00", 32, bytes(32)), "no multihash"),
    ],
)
def test_refused(text, message):
    with pytest.raises(AddressError, match=message):
        decode_certhash(text)


def test_sha384_has_no_certhash():
    with pytest.raises(AddressError, match="sha-384"):
        encode_certhash(Fingerprint("sha-384", bytes(48)))


@given(st.text(max_size=170) | st.text(alphabet="uUmMzfFbBkK09 \x00é=", max_size=60))
@example("9" * 100)
def test_any_text(text):
    try:
        fingerprint = decode_certhash(text)
    except AddressError:
        return
    assert fingerprint.algorithm in ("sha-256", "sha-512")


@given(st.binary(max_size=80))
def test_any_bytes(data):
    try:
        fingerprint = decode_multihash(data)
    except AddressError:
        return
    assert encode_multihash(fingerprint) == data
