"""Fingerprints of certificates as multihashes, and as the text behind ``/certhash/`` (libp2p specs, webrtc-direct).

A multihash is the code of the hash function, the length of the digest and the digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import multibase

from ..errors import AddressError
from .protobuf import ProtobufError, decode_varint, encode_varint
from .sdp import Fingerprint

_CODES: Final[Mapping[str, int]] = {"sha-256": 0x12, "sha-512": 0x13}
"""The multihash codes of what may prove a certificate here: all implementations have the first, some the second."""

_NAMES: Final[Mapping[int, str]] = {code: name for name, code in _CODES.items()}
_SIZES: Final[Mapping[str, int]] = {"sha-256": 32, "sha-512": 64}

_MAX_TEXT_LENGTH: Final = 160
"""Characters of a certhash: SHA-512 in base16 has 133. Some bases take time that grows with the square."""


def encode_multihash(fingerprint: Fingerprint) -> bytes:
    """The multihash of a fingerprint.

    :raises AddressError: if its algorithm is neither ``sha-256`` nor ``sha-512``
    """
    code = _CODES.get(fingerprint.algorithm)
    if code is None:
        raise AddressError(
            f"a certhash is made by {' or '.join(_CODES)} here, not by {fingerprint.algorithm}"
        )
    return encode_varint(code) + encode_varint(len(fingerprint.digest)) + fingerprint.digest


def decode_multihash(data: bytes) -> Fingerprint:
    """The fingerprint in a multihash.

    :raises AddressError: if it is malformed or of another hash function
    """
    try:
        code, start = decode_varint(data)
        size, start = decode_varint(data, start)
    except ProtobufError as exc:
        raise AddressError(f"the certhash is no multihash: {exc}") from None
    name = _NAMES.get(code)
    if name is None:
        raise AddressError(
            f"the certhash is made by the hash function {code:#x}; expected {' or '.join(_CODES)}"
        )
    if not size == len(data) - start == _SIZES[name]:
        raise AddressError(f"the certhash isn't the {_SIZES[name]} bytes of {name}")
    return Fingerprint(name, data[start:])


def encode_certhash(fingerprint: Fingerprint) -> str:
    """The value of ``/certhash/``: the multihash in base64url, behind the ``u`` that says so.

    :raises AddressError: as :func:`encode_multihash` does
    """
    return str(multibase.encode("base64url", encode_multihash(fingerprint)), "ascii")


def decode_certhash(text: str) -> Fingerprint:
    """Parse the value of ``/certhash/``, in any multibase.

    :raises AddressError: if it is malformed or of another hash function than SHA-256 and SHA-512
    """
    if len(text) > _MAX_TEXT_LENGTH:
        raise AddressError(f"the certhash has more than {_MAX_TEXT_LENGTH} characters")
    try:
        data = bytes(multibase.decode(text))
    except (ValueError, ArithmeticError, LookupError) as exc:
        raise AddressError(f"{text!r} is no certhash: {exc}") from None
    return decode_multihash(data)
