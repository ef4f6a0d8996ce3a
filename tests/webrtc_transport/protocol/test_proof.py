from __future__ import annotations

import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from webrtc_transport.errors import IdentityError, InvalidProof
from webrtc_transport.identity import Identity, PeerId, PublicKey
from webrtc_transport.protocol import proof as module
from webrtc_transport.protocol.proof import (
    ProofVerifier,
    new_session_id,
    proof_payload,
    sign_description,
)
from webrtc_transport.protocol.signals import Proof

ALICE = Identity.generate()
BOB = Identity.generate()
MALLORY = Identity.generate()
SESSION = "0123456789abcdef"
SDP = "v=0\r\ns=-\r\na=fingerprint:sha-256 …\r\n"
NOW = 1_700_000_000_000
MAX_AGE = 300.0


def signed(identity: Identity = ALICE, **changes) -> Proof:
    settings = {"kind": "offer", "session_id": SESSION, "receiver": BOB.peer_id, "sdp": SDP, "now_ms": NOW}
    return sign_description(identity, **(settings | changes))


def verify(proof: Proof | None, verifier: ProofVerifier | None = None, **changes) -> None:
    settings = {
        "kind": "offer",
        "session_id": SESSION,
        "sender": ALICE.peer_id,
        "receiver": BOB.peer_id,
        "sdp": SDP,
        "now_ms": NOW,
    }
    (verifier or ProofVerifier(MAX_AGE)).verify(proof, **(settings | changes))


def test_the_payload_is_plain_lines() -> None:
    sender = PeerId.from_string("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA")
    receiver = PeerId.from_string("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N")
    payload = proof_payload(
        kind="answer", session_id=SESSION, sender=sender, receiver=receiver, issued_at_ms=NOW, sdp="é"
    )
    assert payload == (
        b"webrtc-signaling-proof/1\n"
        b"answer\n"
        b"0123456789abcdef\n"
        b"12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA\n"
        b"QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N\n"
        b"1700000000000\n" + hashlib.sha256(b"\xc3\xa9").hexdigest().encode()
    )


def test_session_ids_are_valid_and_new() -> None:
    ids = {new_session_id() for _ in range(100)}
    assert len(ids) == 100
    for session_id in ids:
        verify(signed(session_id=session_id), session_id=session_id)


@pytest.mark.parametrize(
    "session_id", ["", "a" * 15, "a" * 65, "a" * 16 + "\n", "a" * 15 + "é", "a b" * 6, "a/b" * 6]
)
def test_other_session_ids_are_refused(session_id: str) -> None:
    with pytest.raises(InvalidProof, match="session id"):
        signed(session_id=session_id)
    with pytest.raises(InvalidProof, match="session id"):
        verify(signed(), session_id=session_id)


@pytest.mark.parametrize("kind", ["offer", "answer"])
@pytest.mark.parametrize(
    "identity",
    [
        ALICE,
        Identity(ec.generate_private_key(ec.SECP256K1())),
        Identity(ec.generate_private_key(ec.SECP256R1())),
        Identity(rsa.generate_private_key(65537, 2048)),
    ],
    ids=["ed25519", "secp256k1", "p256", "rsa"],
)
def test_a_signed_description_is_accepted(identity: Identity, kind: str) -> None:
    verify(signed(identity, kind=kind), kind=kind, sender=identity.peer_id)


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "answer"},
        {"session_id": SESSION + "0"},
        {"receiver": MALLORY.peer_id},
        {"sdp": SDP + " "},
    ],
    ids=["kind", "session", "receiver", "sdp"],
)
def test_a_proof_is_for_one_description_in_one_session(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidProof, match=r"signature of the .* is wrong"):
        verify(signed(), **changes)


def test_the_time_is_signed_too() -> None:
    with pytest.raises(InvalidProof, match="signature"):
        verify(signed().model_copy(update={"issued_at": NOW + 1}))


def test_a_missing_proof_is_refused() -> None:
    with pytest.raises(InvalidProof, match=f"the offer isn't signed.*{ALICE.peer_id}"):
        verify(None)


def test_someone_elses_key_is_refused() -> None:
    with pytest.raises(InvalidProof, match=f"signed by {MALLORY.peer_id}.*from {ALICE.peer_id}"):
        verify(signed(MALLORY))


def test_someone_elses_key_is_refused_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PublicKey, "verify", None)
    with pytest.raises(InvalidProof, match="claims to come from"):
        verify(signed(MALLORY))


def test_a_malformed_key_is_refused() -> None:
    with pytest.raises(InvalidProof, match="no libp2p key message"):
        verify(signed().model_copy(update={"public_key": b"\x08"}))


@pytest.mark.parametrize("offset", [-300_000, 0, 300_000])
def test_clocks_may_differ(offset: int) -> None:
    verify(signed(), now_ms=NOW + offset)


@pytest.mark.parametrize(
    ("offset", "difference"), [(300_001, r"300\.0 s ago"), (-412_000, r"412\.0 s in the future")]
)
def test_but_not_by_more_than_allowed(offset: int, difference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PublicKey, "from_protobuf", None)  # Age is checked before any key is.
    with pytest.raises(InvalidProof, match=f"{difference} .* 300 s are allowed; check the clocks"):
        verify(signed(), now_ms=NOW + offset)


