"""Short codes, by which a sender finds a receiver, and both know that it is the right one.

A code has 55 random bits and a check symbol, in Crockford's base32. Both ends stretch it with scrypt to the receiver's
Ed25519 key and a second key. So who knows the code knows the peer id to dial, and proves with the second key that it
knows the code. The signaling server sees the peer id alone. It can try codes on it: 2^54 of them on the average, each
for 32 MiB and 0.07 s of one core (measured). A code that it finds is worth something only while its transfer goes on.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from ...identity import Identity, PeerId

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: without I, L and O, which look like digits, and without U."""

_LOOK_ALIKES: Final = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})

_SYMBOLS: Final = 11
"""Random ones, of 5 bits each."""

_GROUP: Final = 4
"""Symbols between hyphens: what people keep in mind at once."""

_MAX_TEXT: Final = 40
"""Characters of a code as it is typed, with hyphens and blanks; no peer id is as short."""

EXAMPLE: Final = "7KQ2-M4XD-9TRC"
"""What a code looks like; its check symbol is right."""

PEER_ID_BEGINNINGS: Final = ("12D3KooW", "16Uiu2HA")
"""Of the text of Ed25519 and secp256k1 keys. In a code nobody mixes cases like that."""

_SALT: Final = b"webrtc-transport file transfer 1"
"""The same for all: both ends know nothing of each other but the code. Its bits make up for tables made beforehand."""

_COST: Final = 2**15
"""scrypt's N: 32 MiB with r = 8 (RFC 7914), which a small machine has too."""

_SEED_LENGTH: Final = 32
"""Bytes of an Ed25519 private key."""


class InvalidCode(ValueError):
    """A text is no code, or has a typing error."""


@dataclass(frozen=True)
class CodeKeys:
    """What follows from a code. All of it is secret but the peer id."""

    identity: Identity
    """The receiver's."""
    proof_key: bytes

    def proof(self, sender: PeerId) -> str:
        """What shows the receiver that ``sender`` knows the code, in hexadecimal. It is of no use to other peers."""
        message = sender.multihash + self.identity.peer_id.multihash
        return hmac.digest(self.proof_key, message, "sha256").hex()

    def is_proof(self, proof: str, sender: PeerId) -> bool:
        """Whether ``proof`` is that of ``sender``. Takes the same time wherever it differs."""
        return hmac.compare_digest(proof, self.proof(sender))


@dataclass(frozen=True)
class ShortCode:
    """A code; its text is as people read it: ``7KQ2-M4XD-9TRC``."""

    symbols: str

    @classmethod
    def generate(cls) -> Self:
        """A new code."""
        random = "".join(secrets.choice(_ALPHABET) for _ in range(_SYMBOLS))
        return cls(random + _check_symbol(random))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what somebody typed: in either case, with or without hyphens, with o for 0 and l for 1.

        :raises InvalidCode: if it is no code, or the check symbol doesn't fit
        """
        symbols = text.upper().translate(_LOOK_ALIKES) if len(text) <= _MAX_TEXT else ""
        if len(symbols) != _SYMBOLS + 1 or not set(symbols) <= set(_ALPHABET):
            expected = f"expected {_SYMBOLS + 1} letters and digits, like {EXAMPLE}, or a peer id"
            raise InvalidCode(f"{text[:_MAX_TEXT]!r} is no code: {expected}")
        if _check_symbol(symbols[:-1]) != symbols[-1]:
            raise InvalidCode(f"{text!r} has a typing error: compare it with what `receive` shows")
        return cls(symbols)

    def __str__(self) -> str:
        parts = range(0, len(self.symbols), _GROUP)
        return "-".join(self.symbols[start : start + _GROUP] for start in parts)

    def derive(self) -> CodeKeys:
        """The keys. This takes some 0.1 s, on purpose."""
        kdf = Scrypt(salt=_SALT, length=2 * _SEED_LENGTH, n=_COST, r=8, p=1)
        secret = kdf.derive(self.symbols.encode())
        key = Ed25519PrivateKey.from_private_bytes(secret[:_SEED_LENGTH])
        return CodeKeys(Identity.from_private_key(key), secret[_SEED_LENGTH:])


def is_code_like(text: str) -> bool:
    """Whether ``text`` is meant to be a code, and not a peer id or an address, which are longer."""
    return len(text) <= _MAX_TEXT and "/" not in text and not text.startswith(PEER_ID_BEGINNINGS)


def _check_symbol(symbols: str) -> str:
    # A hash tells exchanged symbols as well as wrong ones: 31 of 32 typing errors.
    return _ALPHABET[hashlib.sha256(symbols.encode()).digest()[0] % len(_ALPHABET)]
