"""The page of the rendezvous protocol describes the protocol that is spoken."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import time
from pathlib import Path

import pytest

import webrtc_signaling
import webrtc_transport
from tests.browser.nodejs import node_program
from tests.docs.pages import DOCS, blocks
from webrtc_signaling.batch import CONNECTION_HEADER, CONTENT_TYPE
from webrtc_signaling.codec import Codec, decode, encode
from webrtc_signaling.limits import (
    ACK_DELAY,
    ACK_EVERY,
    MAX_BATCH_SIZE,
    MAX_ICE_SERVERS,
    MAX_MESSAGE_SIZE,
    MAX_PEER_ID_LENGTH,
    MAX_SESSION_DESCRIPTIONS,
    MAX_SESSION_SIGNALS,
    MAX_TOKEN_LENGTH,
)
from webrtc_signaling.messages import (
    Challenge,
    Envelope,
    Malformed,
    Numbered,
    Register,
    parse_client_message,
    parse_server_message,
    to_wire,
)
from webrtc_signaling.server.auth import check_proof
from webrtc_signaling.server.settings import ServerSettings
from webrtc_transport import signaled_listener
from webrtc_transport.config import TransportConfig
from webrtc_transport.identity import Identity, PeerId
from webrtc_transport.protocol.limits import MAX_PROOF_KEY_LENGTH, MAX_PROOF_SIGNATURE_LENGTH
from webrtc_transport.protocol.proof import ProofVerifier, new_session_id
from webrtc_transport.protocol.signals import Proof

PAGE = DOCS / "reference" / "signaling-protocol.md"
TEXT = PAGE.read_text(encoding="utf-8")
EXAMPLES = [block for block in blocks(PAGE) if block.language == "json"]
PARSERS = {
    "client to server": [parse_client_message],
    "server to client": [parse_server_message],
    "client to server, and on to the peer": [parse_client_message, parse_server_message],
}


def parsed():
    return [parse(json.loads(block.text)) for block in EXAMPLES for parse in PARSERS[block.title]]


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: f"line {block.line}")
def test_example_is_a_message(block):
    value = json.loads(block.text)
    for parse in PARSERS[block.title]:
        message = parse(value)
        assert not isinstance(getattr(message, "message", None), Malformed)
        # Nothing of the example was ignored, and both encodings carry it.
        assert to_wire(message, binary=False).keys() >= value.keys()
        for codec in Codec:
            assert parse(decode(encode(message, codec), codec)) == message


def test_every_kind_of_message_has_an_example():
    kinds = {type(getattr(message, "message", message)).__name__ for message in parsed()}
    assert kinds == {
        "Challenge",
        "Register",
        "Registered",
        "Ack",
        "Failure",
        "SessionFailure",
        "Envelope",
        "IceServersRequest",
        "IceServers",
    }
    signals = {
        message.message.signal.type
        for message in parsed()
        if isinstance(message, Numbered) and isinstance(message.message, Envelope)
    }
    assert signals == {"offer", "answer", "candidate", "bye", "error"}


def test_the_registration_proves_its_peer_id():
    (challenge,) = (message for message in parsed() if isinstance(message, Challenge))
    registers = [message for message in parsed() if isinstance(message, Register)]
    assert len(registers) == 2
    for register in registers:
        assert check_proof(register, challenge, insecure=False)


@pytest.mark.parametrize("kind", ["offer", "answer"])
def test_the_descriptions_are_signed(kind):
    (envelope,) = (
        block.message
        for block in (
            parse_client_message(json.loads(block.text)) for block in EXAMPLES if "peer" in block.title
        )
        if block.message.signal.type == kind
    )
    signal = envelope.signal
    ProofVerifier(300).verify(
        signal.proof,
        kind=kind,
        session_id=envelope.session,
        sender=PeerId.from_string(envelope.sender),
        receiver=PeerId.from_string(envelope.recipient),
        sdp=signal.data.sdp,
        now_ms=signal.proof.issued_at,
    )


def test_what_a_browser_signs_is_accepted(tmp_path):
    (program,) = (block.text for block in blocks(PAGE) if block.language == "js")
    receiver, session, sdp = Identity.generate().peer_id, new_session_id(), "v=0\r\ns=-\r\n"
    script = tmp_path / "prove.mjs"
    script.write_text(
        f"""{program}
        const identity = await makeIdentity();
        console.log(JSON.stringify({{
          register: await register(identity, "{"n" * 32}", "{"i" * 16}"),
          proof: await prove(identity, "offer", "{session}", "{receiver}", {json.dumps(sdp)}),
        }}));""",
        encoding="utf-8",
    )
    done = subprocess.run([node_program(), script], capture_output=True, text=True, check=True, timeout=60)
    made = json.loads(done.stdout)

    register = parse_client_message(made["register"])
    assert isinstance(register, Register)
    assert check_proof(register, Challenge(nonce="n" * 32), insecure=False)
    ProofVerifier(300).verify(
        Proof.model_validate(made["proof"]),
        kind="offer",
        session_id=session,
        sender=PeerId.from_string(register.peer),
        receiver=receiver,
        sdp=sdp,
        now_ms=time.time_ns() // 1_000_000,
    )


def codes_in_the_code():
    """The error codes that the server and the peers send, by the calls that send them."""
    folders = [Path(package.__file__).parent for package in (webrtc_signaling, webrtc_transport)]
    source = "\n".join(path.read_text("utf-8") for folder in folders for path in folder.rglob("*.py"))
    senders = r"(?:Refused|_refuse|\.refuse|_failure|\bfailure|error_data|\.tell|tell_failure)"
    calls = senders + r"\([^()]*(?:\([^()]*\)[^()]*)?"
    sent = {
        code for call in re.findall(calls, source) for code in re.findall(r'"([a-z]+(?:-[a-z]+)*)"', call)
    }
    return sent | set(re.findall(r'return "([a-z-]+)"', inspect.getsource(signaled_listener._error_code)))


def test_the_codes_are_those_of_the_code():
    tables = re.findall(r"^\| Code \|.*?(?=\n\n)", TEXT, re.MULTILINE | re.DOTALL)
    listed = {code for table in tables for code in re.findall(r"^\| `([a-z-]+)` \|", table, re.MULTILINE)}
    assert listed == codes_in_the_code()


def test_the_numbers_are_those_of_the_code():
    assert MAX_SESSION_DESCRIPTIONS == 4
    assert "more than four offers and answers" in TEXT
    assert f"at most {MAX_MESSAGE_SIZE:,} bytes" in TEXT
    assert f"at most {MAX_BATCH_SIZE:,} bytes" in TEXT
    assert f"media type `{CONTENT_TYPE}`" in TEXT
    assert f"header `{CONNECTION_HEADER}`" in TEXT
    assert f"({ServerSettings().heartbeat:g} seconds by default)" in TEXT
    assert f"at most {MAX_PEER_ID_LENGTH} characters" in TEXT
    assert f"from 0 to {MAX_SESSION_SIGNALS - 1} |" in TEXT
    assert f"at most {MAX_TOKEN_LENGTH} characters" in TEXT
    assert f"at most {MAX_ICE_SERVERS}, each with at most {MAX_ICE_SERVERS} URLs" in TEXT
    assert f"wait for {ACK_DELAY:g} seconds, or until {ACK_EVERY} messages" in TEXT
    assert f"of at most {MAX_PROOF_KEY_LENGTH} bytes" in TEXT
    assert f"*bytes*, at most {MAX_PROOF_SIGNATURE_LENGTH} |" in TEXT
    assert f"no more than {TransportConfig().proof_max_age:g} seconds" in TEXT
    assert ServerSettings.model_fields["register_timeout"].default == 10
