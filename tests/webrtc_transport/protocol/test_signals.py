from __future__ import annotations

import json
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from webrtc_transport.errors import InvalidSignal
from webrtc_transport.protocol.limits import (
    MAX_CANDIDATE_LENGTH,
    MAX_PROOF_KEY_LENGTH,
    MAX_PROOF_SIGNATURE_LENGTH,
    MAX_REASON_LENGTH,
    MAX_SDP_LENGTH,
)
from webrtc_transport.protocol.signals import (
    Answer,
    Bye,
    ByeData,
    Candidate,
    CandidateData,
    DescriptionData,
    Error,
    ErrorData,
    Offer,
    Proof,
    Signal,
    describe_validation_error,
    parse_signal,
)

PROOF = Proof(public_key=b"\x00key", signature=b"\xffsignature", issued_at=1_700_000_000_000)

SIGNALS = [
    Offer(data=DescriptionData(type="offer", sdp="v=0\r\n")),
    Offer(data=DescriptionData(type="offer", sdp="v=0\r\n"), proof=PROOF),
    Answer(data=DescriptionData(type="answer", sdp=""), proof=PROOF),
    Candidate(
        data=CandidateData(candidate="candidate:1 1 UDP 1 192.0.2.1 9 typ host", sdpMid="0", sdpMLineIndex=0)
    ),
    Candidate(),
    Bye(),
    Bye(data=ByeData(reason="done")),
    Error(data=ErrorData(code="not-listening", message="nobody is here")),
]


@pytest.mark.parametrize("signal", SIGNALS, ids=repr)
def test_signals_survive_json(signal: BaseModel) -> None:
    assert parse_signal(json.loads(signal.model_dump_json())) == signal


@pytest.mark.parametrize("signal", SIGNALS, ids=repr)
def test_signals_survive_an_encoding_that_has_bytes(signal: BaseModel) -> None:
    assert parse_signal(signal.model_dump()) == signal


def test_a_proof_is_base64_in_json() -> None:
    assert json.loads(PROOF.model_dump_json()) == {
        "public_key": "AGtleQ==",
        "signature": "/3NpZ25hdHVyZQ==",
        "issued_at": 1_700_000_000_000,
    }


@pytest.mark.parametrize(
    ("data", "candidate"),
    [
        (
            {
                "candidate": "a=candidate:2 1 UDP 2113937151 192.0.2.1 9 typ host",
                "sdpMLineIndex": None,
                "sdpMid": "0",
                "usernameFragment": None,
            },
            CandidateData(candidate="a=candidate:2 1 UDP 2113937151 192.0.2.1 9 typ host", sdpMid="0"),
        ),
        (
            {"candidate": "", "sdpMid": "0", "sdpMLineIndex": 0},
            CandidateData(candidate="", sdpMid="0", sdpMLineIndex=0),
        ),
        (None, None),
    ],
    ids=["node", "empty", "null"],
)
def test_candidates_as_peers_write_them(data: object, candidate: CandidateData | None) -> None:
    assert parse_signal({"type": "candidate", "data": data}) == Candidate(data=candidate)


def test_unknown_fields_are_ignored() -> None:
    assert parse_signal({"type": "bye", "data": {"reason": "", "later": 1}, "later": 2}) == Bye()


OFFER = {"type": "offer", "data": {"type": "offer", "sdp": ""}}


def with_proof(**changes: object) -> dict[str, object]:
    return {**OFFER, "proof": {"public_key": "", "signature": "", "issued_at": 0, **changes}}


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (None, "message"),
        ([], "message"),
        ("offer", "message"),
        ({}, "message"),
        ({"type": "hello"}, "message"),
        ({"type": "offer"}, "offer.data"),
        ({"type": "offer", "data": {"type": "pranswer", "sdp": ""}}, "offer.data.type"),
        ({"type": "offer", "data": {"type": "offer", "sdp": "x" * (MAX_SDP_LENGTH + 1)}}, "offer.data.sdp"),
        ({"type": "offer", "data": {"type": "offer", "sdp": "\ud800"}}, "offer.data.sdp"),
        (
            {"type": "candidate", "data": {"candidate": "x" * (MAX_CANDIDATE_LENGTH + 1)}},
            "candidate.data.candidate",
        ),
        (
            {"type": "candidate", "data": {"candidate": "", "sdpMLineIndex": -1}},
            "candidate.data.sdpMLineIndex",
        ),
        ({"type": "bye", "data": {"reason": "x" * (MAX_REASON_LENGTH + 1)}}, "bye.data.reason"),
        ({"type": "error", "data": {"code": "Not A Code"}}, "error.data.code"),
        ({"type": "error", "data": {"code": "busy\n"}}, "error.data.code"),
        (with_proof(public_key="not base64!"), "offer.proof.public_key"),
        (with_proof(public_key="ab\ncd"), "offer.proof.public_key"),
        (with_proof(public_key="é"), "offer.proof.public_key"),
        (with_proof(public_key=b"x" * (MAX_PROOF_KEY_LENGTH + 1)), "offer.proof.public_key"),
        (with_proof(signature=b"x" * (MAX_PROOF_SIGNATURE_LENGTH + 1)), "offer.proof.signature"),
        (with_proof(issued_at=-1), "offer.proof.issued_at"),
        (with_proof(issued_at=2**53), "offer.proof.issued_at"),
        (with_proof(issued_at=0.5), "offer.proof.issued_at"),
    ],
)
def test_the_first_wrong_field_is_named(value: object, where: str) -> None:
    with pytest.raises(InvalidSignal) as caught:
        parse_signal(value)
    assert str(caught.value).startswith(f"{where}: ")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(("kind", "other"), [("offer", "answer"), ("answer", "offer")])
def test_a_description_is_of_the_type_of_its_signal(kind: str, other: str) -> None:
    with pytest.raises(InvalidSignal, match=f"an {kind} holds a description of the type {kind}, not {other}"):
        parse_signal({"type": kind, "data": {"type": other, "sdp": "v=0"}})


def test_the_description_of_an_error_does_not_show_the_input() -> None:
    with pytest.raises(ValidationError) as caught:
        Proof.model_validate({"public_key": "hunter2!", "signature": "", "issued_at": 0})
    assert "hunter2" not in describe_validation_error(caught.value)


def test_signals_are_values() -> None:
    with pytest.raises(ValidationError):
        Bye().type = "bye"


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
json_like = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner), max_leaves=10
)
FIELDS = [
    "type",
    "data",
    "proof",
    "sdp",
    "candidate",
    "sdpMLineIndex",
    "public_key",
    "signature",
    "issued_at",
    "code",
]
TYPES = ["offer", "answer", "candidate", "bye", "error"]
signal_like = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES)},
    optional={
        "data": json_like | st.dictionaries(st.sampled_from(FIELDS), scalars | st.sampled_from(TYPES)),
        "proof": json_like | st.dictionaries(st.sampled_from(FIELDS), scalars),
    },
)


@given(json_like | signal_like)
def test_no_value_raises_anything_else(value: object) -> None:
    try:
        signal = parse_signal(value)
    except InvalidSignal:
        return
    assert isinstance(signal, get_args(get_args(Signal)[0]))
