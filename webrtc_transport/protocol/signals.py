"""The typed signals that peers exchange over any signaling backend, validated with pydantic.

A signal is one JSON object ``{"type": …, "data": {…}}``, for offers and answers with a ``proof`` beside them.
Backends put their own envelope around it (who, to whom, which session) and leave the signal as it is.
"""

from __future__ import annotations

import base64
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    ValidationError,
)

from ..errors import InvalidSignal
from .limits import (
    MAX_CANDIDATE_LENGTH,
    MAX_PROOF_KEY_LENGTH,
    MAX_PROOF_SIGNATURE_LENGTH,
    MAX_REASON_LENGTH,
    MAX_SDP_LENGTH,
)


def _decode_base64(value: object) -> object:
    # Strict, and without the line breaks of MIME that pydantic's own Base64Bytes writes.
    return base64.b64decode(value, validate=True) if isinstance(value, str) else value


def _encode_base64(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


Base64Bytes = Annotated[
    bytes, BeforeValidator(_decode_base64), PlainSerializer(_encode_base64, when_used="json")
]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Proof(_Model):
    """A peer's signature over its description; see :mod:`webrtc_transport.protocol.proof` for what it covers."""

    public_key: Annotated[Base64Bytes, Field(max_length=MAX_PROOF_KEY_LENGTH)]
    """The libp2p ``PublicKey`` protobuf message."""
    signature: Annotated[Base64Bytes, Field(max_length=MAX_PROOF_SIGNATURE_LENGTH)]
    issued_at: Annotated[int, Field(ge=0, lt=2**53)]
    """Milliseconds since 1970."""


class DescriptionData(_Model):
    """``RTCSessionDescription.toJSON()`` (W3C WebRTC, section 4.6.1)."""

    type: Literal["offer", "answer"]
    sdp: Annotated[str, Field(max_length=MAX_SDP_LENGTH)]


class CandidateData(_Model):
    """``RTCIceCandidate.toJSON()`` (W3C WebRTC, section 4.8.1). An empty ``candidate`` ends the candidates."""

    candidate: Annotated[str, Field(max_length=MAX_CANDIDATE_LENGTH)]
    sdpMid: Annotated[str | None, Field(max_length=16)] = None  # noqa: N815 - W3C's name
    sdpMLineIndex: Annotated[int | None, Field(ge=0, le=255)] = None  # noqa: N815 - W3C's name
    usernameFragment: Annotated[str | None, Field(max_length=256)] = None  # noqa: N815 - W3C's name


class ByeData(_Model):
    """Why the session ends; for people."""

    reason: Annotated[str, Field(max_length=MAX_REASON_LENGTH)] = ""


class ErrorData(_Model):
    """``code`` is for programs, ``message`` for people."""

    code: Annotated[str, Field(max_length=64, pattern=r"^[a-z][a-z0-9-]*$")]
    message: Annotated[str, Field(max_length=MAX_REASON_LENGTH)] = ""


def _is_of(kind: Literal["offer", "answer"]) -> AfterValidator:
    def check(data: DescriptionData) -> DescriptionData:
        if data.type != kind:
            raise ValueError(f"an {kind} holds a description of the type {kind}, not {data.type}")
        return data

    return AfterValidator(check)


class Offer(_Model):
    """The first signal of a session, by its initiator."""

    type: Literal["offer"] = "offer"
    data: Annotated[DescriptionData, _is_of("offer")]
    proof: Proof | None = None


class Answer(_Model):
    """The answer to an offer."""

    type: Literal["answer"] = "answer"
    data: Annotated[DescriptionData, _is_of("answer")]
    proof: Proof | None = None


class Candidate(_Model):
    """A trickled ICE candidate (RFC 8838); ``data: null`` ends them, as an empty candidate does."""

    type: Literal["candidate"] = "candidate"
    data: CandidateData | None = None


class Bye(_Model):
    """The sender needs the session no more."""

    type: Literal["bye"] = "bye"
    data: ByeData = ByeData()


class Error(_Model):
    """The session failed; nothing follows."""

    type: Literal["error"] = "error"
    data: ErrorData


Signal = Annotated[Offer | Answer | Candidate | Bye | Error, Field(discriminator="type")]

_adapter: TypeAdapter[Offer | Answer | Candidate | Bye | Error] = TypeAdapter(Signal)


def parse_signal(value: object) -> Offer | Answer | Candidate | Bye | Error:
    """Check a decoded JSON object.

    :raises InvalidSignal: naming the first field that is wrong
    """
    try:
        return _adapter.validate_python(value)
    except ValidationError as exc:
        raise InvalidSignal(describe_validation_error(exc)) from None


def describe_validation_error(exc: ValidationError) -> str:
    """The first problem of ``exc`` in one line, without the input (it may be large, or secret)."""
    first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "message"
    return f"{where}: {first['msg']}"
