"""Who a peer is: libp2p's keys and peer ids (libp2p specs, ``peer-ids/peer-ids.md``)."""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import multibase
import multihash
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256K1,
    EllipticCurvePrivateKey,
    EllipticCurvePublicKey,
)
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from .arguments import check_type
from .errors import IdentityError
from .files import read_private, write_private
from .protocol.certificate import Certificate
from .protocol.derived_certificate import derive_certificate
from .protocol.keys import (
    KeyType,
    RawPrivateKey,
    RawPublicKey,
    decode_private_key,
    decode_private_pem,
    decode_public_key,
    encode_private_key,
    encode_public_key,
    key_type_of,
)

__all__ = ["Identity", "KeyType", "PeerId", "PublicKey"]

_SHA256_HEADER: Final = b"\x12\x20"
"""Multihash code of SHA-256, and the length of its digest."""

_IDENTITY_CODE: Final = 0x00
"""Multihash code of data that stands for itself."""

_MAX_INLINE_KEY: Final = 42
"""Bytes of a key message that is used as it is, in place of its hash."""

_CID_PREFIX: Final = b"\x01\x72"
"""CID version 1, content type libp2p-key."""

_MAX_TEXT_LENGTH: Final = 128
"""Characters of a peer id; in base16 it has 93. Decoding takes time that grows with the square."""

_SECP256K1_ORDER: Final = 0xFFFFFFFF_FFFFFFFF_FFFFFFFF_FFFFFFFE_BAAEDCE6_AF48A03B_BFD25E8C_D0364141


@dataclass(frozen=True, slots=True)
class PeerId:
    """The name of a peer: the hash of its public key. Its text is base58btc, as in ``12D3KooW…`` or ``Qm…``.

    :raises IdentityError: if ``multihash`` is neither of SHA-256 nor a key of at most 42 bytes itself
    """

    multihash: bytes

    def __post_init__(self) -> None:
        check_type("multihash", self.multihash, bytes, "PeerId.from_string(text) parses text")
        header, digest = self.multihash[:2], self.multihash[2:]
        hashed = header == _SHA256_HEADER and len(digest) == SHA256.digest_size
        inline = 0 < len(digest) <= _MAX_INLINE_KEY and header == bytes((_IDENTITY_CODE, len(digest)))
        if not (hashed or inline):
            raise IdentityError("a peer id is a SHA-256 multihash, or an identity multihash of 1 to 42 bytes")

    @classmethod
    def from_string(cls, text: str) -> Self:
        """Parse base58btc (``12D3KooW…``, ``Qm…``) or a CIDv1 in any multibase (``bafz…``, ``k51…``).

        :raises IdentityError: if ``text`` is neither
        :raises TypeError: if it is no text
        """
        check_type("a peer id", text, str, "expected one like '12D3KooW…', 'Qm…' or 'bafz…'")
        if len(text) > _MAX_TEXT_LENGTH:
            raise IdentityError(f"{text[:16]}… is no peer id: it has more than {_MAX_TEXT_LENGTH} characters")
        try:
            return cls(_decode_peer_id(text))
        except ValueError as exc:
            raise IdentityError(
                f"{text!r} is no peer id: expected one like 12D3KooW…, Qm… or bafz… ({exc})"
            ) from None

    @classmethod
    def from_public_key(cls, key: PublicKey) -> Self:
        """The peer id that belongs to ``key``."""
        message = key.to_protobuf()
        if len(message) <= _MAX_INLINE_KEY:
            return cls(bytes((_IDENTITY_CODE, len(message))) + message)
        return cls(_SHA256_HEADER + hashlib.sha256(message).digest())

    def matches(self, key: PublicKey) -> bool:
        """Whether this is the peer id of ``key``."""
        return self == key.peer_id

    def __str__(self) -> str:
        return str(multihash.to_b58_string(self.multihash))

    def __repr__(self) -> str:
        return f"PeerId({str(self)!r})"


def _decode_peer_id(text: str) -> bytes:
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise ValueError("it has characters that no encoding uses")
    if text.startswith(("1", "Qm")):
        return bytes(multihash.from_b58_string(text))
    cid = bytes(multibase.decode(text))
    if not cid.startswith(_CID_PREFIX):
        raise ValueError("the CID isn't of version 1 and type libp2p-key")
    return cid.removeprefix(_CID_PREFIX)