def test_an_offer_counts_once() -> None:
    verifier = ProofVerifier(MAX_AGE)
    verify(signed(), verifier)
    with pytest.raises(InvalidProof, match="replay"):
        verify(signed(), verifier, now_ms=NOW + 1000)
    with pytest.raises(InvalidProof, match="replay"):  # Not even with another description.
        verify(signed(sdp="", now_ms=NOW + 1), verifier, sdp="", now_ms=NOW + 1000)


def test_another_session_or_sender_is_no_replay() -> None:
    verifier = ProofVerifier(MAX_AGE)
    verify(signed(), verifier)
    verify(signed(session_id="f" * 16), verifier, session_id="f" * 16)
    verify(signed(MALLORY), verifier, sender=MALLORY.peer_id)


def test_an_answer_may_share_the_session_of_an_offer() -> None:
    verifier = ProofVerifier(MAX_AGE)
    verify(signed(), verifier)
    verify(signed(kind="answer"), verifier, kind="answer")


def test_a_forged_offer_does_not_use_the_session_up() -> None:
    verifier = ProofVerifier(MAX_AGE)
    with pytest.raises(InvalidProof, match="signature"):
        verify(signed().model_copy(update={"signature": bytes(64)}), verifier)
    verify(signed(), verifier)


@pytest.mark.parametrize("ahead", [0, 300_000])
def test_an_offer_is_remembered_as_long_as_it_is_fresh(ahead: int) -> None:
    verifier = ProofVerifier(MAX_AGE)
    proof = signed(now_ms=NOW + ahead)
    verify(proof, verifier)
    with pytest.raises(InvalidProof, match="replay"):
        verify(proof, verifier, now_ms=NOW + ahead + 300_000)
    with pytest.raises(InvalidProof, match="check the clocks"):
        verify(proof, verifier, now_ms=NOW + ahead + 300_001)


def offer_from(sender: Identity, session_id: str, verifier: ProofVerifier, now_ms: int = NOW) -> None:
    proof = signed(sender, session_id=session_id, now_ms=now_ms)
    verify(proof, verifier, sender=sender.peer_id, session_id=session_id, now_ms=now_ms)


def remembered(verifier: ProofVerifier) -> int:
    assert len(verifier._offers) == sum(map(len, verifier._by_sender.values()))
    return len(verifier._offers)


def test_a_full_memory_forgets_the_oldest_and_refuses_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED_PROOFS", 3)
    verifier = ProofVerifier(MAX_AGE)
    peers = [Identity.generate() for _ in range(4)]
    for peer in peers:
        offer_from(peer, "s" * 16, verifier)
        assert remembered(verifier) <= 3
    for peer in peers[1:]:
        with pytest.raises(InvalidProof, match="replay"):
            offer_from(peer, "s" * 16, verifier)
    offer_from(peers[0], "s" * 16, verifier)


def test_one_peer_pushes_out_nothing_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED_PROOFS_PER_PEER", 2)
    verifier = ProofVerifier(MAX_AGE)
    quiet, busy = Identity.generate(), Identity.generate()
    offer_from(quiet, "s" * 16, verifier)
    for number in range(10):
        offer_from(busy, f"{number:016}", verifier)
    assert remembered(verifier) == 3
    with pytest.raises(InvalidProof, match="replay"):
        offer_from(quiet, "s" * 16, verifier)
    with pytest.raises(InvalidProof, match="replay"):
        offer_from(busy, f"{9:016}", verifier)


def test_offers_that_are_too_old_anyway_are_forgotten() -> None:
    verifier = ProofVerifier(MAX_AGE)
    for number in range(5):
        offer_from(Identity.generate(), f"{number:016}", verifier, NOW + number)
    assert remembered(verifier) == 5
    offer_from(Identity.generate(), "s" * 16, verifier, NOW + 300_003)
    assert remembered(verifier) == 3


def test_answers_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REMEMBERED_PROOFS", 0)
    verify(signed(kind="answer"), kind="answer")


def test_an_rsa_key_that_no_proof_can_hold_cannot_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PROOF_KEY_LENGTH", 35)
    with pytest.raises(IdentityError, match="use an Ed25519 identity"):
        signed()


@given(
    st.builds(
        Proof,
        public_key=st.binary(max_size=100) | st.just(ALICE.public_key.to_protobuf()),
        signature=st.binary(max_size=100),
        issued_at=st.integers(0, 2**53 - 1) | st.just(NOW),
    ),
    st.text() | st.just(SESSION),
    st.text(st.characters()),
)
def test_no_proof_raises_anything_else(proof: Proof, session_id: str, sdp: str) -> None:
    with pytest.raises(InvalidProof):
        verify(proof, session_id=session_id, sdp=sdp)


def test_a_description_with_lone_surrogates_is_refused() -> None:
    with pytest.raises(InvalidProof, match="surrogates"):
        verify(signed(), sdp="\ud800")
