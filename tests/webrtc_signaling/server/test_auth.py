import multibase
import pytest

from tests.webrtc_signaling.samples import ALICE, ALICE_ID, BOB, BOB_ID, INSTANCE
from webrtc_signaling.messages import Challenge, Register, register_payload
from webrtc_signaling.server.auth import Refused, check_proof, new_challenge

CHALLENGE = Challenge(nonce="nonce-0123456789")


def register(identity=ALICE, *, peer=ALICE_ID, nonce=CHALLENGE.nonce, **changes):
    fields = {
        "peer": peer,
        "public_key": identity.public_key.to_protobuf(),
        "signature": identity.sign(register_payload(nonce=nonce, peer=peer)),
        "instance": INSTANCE,
    }
    return Register(**(fields | changes))


def refusal(message, *, insecure=False):
    with pytest.raises(Refused) as caught:
        check_proof(message, CHALLENGE, insecure=insecure)
    assert caught.value.code == "invalid-proof"
    return str(caught.value)


@pytest.mark.parametrize("insecure", [False, True])
def test_a_signature_over_the_challenge_proves_the_peer(insecure):
    assert check_proof(register(), CHALLENGE, insecure=insecure)


def test_no_two_challenges_are_the_same():
    assert len({new_challenge().nonce for _ in range(100)}) == 100


@pytest.mark.parametrize("insecure", [False, True])
@pytest.mark.parametrize(
    "message",
    [
        pytest.param(register(nonce="nonce-9876543210"), id="replayed"),
        pytest.param(register(BOB), id="another key"),
        pytest.param(register(peer=BOB_ID), id="another peer"),
        pytest.param(register(signature=b""), id="no signature"),
        pytest.param(register(signature=b"\x00" * 64), id="wrong signature"),
        pytest.param(register(signature=BOB.sign(b"")), id="another's signature"),
        pytest.param(register(signature=ALICE.sign(b"something else")), id="of something else"),
        pytest.param(register(public_key=b""), id="no key"),
        pytest.param(register(public_key=b"\x08\x01\x12\x20"), id="truncated key"),
        pytest.param(register(public_key=b"\xff" * 1024), id="garbage key"),
    ],
)
def test_a_wrong_proof_is_refused_even_by_an_insecure_server(message, insecure):
    assert refusal(message, insecure=insecure)


@pytest.mark.parametrize("missing", [{"public_key": None}, {"signature": None}])
def test_without_a_proof_only_an_insecure_server_lets_one_in(missing):
    assert "needed" in refusal(register(**missing))
    assert not check_proof(register(**missing), CHALLENGE, insecure=True)


def test_an_unproven_peer_id_must_be_one_nevertheless():
    for peer in ("Bobby", "1111"):
        assert refusal(Register(peer=peer, instance=INSTANCE), insecure=True)
    cid = multibase.encode("base58btc", b"\x01\x72" + ALICE.peer_id.multihash).decode()
    assert f"write the peer id as {ALICE_ID}" in refusal(Register(peer=cid, instance=INSTANCE), insecure=True)