class PublicKey:
    """A peer's public key: Ed25519, RSA, secp256k1 or, as ``ECDSA``, on one of NIST's curves."""

    __slots__ = ("_key", "_message", "key_type")

    def __init__(self, key: RawPublicKey) -> None:
        """Wrap a key of the ``cryptography`` library.

        :raises IdentityError: if it isn't on secp256k1, P-256, P-384 or P-521, or of 2048 to 8192 bits
        :raises TypeError: if it is no such key
        """
        check_type("key", key, RawPublicKey, "PublicKey.from_protobuf() parses libp2p's messages")
        self._key: Final = key
        self._message: Final = encode_public_key(key)
        self.key_type: Final = key_type_of(key)

    @classmethod
    def from_protobuf(cls, message: bytes) -> Self:
        """Parse libp2p's ``PublicKey`` message.

        :raises IdentityError: if it is malformed, of an unsupported kind, or not in its one valid encoding
        """
        check_type("message", message, bytes, "it is libp2p's PublicKey message")
        return cls(decode_public_key(message))

    def to_protobuf(self) -> bytes:
        """libp2p's ``PublicKey`` message; the same for the same key, always."""
        return self._message

    @property
    def peer_id(self) -> PeerId:
        """The name of the peer whose key this is."""
        return PeerId.from_public_key(self)

    def verify(self, signature: bytes, data: bytes) -> None:
        """Check that ``signature`` is this key's signature over ``data``.

        Ed25519 (RFC 8032); on elliptic curves ECDSA over SHA-256, in DER; for RSA, RSASSA-PKCS1-v1_5
        (RFC 8017) with SHA-256.

        :raises IdentityError: if it isn't
        """
        try:
            match self._key:
                case Ed25519PublicKey() as key:
                    key.verify(signature, data)
                case EllipticCurvePublicKey() as key:
                    key.verify(signature, data, ECDSA(SHA256()))
                case RSAPublicKey() as key:
                    key.verify(signature, data, PKCS1v15(), SHA256())
        except InvalidSignature:
            raise IdentityError(f"the signature isn't by {self.peer_id}, or is of other data") from None

    def __eq__(self, other: object) -> bool:
        return self._message == other._message if isinstance(other, PublicKey) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._message)

    def __repr__(self) -> str:
        return f"<PublicKey {self.key_type.name} of {self.peer_id}>"


class Identity:
    """A private key: a peer that we speak for. Its repr doesn't show the key."""

    __slots__ = ("_key", "public_key")

    def __init__(self, key: RawPrivateKey) -> None:
        check_type("key", key, RawPrivateKey, "Identity.load(path) reads files, and from_protobuf() messages")
        self._key: Final = key
        self.public_key: Final = PublicKey(key.public_key())

    @classmethod
    def generate(cls) -> Self:
        """A new Ed25519 identity: the kind of key that every libp2p implementation takes."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_private_key(cls, key: RawPrivateKey) -> Self:
        """The identity of a private key of the ``cryptography`` library.

        :raises IdentityError: if its public key isn't one that :class:`PublicKey` takes
        :raises TypeError: if it is no Ed25519, elliptic-curve or RSA key of that library
        """
        return cls(key)

    @classmethod
    def from_protobuf(cls, message: bytes) -> Self:
        """Parse libp2p's ``PrivateKey`` message, as other implementations store it.

        :raises IdentityError: if it is malformed or of an unsupported kind
        """
        check_type("message", message, bytes, "it is libp2p's PrivateKey message")
        return cls(decode_private_key(message))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a private key from a file: unencrypted PEM, or libp2p's ``PrivateKey`` message.

        A warning is logged if others than its owner can read the file.

        :raises IdentityError: if it holds neither
        :raises OSError: if it can't be read
        """
        content = read_private(path)
        try:
            return cls(_decode_file(content))
        except IdentityError as exc:
            raise IdentityError(
                f"{os.fspath(path)}: {exc} (restore the file; or move it away, and Identity.load_or_create() makes a "
                "new one, with another peer id)"
            ) from None

    @classmethod
    def load_or_create(cls, path: str | os.PathLike[str]) -> Self:
        """:meth:`load` the file; if there is none, :meth:`generate` an identity and :meth:`save` it there.

        Processes that do this at the same time get the same identity.

        :raises IdentityError: if the file holds no usable key; it is left as it is
        :raises OSError: if the file can be neither read nor written
        """
        if not Path(path).exists():
            with contextlib.suppress(FileExistsError):
                cls.generate().save(path, overwrite=False)
        return cls.load(path)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = True) -> None:
        """Write the key as unencrypted PEM (PKCS #8) to a file that only its owner can read.

        :raises FileExistsError: if ``overwrite`` is false and the file exists
        :raises OSError: if it can't be written
        """
        pem = self._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        write_private(path, pem, overwrite=overwrite)

    def to_protobuf(self) -> bytes:
        """libp2p's ``PrivateKey`` message. It is secret."""
        return encode_private_key(self._key)

    @property
    def peer_id(self) -> PeerId:
        """Our name."""
        return self.public_key.peer_id

    def derive_certificate(self) -> Certificate:
        """The DTLS certificate that follows from the key; always the same."""
        return derive_certificate(self._key)

    def sign(self, data: bytes) -> bytes:
        """Sign ``data``, as :meth:`PublicKey.verify` checks it."""
        match self._key:
            case Ed25519PrivateKey() as key:
                return key.sign(data)
            case EllipticCurvePrivateKey(curve=SECP256K1()) as key:
                return _with_low_s(key.sign(data, ECDSA(SHA256())))
            case EllipticCurvePrivateKey() as key:
                return key.sign(data, ECDSA(SHA256()))
            case RSAPrivateKey() as key:
                return key.sign(data, PKCS1v15(), SHA256())

    def __repr__(self) -> str:
        return f"<Identity {self.peer_id}>"


def _decode_file(content: bytes) -> RawPrivateKey:
    if not content.strip():
        raise IdentityError("the file is empty")
    if b"-----BEGIN " in content:
        return decode_private_pem(content)
    try:
        return decode_private_key(content)
    except IdentityError:
        if content.isascii():
            # What is wrong with it as a message says nothing to whoever named the wrong file.
            raise IdentityError(
                "this is text, and no private key in PEM (-----BEGIN PRIVATE KEY-----)"
            ) from None
        raise


def _with_low_s(signature: bytes) -> bytes:
    # BIP 62 demands it: js-libp2p, and every user of libsecp256k1, refuses the other half of the signatures.
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, min(s, _SECP256K1_ORDER - s))
