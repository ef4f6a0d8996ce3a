"""The page's modules against their counterparts in Python. They need Node.js, but no browser and no network."""

import base64
import json
import random
import subprocess
from pathlib import Path

import multibase
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256K1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa_key

import webrtc_signaling.server
from tests.browser.nodejs import HERE, node_program
from webrtc_signaling.messages import (
    Ack,
    Challenge,
    Envelope,
    Failure,
    Numbered,
    Registered,
    SessionFailure,
    error_data,
    parse_server_message,
    register_payload,
    to_wire,
)
from webrtc_transport import Identity
from webrtc_transport.errors import FramingError, InvalidSignal
from webrtc_transport.identity import PeerId
from webrtc_transport.protocol.framing import Flag, FrameDecoder, encode_frame
from webrtc_transport.protocol.limits import MAX_FRAME_PAYLOAD
from webrtc_transport.protocol.proof import ProofVerifier, new_session_id, proof_payload, sign_description
from webrtc_transport.protocol.signals import (
    Answer,
    Bye,
    ByeData,
    Candidate,
    CandidateData,
    DescriptionData,
    Error,
    Proof,
)

STATIC = Path(webrtc_signaling.server.__file__).parent / "static"
ALICE, BOB = Identity.generate(), Identity.generate()
NOW = 1_700_000_000_000
SDP = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=Grüße\r\n"
SESSION = new_session_id()
ROUTE = {"sender": str(ALICE.peer_id), "recipient": str(BOB.peer_id), "session": SESSION, "index": 3}


