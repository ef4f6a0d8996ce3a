"""A signal on its way through the server: checked where it comes in, and written once.

From there on it is an address and a text. Each field in the text was checked, and nothing else is in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Final, Literal, NotRequired, TypeAlias

import pydantic_core
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

# Pydantic needs this one before Python 3.12.
from typing_extensions import TypedDict

from webrtc_transport.errors import InvalidSignal
from webrtc_transport.protocol.limits import MAX_CANDIDATE_LENGTH, MAX_SDP_LENGTH
from webrtc_transport.protocol.signals import Answer, ByeData, ErrorData, Offer, Proof

from ..codec import Codec, decode_bytes, encode_bytes
from ..envelopes import check_size, decode_json
from ..limits import MAX_SESSION_SIGNALS
from ..messages import (
    VERSION,
    Ack,
    Challenge,
    Count,
    Envelope,
    Failure,
    IceServers,
    IceServersRequest,
    Malformed,
    Numbered,
    PeerText,
    Register,
    Registered,
    SessionFailure,
    Token,
    parse_client_message,
    parse_envelope,
    parse_server_message,
)

_ENDS: Final = frozenset({"bye", "error"})
_JSON: Final = Codec.JSON
"""Python 3.11 takes a while to find a member of an enumeration, and each message asks for this one."""


@dataclass(slots=True)
class RoutedSignal:
    """A valid signal, and whose it is."""

    sender: str
    recipient: str
    session: str
    type: str
    ends_session: bool
    text: bytes
    """All fields but the version and the numbers, in JSON, with the brace at the end."""


FromClient: TypeAlias = Register | Ack | Numbered[RoutedSignal | Malformed | IceServersRequest]
"""What a client sends."""

ToClient: TypeAlias = RoutedSignal | SessionFailure | IceServers
"""What is sent again until the client acknowledges it."""

FromServer: TypeAlias = Challenge | Registered | Ack | Failure | Numbered[ToClient]
"""What the server sends."""


def parse(data: bytes, codec: Codec, *, is_text: bool) -> FromClient:
    """Check what a client sent in one frame; ``is_text`` if it is a text frame.

    :raises InvalidSignal: naming the first field that is wrong
    """
    if is_text and codec is _JSON:
        usual = _parse_usual(data)
        if usual is not None:
            return usual
    message = parse_client_message(decode_bytes(data, codec, is_text=is_text))
    if not isinstance(message, Numbered):
        return message
    body = message.message
    return Numbered(routed(body) if isinstance(body, Envelope) else body, message.seq, message.ack)


def parse_delivery(data: bytes) -> Numbered[ToClient | Malformed]:
    """Check a message that another server sent for a client, in JSON.

    :raises InvalidSignal: naming the first field that is wrong
    """
    usual = _parse_usual(data)
    if isinstance(usual, Numbered):
        return usual
    message = parse_server_message(decode_json(data))
    if not isinstance(message, Numbered):
        raise InvalidSignal(f"type: {message.type} is nothing to deliver")
    body = message.message
    return Numbered(routed(body) if isinstance(body, Envelope) else body, message.seq, message.ack)


def encode(message: FromServer, codec: Codec) -> bytes:
    """What is sent to a client, or to another server for it."""
    if not isinstance(message, Numbered):
        return encode_bytes(message, codec)
    body = message.message
    if not isinstance(body, RoutedSignal):
        return encode_bytes(Numbered(body, message.seq, message.ack), codec)
    text = b'{"version":%d,"seq":%d,"ack":%d,%b' % (VERSION, message.seq, message.ack, body.text)
    if codec is _JSON:
        return text
    envelope = parse_envelope(decode_json(text))
    assert isinstance(envelope, Envelope), "it was checked"
    return encode_bytes(Numbered(envelope, message.seq, message.ack), codec)


def routed(envelope: Envelope) -> RoutedSignal:
    """A signal that was checked."""
    signal = envelope.signal
    proof = signal.proof if isinstance(signal, Offer | Answer) else None
    return _written(
        envelope.sender,
        envelope.recipient,
        envelope.session,
        index=envelope.index,
        kind=signal.type,
        data=signal.data,
        proof=proof,
    )


# With a signal, the message of nearly every frame. All of it is checked in a single pass, to dictionaries: they take a
# quarter less time than models. What is refused here is looked at again by the code that says what is wrong, so this
# may be stricter than the models, and never laxer.

_Route = TypedDict(
    "_Route",
    {
        "version": Annotated[int, Field(ge=VERSION, le=VERSION, strict=True)],
        "seq": Annotated[Count, Field(ge=1)],
        "ack": Count,
        "from": PeerText,
        "to": PeerText,
        "session": Token,
        "index": Annotated[Count, Field(lt=MAX_SESSION_SIGNALS)],
    },
)


class _OfferData(TypedDict):
    type: Literal["offer"]
    sdp: Annotated[str, Field(max_length=MAX_SDP_LENGTH)]


class _Offer(_Route):
    type: Literal["offer"]
    data: _OfferData
    proof: NotRequired[Proof | None]


class _AnswerData(TypedDict):
    type: Literal["answer"]
    sdp: Annotated[str, Field(max_length=MAX_SDP_LENGTH)]


class _Answer(_Route):
    type: Literal["answer"]
    data: _AnswerData
    proof: NotRequired[Proof | None]


class _CandidateData(TypedDict):
    candidate: Annotated[str, Field(max_length=MAX_CANDIDATE_LENGTH)]
    sdpMid: NotRequired[Annotated[str | None, Field(max_length=16)]]
    sdpMLineIndex: NotRequired[Annotated[int | None, Field(ge=0, le=255)]]
    usernameFragment: NotRequired[Annotated[str | None, Field(max_length=256)]]


class _Candidate(_Route):
    type: Literal["candidate"]
    data: _CandidateData | None


class _Bye(_Route):
    type: Literal["bye"]
    data: ByeData


class _Error(_Route):
    type: Literal["error"]
    data: ErrorData


class _Ack(TypedDict):
    type: Literal["ack"]
    version: Annotated[int, Field(ge=VERSION, le=VERSION, strict=True)]
    ack: Count


_Usual: TypeAlias = _Offer | _Answer | _Candidate | _Bye | _Error | _Ack

_validate_usual: Final[Callable[[bytes], _Usual]] = TypeAdapter(
    Annotated[_Usual, Field(discriminator="type")],
    # Or else pydantic keeps the ids of the last thousands of peers.
    config=ConfigDict(cache_strings="none"),
).validator.validate_json


def _parse_usual(data: bytes) -> Numbered[RoutedSignal] | Ack | None:
    """A valid signal, or an acknowledgement. Of anything else, others find out what it is, or what is wrong with it."""
    try:
        usual = _validate_usual(check_size(data))
    except ValidationError:
        return None
    if usual["type"] == "ack":
        return Ack(ack=usual["ack"])
    signal = _written(
        usual["from"],
        usual["to"],
        usual["session"],
        index=usual["index"],
        kind=usual["type"],
        data=usual["data"],
        proof=usual.get("proof"),
    )
    return Numbered(signal, usual["seq"], usual["ack"])


def _written(
    sender: str, recipient: str, session: str, *, index: int, kind: str, data: object, proof: object
) -> RoutedSignal:
    # Peer ids and session ids have no character that JSON escapes: their patterns see to that.
    head = (
        f'"from":"{sender}","to":"{recipient}","session":"{session}","index":{index},"type":"{kind}","data":'
    )
    text = head.encode() + pydantic_core.to_json(data)
    if proof is not None:
        text += b',"proof":' + pydantic_core.to_json(proof)
    return RoutedSignal(sender, recipient, session, kind, kind in _ENDS, text + b"}")
