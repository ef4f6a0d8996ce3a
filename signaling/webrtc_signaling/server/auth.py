"""Proof of a peer id: the server asks for a signature over a number that it has just made up.

The signature doesn't name the server, which may go by many names. So a malicious server can pass on the challenge of
another one, and register there in the client's name: that keeps signals from the client, but can't read or change what
peers then say to each other, because descriptions are signed from end to end.
"""

from __future__ import annotations

import secrets

from webrtc_transport.errors import IdentityError
from webrtc_transport.identity import PeerId, PublicKey

from ..messages import Challenge, Register, register_payload


class Refused(Exception):
    """The client can't go on; ``code`` is the machine-readable reason that it is told."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def new_challenge() -> Challenge:
    """A challenge that was never used before. It is good for one connection."""
    return Challenge(nonce=secrets.token_urlsafe(32))


def check_proof(register: Register, challenge: Challenge, *, insecure: bool) -> bool:
    """Check who registers; returns whether that is proven. Only an ``insecure`` server takes a client without proof.

    :raises Refused: if the proof is missing or wrong
    """
    if register.public_key is None or register.signature is None:
        if not insecure:
            raise Refused("invalid-proof", "public_key and signature are needed")
        _check_peer_id(register.peer)
        return False
    try:
        key = PublicKey.from_protobuf(register.public_key)
        # Compared as text, because that is what messages are routed by.
        if str(key.peer_id) != register.peer:
            raise Refused("invalid-proof", f"the public key is that of {key.peer_id}")
        key.verify(register.signature, register_payload(nonce=challenge.nonce, peer=register.peer))
    except IdentityError as exc:
        raise Refused("invalid-proof", str(exc)) from None
    return True


def _check_peer_id(peer: str) -> None:
    try:
        canonical = str(PeerId.from_string(peer))
    except IdentityError as exc:
        raise Refused("invalid-proof", str(exc)) from None
    if canonical != peer:
        raise Refused("invalid-proof", f"write the peer id as {canonical}")
