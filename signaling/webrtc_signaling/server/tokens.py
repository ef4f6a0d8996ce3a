"""Operator tokens: JSON Web Tokens (RFC 7519) that say who may register, and until when.

The key says which algorithm counts, never the token: an Ed25519 key in PEM is for EdDSA (RFC 8037), anything else is
the secret of HS256. So no token can have a public key taken for a secret (RFC 8725, section 2.1), or go unsigned.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from webrtc_transport.errors import ConfigurationError

from .auth import Refused
from .secret_files import read_secret

_MIN_SECRET: Final = 32
"""Bytes: RFC 7518, section 3.2, wants as many as the hash has."""

_PEM: Final = b"-----BEGIN "

_LATEST: Final = 2.0**53
"""Seconds since 1970: the largest expiry that is told apart from others."""

_KEY_CURE: Final = (
    "for HS256 make one with `openssl rand -base64 48`, for EdDSA with `openssl genpkey -algorithm ed25519`"
)


@dataclass(frozen=True, slots=True)
class TokenKey:
    """What tokens are checked with, and, if it is a secret or a private key, made with."""

    algorithm: str
    verifying: bytes | Ed25519PublicKey = field(repr=False)
    signing: bytes | Ed25519PrivateKey | None = field(repr=False)

    @classmethod
    def load(cls, path: Path) -> TokenKey:
        """Read the key in the file ``path``.

        :raises ConfigurationError: if there is none that is long enough, or of a kind that is taken
        """
        data = read_secret(path, "token key", is_secret=lambda data: b" PUBLIC KEY" not in data)
        if _PEM not in data:
            if len(data) < _MIN_SECRET:
                raise ConfigurationError(
                    f"the token key in {path} has {len(data)} bytes, and needs {_MIN_SECRET}; {_KEY_CURE}"
                )
            return cls("HS256", data, data)
        return cls._of_pem(data, path)

    @classmethod
    def _of_pem(cls, data: bytes, path: Path) -> TokenKey:
        try:
            if b"PRIVATE KEY" not in data:
                public = load_pem_public_key(data)
                if isinstance(public, Ed25519PublicKey):
                    return cls("EdDSA", public, None)
            else:
                private = load_pem_private_key(data, password=None)
                if isinstance(private, Ed25519PrivateKey):
                    return cls("EdDSA", private.public_key(), private)
        # What cryptography raises for an encrypted key is a TypeError.
        except (ValueError, TypeError):
            raise ConfigurationError(
                f"the token key in {path} is no unencrypted key in PEM; {_KEY_CURE}"
            ) from None
        raise ConfigurationError(f"the token key in {path} is in PEM, and no Ed25519 key; {_KEY_CURE}")


@dataclass(frozen=True, slots=True)
class TokenVerifier:
    """Checks tokens.

    :param audience: what has to be in a token's claim ``aud``; a token for others is refused, also if this is ``None``
    """

    key: TokenKey
    audience: str | None

    def verify(self, token: str | None, peer: str) -> float:
        """Check the token that ``peer`` has sent; returns when it expires, in seconds since 1970.

        :raises Refused: if it is missing, or no good for this peer, here and now
        """
        if token is None:
            raise Refused("token-required", "this server wants a token of its operator")
        try:
            claims = jwt.decode(
                token,
                self.key.verifying,
                algorithms=[self.key.algorithm],
                audience=self.audience,
                # When it was issued says nothing about whether it counts, and clocks differ.
                options={"require": ["exp"], "verify_iat": False},
            )
            expires_at = min(float(claims["exp"]), _LATEST)
            if self.audience is None and "aud" in claims:
                # PyJWT lets an empty list pass, which names nobody.
                raise jwt.InvalidAudienceError
        except jwt.ExpiredSignatureError:
            raise Refused("token-expired", "the token has expired") from None
        except (jwt.PyJWTError, ValueError, OverflowError, RecursionError) as exc:
            raise Refused("invalid-token", f"the token is refused: {_reason(exc)}") from None
        _check_peer(claims.get("peers"), peer)
        return expires_at


def make_token(
    key: TokenKey, *, expires_at: float, peers: Sequence[str] = (), audience: str | None = None
) -> str:
    """A token for these peers, or for any.

    :raises ConfigurationError: if the key is one that only checks
    """
    if key.signing is None:
        raise ConfigurationError("a public key makes no tokens; name the file of the private key")
    claims: dict[str, object] = {"exp": int(expires_at)}
    if peers:
        claims["peers"] = list(peers)
    if audience is not None:
        claims["aud"] = audience
    return jwt.encode(claims, key.signing, algorithm=key.algorithm)


def _check_peer(peers: object, peer: str) -> None:
    if peers is None:
        return
    if not isinstance(peers, list) or not all(isinstance(allowed, str) for allowed in peers):
        raise Refused("invalid-token", "the token's claim peers is no list of peer ids")
    if peer not in peers:
        raise Refused("invalid-token", f"the token isn't for {peer}")


def _reason(error: Exception) -> str:
    match error:
        case jwt.InvalidAudienceError() | jwt.MissingRequiredClaimError(claim="aud"):
            return "it is for another service (claim aud)"
        case jwt.MissingRequiredClaimError():
            return f"it has no claim {error.claim}"
        case jwt.InvalidAlgorithmError():
            return "it is signed with another algorithm than this server's key is for"
        case jwt.InvalidSignatureError():
            return "its signature is not by this server's key"
        case jwt.ImmatureSignatureError():
            return "it isn't valid yet (claim nbf)"
        case _:
            # Not its text, which may quote the token.
            return "it is malformed"
