"""Signatures over session descriptions, by which two peers need not trust who carries them.

The description has the fingerprint of the DTLS certificate in it; signed with the key behind a peer id, it proves
who is at the other end. What is signed can be made by a browser with WebCrypto alone.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import deque
from typing import Final, Literal

from ..errors import IdentityError, InvalidProof
from ..identity import Identity, PeerId, PublicKey
from .limits import MAX_PROOF_KEY_LENGTH, MAX_REMEMBERED_PROOFS, MAX_REMEMBERED_PROOFS_PER_PEER
from .signals import Proof

Kind = Literal["offer", "answer"]

_CONTEXT: Final = "webrtc-signaling-proof/1"
"""Begins what is signed, so that the signature can't pass for one of another protocol."""

_SESSION_ID: Final = re.compile(r"[A-Za-z0-9_-]{16,64}")
_SESSION_ID_BYTES: Final = 16


def new_session_id() -> str:
    """A session id that nobody can guess: 22 characters, 128 random bits."""
    return secrets.token_urlsafe(_SESSION_ID_BYTES)


def proof_payload(
    *, kind: Kind, session_id: str, sender: PeerId, receiver: PeerId, issued_at_ms: int, sdp: str
) -> bytes:
    r"""What a proof signs: these lines in UTF-8, with ``\n`` between them and none at the end.

    1. ``webrtc-signaling-proof/1``
    2. ``offer`` or ``answer``
    3. the session id
    4. the sender's peer id, in base58btc
    5. the receiver's
    6. when it was signed: milliseconds since 1970, in decimal
    7. the SHA-256 of the description in UTF-8, in lower-case hexadecimal

    :raises InvalidProof: if the session id isn't 16 to 64 letters, digits, ``-`` or ``_``, or the description has
        no UTF-8 form
    """
    # Peer ids and digests have no line breaks either, so one payload has one meaning.
    if not _SESSION_ID.fullmatch(session_id):
        raise InvalidProof("a session id is 16 to 64 letters, digits, - or _; new_session_id() makes one")
    try:
        digest = hashlib.sha256(sdp.encode()).hexdigest()
    except UnicodeEncodeError:
        raise InvalidProof("the description has lone surrogates, which no signature can cover") from None
    lines = (_CONTEXT, kind, session_id, str(sender), str(receiver), str(issued_at_ms), digest)
    return "\n".join(lines).encode()


def sign_description(
    identity: Identity, *, kind: Kind, session_id: str, receiver: PeerId, sdp: str, now_ms: int
) -> Proof:
    """Sign our description for ``receiver``, and for no other peer or session.

    :param now_ms: the time, in milliseconds since 1970
    :raises InvalidProof: as :func:`proof_payload` does
    :raises IdentityError: if the public key has more than ``MAX_PROOF_KEY_LENGTH`` bytes
    """
    public_key = identity.public_key.to_protobuf()
    if len(public_key) > MAX_PROOF_KEY_LENGTH:
        raise IdentityError(
            "the identity's RSA key is too large to sign descriptions; use an Ed25519 identity"
        )
    payload = proof_payload(
        kind=kind,
        session_id=session_id,
        sender=identity.peer_id,
        receiver=receiver,
        issued_at_ms=now_ms,
        sdp=sdp,
    )
    return Proof(public_key=public_key, signature=identity.sign(payload), issued_at=now_ms)


class ProofVerifier:
    """Checks the proofs of inbound descriptions, and remembers offers so that none counts twice.

    An answer needs no memory: it is bound to the session id of an offer of ours, and an offer has one answer.

    :param max_age_seconds: how old a proof may be, and how far ahead of our clock
    """

    def __init__(self, max_age_seconds: float) -> None:
        self._max_age_ms = int(max_age_seconds * 1000)
        self._offers: dict[tuple[bytes, str], int] = {}
        """Multihash of the sender, and session id, in the order in which they came; and the time, in ms, after which
        they are too old anyway."""
        self._by_sender: dict[bytes, deque[str]] = {}
        """The session ids of the same offers, oldest first."""

    def verify(
        self,
        proof: Proof | None,
        *,
        kind: Kind,
        session_id: str,
        sender: PeerId,
        receiver: PeerId,
        sdp: str,
        now_ms: int,
    ) -> None:
        """Check that ``sender`` made this description for ``receiver`` in this session, just now and once.

        :param now_ms: the time, in milliseconds since 1970
        :raises InvalidProof: if not; the message says what is wrong
        """
        if proof is None:
            raise InvalidProof(f"the {kind} isn't signed, and what carried it doesn't prove who {sender} is")
        payload = proof_payload(
            kind=kind,
            session_id=session_id,
            sender=sender,
            receiver=receiver,
            issued_at_ms=proof.issued_at,
            sdp=sdp,
        )
        self._check_age(kind, now_ms - proof.issued_at)
        offer = (sender.multihash, session_id)
        if kind == "offer":
            self._check_new(offer, now_ms)
        _check_signature(proof, payload, kind, sender)
        if kind == "offer":
            self._remember(offer, proof.issued_at + self._max_age_ms)

    def _check_age(self, kind: Kind, age_ms: int) -> None:
        if abs(age_ms) <= self._max_age_ms:
            return
        direction = "ago" if age_ms > 0 else "in the future"
        raise InvalidProof(
            f"the {kind} was signed {abs(age_ms) / 1000:.1f} s {direction} by our clock, and "
            f"{self._max_age_ms / 1000:.0f} s are allowed; check the clocks of both machines"
        )

    def _check_new(self, offer: tuple[bytes, str], now_ms: int) -> None:
        while self._offers and next(iter(self._offers.values())) < now_ms:
            self._forget_oldest()
        if offer in self._offers:
            raise InvalidProof("the offer is a replay: its session id was used before")

    def _remember(self, offer: tuple[bytes, str], expires_at: int) -> None:
        sender, session_id = offer
        if len(self._by_sender.get(sender, ())) >= MAX_REMEMBERED_PROOFS_PER_PEER:
            del self._offers[sender, self._by_sender[sender].popleft()]
        elif len(self._offers) >= MAX_REMEMBERED_PROOFS:
            self._forget_oldest()
        self._offers[offer] = expires_at
        self._by_sender.setdefault(sender, deque()).append(session_id)

    def _forget_oldest(self) -> None:
        sender, session_id = next(iter(self._offers))
        del self._offers[sender, session_id]
        # The oldest of all is the oldest of its sender.
        self._by_sender[sender].popleft()
        if not self._by_sender[sender]:
            del self._by_sender[sender]


def _check_signature(proof: Proof, payload: bytes, kind: Kind, sender: PeerId) -> None:
    try:
        key = PublicKey.from_protobuf(proof.public_key)
        if not sender.matches(key):
            raise InvalidProof(f"the {kind} is signed by {key.peer_id}, but it claims to come from {sender}")
        key.verify(proof.signature, payload)
    except IdentityError as exc:
        raise InvalidProof(f"the signature of the {kind} is wrong: {exc}") from None