def run(**inputs):
    """Results of ``vectors.mjs``, one for each input."""
    command = [node_program(), HERE / "vectors.mjs", STATIC]
    done = subprocess.run(
        command, input=json.dumps(inputs), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_javascript_units():
    command = [node_program(), "--test", HERE / "modules.test.mjs"]
    environment = {"MODULES": str(STATIC), "PATH": ""}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


class TestPeerIds:
    def test_every_text_form(self):
        ids = [Identity.generate().peer_id for _ in range(50)]
        cids = [b"\x01\x72" + peer.multihash for peer in ids]
        forms = [*map(str, ids)]
        for encoding in ("base58btc", "base32", "base36"):
            forms += [multibase.encode(encoding, cid).decode() for cid in cids]
        results = run(peerIds=forms)["peerIds"]
        assert results == [{"result": str(peer)} for peer in ids] * 4

    def test_other_kinds_of_keys(self):
        keys = [generate_private_key(SECP256K1()), generate_rsa_key(65537, 2048)]
        ids = [str(Identity.from_private_key(key).peer_id) for key in keys]
        assert run(peerIds=ids)["peerIds"] == [{"error": "unsupported-key"}] * 2

    def test_malformed(self):
        good = str(ALICE.peer_id)
        bad = ["", "1", "Qm", "z", "b", "k", "x" * 500, "é", f"{good} "]
        bad += [good[:-1], good + "1", good[:-1] + "0"]
        bad += [good.replace("W", "l", 1), "bafzaa", "f00", "k51" + "z" * 100, "1" * 128, "toString"]
        assert run(peerIds=bad)["peerIds"] == [{"error": "bad-peer-id"}] * len(bad)


class TestProofs:
    def description(self, **changes):
        fields = {
            "kind": "answer",
            "session": SESSION,
            "sender": str(ALICE.peer_id),
            "receiver": str(BOB.peer_id),
            "sdp": SDP,
        }
        return fields | changes

    def signed(self, identity=ALICE, **changes):
        proof = sign_description(
            identity, kind="answer", session_id=SESSION, receiver=BOB.peer_id, sdp=SDP, now_ms=NOW
        )
        return proof.model_dump(mode="json") | changes

    def test_payload(self):
        (result,) = run(payloads=[{"description": self.description(), "issuedAt": NOW}])["payloads"]
        expected = proof_payload(
            kind="answer",
            session_id=SESSION,
            sender=ALICE.peer_id,
            receiver=BOB.peer_id,
            issued_at_ms=NOW,
            sdp=SDP,
        )
        assert bytes.fromhex(result["result"]) == expected

    def test_register_payload(self):
        (result,) = run(register=[{"nonce": SESSION, "peer": str(ALICE.peer_id)}])["register"]
        assert bytes.fromhex(result["result"]) == register_payload(nonce=SESSION, peer=str(ALICE.peer_id))

    def test_python_takes_what_the_page_signs(self):
        (result,) = run(sign=[self.description(kind="offer")])["sign"]
        description, proof = result["result"]["description"], result["result"]["proof"]
        ProofVerifier(300).verify(
            Proof.model_validate(proof),
            kind="offer",
            session_id=SESSION,
            sender=PeerId.from_string(description["sender"]),
            receiver=BOB.peer_id,
            sdp=SDP,
            now_ms=proof["issued_at"],
        )

    def test_the_page_takes_what_python_signs(self):
        inputs = [{"proof": self.signed(), "description": self.description(), "now": NOW + 1000}]
        assert run(verify=inputs)["verify"] == [{"result": None}]

    def test_the_page_refuses_everything_else(self):
        rsa = Identity.from_private_key(generate_rsa_key(65537, 2048))
        mallory = Identity.generate()
        cases = [
            (self.signed(), {"kind": "offer"}, NOW, "invalid-proof"),
            (self.signed(), {"session": new_session_id()}, NOW, "invalid-proof"),
            (self.signed(), {"sender": str(mallory.peer_id)}, NOW, "invalid-proof"),
            (self.signed(), {"receiver": str(mallory.peer_id)}, NOW, "invalid-proof"),
            (self.signed(), {"sdp": SDP + " "}, NOW, "invalid-proof"),
            (self.signed(mallory), {}, NOW, "invalid-proof"),
            (self.signed(rsa), {}, NOW, "invalid-proof"),
            (self.signed(issued_at=NOW + 1), {}, NOW, "invalid-proof"),
            (self.signed(signature=""), {}, NOW, "invalid-proof"),
            (self.signed(signature=base64.b64encode(bytes(64)).decode()), {}, NOW, "invalid-proof"),
            (self.signed(public_key=""), {}, NOW, "invalid-proof"),
            (None, {}, NOW, "invalid-proof"),
            (self.signed(), {}, NOW + 301_000, "wrong-clock"),
            (self.signed(), {}, NOW - 301_000, "wrong-clock"),
        ]
        inputs = [
            {"proof": proof, "description": self.description(**changes), "now": now}
            for proof, changes, now, _ in cases
        ]
        assert run(verify=inputs)["verify"] == [{"error": code} for *_, code in cases]


class TestFraming:
    def test_what_the_page_encodes(self):
        payloads = [b"x" * size for size in (1, 127, 128, 16000, MAX_FRAME_PAYLOAD)]
        results = run(encodeData=[payload.hex() for payload in payloads], encodeFlag=list(Flag))
        assert [r["result"] for r in results["encodeData"]] == [encode_frame(p).hex() for p in payloads]
        assert [r["result"] for r in results["encodeFlag"]] == [encode_frame(flag=f).hex() for f in Flag]

    @pytest.mark.parametrize("seed", range(4))
    def test_both_decode_alike(self, seed):
        """Streams of frames, whole and mutated, cut anywhere."""
        rng = random.Random(seed)
        cases = [self.messages(rng) for _ in range(1500)]
        expected = [self.decode(messages) for messages in cases]
        assert {"error": "FramingError"} in expected
        assert sum("result" in outcome for outcome in expected) > 300
        results = run(decode=[[message.hex() for message in messages] for messages in cases])["decode"]
        for messages, result, outcome in zip(cases, results, expected, strict=True):
            assert result == outcome, [message.hex() for message in messages]

    @staticmethod
    def decode(messages):
        decoder = FrameDecoder()
        try:
            frames = [frame for message in messages for frame in decoder.feed(message)]
        except FramingError:
            return {"error": "FramingError"}
        return {"result": [[frame.flag, frame.payload.hex()] for frame in frames]}

    @classmethod
    def messages(cls, rng):
        stream = bytearray(b"".join(cls.frame(rng) for _ in range(rng.randrange(1, 6))))
        if rng.random() < 0.6:
            for _ in range(rng.randrange(1, 4)):
                stream[rng.randrange(len(stream))] = rng.choice([0, 1, 0x08, 0x12, 0x7F, 0x80, 0xFF, 0x1A])
        cuts = sorted(rng.randrange(len(stream) + 1) for _ in range(rng.randrange(5)))
        return [bytes(stream[a:b]) for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]

    @staticmethod
    def frame(rng):
        payload = rng.randbytes(rng.choice([0, 1, 3, 130, MAX_FRAME_PAYLOAD]))
        match rng.randrange(4):
            case 0:
                return encode_frame(payload, rng.choice([None, *Flag]))
            case 1:
                # An unknown field, of any type, before the payload.
                body = bytes([rng.randrange(256)]) + rng.randbytes(rng.randrange(12))
                return bytes([len(body)]) + body
            case 2:
                return bytes.fromhex("0a") + b"\x08" + b"\xff" * rng.randrange(7, 10) + b"\x01"
            case _:
                return encode_frame(flag=rng.choice(list(Flag)))


class TestMessages:
    def wire(self, message, **changes):
        return json.dumps(to_wire(message, binary=False) | changes)

    def numbered(self, signal):
        return Numbered(Envelope(**ROUTE, signal=signal), 5, 7)

    def test_every_message_of_a_server(self):
        proof = Proof(public_key=ALICE.public_key.to_protobuf(), signature=bytes(64), issued_at=NOW)
        candidate = CandidateData(candidate="candidate:1 1 udp 1 10.0.0.1 9 typ host", sdpMid="0")
        signals = [
            Answer(data=DescriptionData(type="answer", sdp=SDP), proof=proof),
            Candidate(data=candidate),
            Candidate(data=None),
            Bye(data=ByeData(reason="done")),
            Error(data=error_data("busy", "later")),
        ]
        registered = Registered(
            peer=str(BOB.peer_id), proven=True, resumed=False, received=0, grace=30.0, notice="mind"
        )
        failure = SessionFailure(peer=str(ALICE.peer_id), session=SESSION, data=error_data("peer-gone", ""))
        messages = [
            Challenge(nonce=SESSION),
            registered,
            Ack(ack=3),
            Failure(data=error_data("replaced", "by another")),
            Numbered(failure, 1, 0),
            *map(self.numbered, signals),
        ]
        results = [r["result"] for r in run(messages=list(map(self.wire, messages)))["messages"]]
        kinds = ["challenge", "registered", "ack", "failure", "session-failure", *["signal"] * 5]
        assert [result["kind"] for result in results] == kinds
        for result, signal in zip(results[5:], signals, strict=True):
            expected = signal.model_dump(mode="json")
            if expected.get("proof", ...) is None:
                del expected["proof"]
            assert result["signal"] == expected
            assert (result["seq"], result["ack"], result["index"]) == (5, 7, 3)

    def test_malformed_signals_end_their_session_alone(self):
        answer = self.numbered(Answer(data=DescriptionData(type="answer", sdp=SDP)))
        changes = [
            {"data": None},
            {"data": {"type": "offer", "sdp": SDP}},
            {"data": {"type": "answer", "sdp": "x" * 16385}},
            {"data": {"type": "answer", "sdp": 5}},
            {"proof": {"public_key": "?", "signature": "", "issued_at": 1}},
            {"proof": {"public_key": "", "signature": "A" * 4096, "issued_at": 1}},
            {"proof": {"public_key": "", "signature": "", "issued_at": -1}},
            {"proof": []},
            {"type": "candidate", "data": {"candidate": "x" * 513}},
            {"type": "candidate", "data": {"candidate": "", "sdpMLineIndex": 1.5}},
            {"type": "error", "data": {"code": "Not a code"}},
            {"type": "bye", "data": {"reason": "x" * 513}},
        ]
        results = run(messages=[self.wire(answer, **change) for change in changes])["messages"]
        assert [result["result"]["kind"] for result in results] == ["malformed"] * len(changes)

    def test_what_is_no_message(self):
        answer = self.numbered(Answer(data=DescriptionData(type="answer", sdp=SDP)))
        changes = [
            {"version": 2},
            {"version": "1"},
            {"type": "register"},
            {"type": None},
            {"from": "0OIl"},
            {"from": "1" * 129},
            {"to": None},
            {"session": "short"},
            {"session": "x" * 65},
            {"index": 256},
            {"seq": 0},
            {"seq": 2**53},
            {"ack": -1},
            {"ack": True},
        ]
        texts = [self.wire(answer, **change) for change in changes]
        for text in texts:
            with pytest.raises(InvalidSignal):
                parse_server_message(json.loads(text))
        texts += ["", "[]", "null", "5", "{", '"x"', "[" * 100_000, json.dumps({"version": 1}), "x" * 200_000]
        texts += [self.wire(Challenge(nonce=SESSION), nonce="!" * 20)]
        texts += [self.wire(Failure(data=error_data("replaced", "")), data={"code": ""})]
        assert run(messages=texts)["messages"] == [{"error": "InvalidMessage"}] * len(texts)
