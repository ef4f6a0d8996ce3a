"""The messages of the rendezvous protocol, version 1, and how they are checked.

``docs/reference/signaling-protocol.md`` describes it as a whole, with examples that are tested. In short:

- A frame of a WebSocket, or a line of a poll, is one message: a map with ``"version": 1`` and a ``"type"``. Unknown
  fields are ignored.
- A client registers by its answer to a challenge. Then peers exchange signals: an offer opens a session, and a ``bye``
  or an ``error`` ends it. The server checks them, and passes on what it has checked and nothing else.
- Signals are counted twice: by ``index`` within a session, from end to end, and by ``seq`` and ``ack`` within a
  registration, so that a connection may break and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Final, Generic, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from webrtc_transport.errors import InvalidSignal
from webrtc_transport.protocol.limits import (
    MAX_PROOF_KEY_LENGTH,
    MAX_PROOF_SIGNATURE_LENGTH,
    MAX_REASON_LENGTH,
)
from webrtc_transport.protocol.signals import (
    Base64Bytes,
    ErrorData,
    Signal,
    describe_validation_error,
)

from .limits import (
    MAX_ICE_SERVERS,
    MAX_ICE_TEXT_LENGTH,
    MAX_PEER_ID_LENGTH,
    MAX_SESSION_SIGNALS,
    MAX_TOKEN_LENGTH,
)

VERSION: Final = 1
MAX_NUMBER: Final = 2**53 - 1
"""Where JavaScript's integers end."""
_REGISTER_CONTEXT: Final = "webrtc-signaling-register/1"
_SIGNAL_TYPES: Final = frozenset({"offer", "answer", "candidate", "bye", "error"})

MAX_LIFETIME: Final = 7 * 86_400
"""Seconds."""

PeerText = Annotated[
    str, Field(max_length=MAX_PEER_ID_LENGTH, pattern=r"^[1-9A-HJ-NP-Za-km-z]+$", strict=True)
]
Token = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{16,64}$", strict=True)]
Count = Annotated[int, Field(ge=0, le=MAX_NUMBER, strict=True)]

_M_co = TypeVar("_M_co", covariant=True)


class UnsupportedVersion(InvalidSignal):
    """The message is of another version of the protocol."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class Challenge(_Model):
    """Server to client, first of all: sign this."""

    type: Literal["challenge"] = "challenge"
    nonce: Token
    connection: Token | None = None
    """Names a connection by long-poll in its further requests. Only its client knows it."""


class Register(_Model):
    """Client to server: who we are, the proof, and how far we got."""

    type: Literal["register"] = "register"
    peer: PeerText
    public_key: Annotated[Base64Bytes, Field(max_length=MAX_PROOF_KEY_LENGTH)] | None = None
    signature: Annotated[Base64Bytes, Field(max_length=MAX_PROOF_SIGNATURE_LENGTH)] | None = None
    instance: Token
    received: Count | None = None
    """``None`` on a client's first connection."""
    token: Annotated[str, Field(max_length=MAX_TOKEN_LENGTH, strict=True)] | None = Field(
        default=None, repr=False
    )
    """Of the server's operator, if the server asks for one."""


class Registered(_Model):
    """Server to client: signals reach you now."""

    type: Literal["registered"] = "registered"
    peer: PeerText
    proven: bool
    resumed: bool
    received: Count
    grace: Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]
    """Seconds."""
    notice: Annotated[str, Field(max_length=MAX_REASON_LENGTH)] | None = None
    turn: bool | None = None
    """Whether the server gives credentials for TURN to who asks."""


class IceServersRequest(_Model):
    """Client to server: which ICE servers may we use?"""

    type: Literal["get-ice-servers"] = "get-ice-servers"


IceText = Annotated[str, Field(max_length=MAX_ICE_TEXT_LENGTH, strict=True)]


class IceServerData(_Model):
    """What a browser's ``RTCIceServer`` has."""

    urls: Annotated[tuple[IceText, ...], Field(min_length=1, max_length=MAX_ICE_SERVERS)]
    username: IceText
    credential: IceText = Field(repr=False)


class IceServers(_Model):
    """Server to client: these, for ``lifetime`` seconds from now."""

    type: Literal["ice-servers"] = "ice-servers"
    servers: Annotated[tuple[IceServerData, ...], Field(max_length=MAX_ICE_SERVERS)]
    lifetime: Annotated[float, Field(ge=0, le=MAX_LIFETIME, allow_inf_nan=False)]


class Ack(_Model):
    """Everything up to this number has arrived."""

    type: Literal["ack"] = "ack"
    ack: Count


class Failure(_Model):
    """Server to client: this connection is over."""

    type: Literal["error"] = "error"
    data: ErrorData


class SessionFailure(_Model):
    """Server to client: the session with ``peer`` is over."""

    type: Literal["error"] = "error"
    peer: PeerText
    session: Token
    data: ErrorData


class Route(_Model):
    """Who sends to whom, in which session."""

    sender: Annotated[PeerText, Field(alias="from")]
    recipient: Annotated[PeerText, Field(alias="to")]
    session: Token
    index: Annotated[Count, Field(lt=MAX_SESSION_SIGNALS)]


class Envelope(Route):
    """One signal, on its way."""

    signal: Signal


class Malformed(Route):
    """A signal with a valid route whose content isn't valid: its session ends, and nothing more."""

    reason: str


@dataclass(slots=True)
class Numbered(Generic[_M_co]):
    """A message that is sent again until it is acknowledged."""

    message: _M_co
    seq: int
    ack: int


class _Numbers(_Model):
    seq: Annotated[Count, Field(ge=1)]
    ack: Count


FromClient: TypeAlias = Envelope | IceServersRequest
"""What a client sends again until it is acknowledged."""

ToClient: TypeAlias = Envelope | SessionFailure | IceServers
"""What a server sends again until it is acknowledged."""

ClientMessage: TypeAlias = Register | Ack | Numbered[Envelope | Malformed | IceServersRequest]
"""What a server receives."""

ServerMessage: TypeAlias = (
    Challenge | Registered | Ack | Failure | Numbered[Envelope | Malformed | SessionFailure | IceServers]
)
"""What a client receives."""

Message: TypeAlias = Challenge | Register | Registered | Ack | Failure | Numbered[FromClient | ToClient]
"""What is sent."""


def register_payload(*, nonce: str, peer: str) -> bytes:
    """What a client signs to register. It names its use, so the signature is good for nothing else."""
    return "\n".join((_REGISTER_CONTEXT, nonce, peer)).encode()


def error_data(code: str, message: str) -> ErrorData:
    """An error, with its text cut to what a message may carry."""
    return ErrorData(code=code, message=message[:MAX_REASON_LENGTH])


def parse_client_message(value: object) -> ClientMessage:
    """Check a decoded message of a client.

    :raises InvalidSignal: naming the first field that is wrong
    """
    fields = _check_head(value)
    match fields.get("type"):
        case "register":
            return _validate(Register, fields)
        case "ack":
            return _validate(Ack, fields)
        case "get-ice-servers":
            return _numbered(partial(_validate, IceServersRequest), fields)
        case str(kind) if kind in _SIGNAL_TYPES:
            return _numbered(_parse_envelope, fields)
        case kind:
            raise InvalidSignal(f"type: {_name(kind)} is no message of a client")


def parse_server_message(value: object) -> ServerMessage:
    """Check a decoded message of a server.

    :raises InvalidSignal: naming the first field that is wrong
    """
    fields = _check_head(value)
    match fields.get("type"):
        case str(kind) if kind in _UNNUMBERED:
            return _validate(_UNNUMBERED[kind], fields)
        case "error" if "from" not in fields:
            if "session" not in fields:
                return _validate(Failure, fields)
            return _numbered(partial(_validate, SessionFailure), fields)
        case "ice-servers":
            return _numbered(partial(_validate, IceServers), fields)
        case str(kind) if kind in _SIGNAL_TYPES:
            return _numbered(_parse_envelope, fields)
        case kind:
            raise InvalidSignal(f"type: {_name(kind)} is no message of a server")


def parse_envelope(value: object) -> Envelope | Malformed:
    """Check a decoded envelope that a service carried as it was, without numbers of its own.

    :raises InvalidSignal: if it doesn't say whose session it belongs to
    """
    return _parse_envelope(_check_head(value))


def to_wire(message: Message | Envelope, *, binary: bool) -> dict[str, object]:
    """A message as a map; ``binary`` leaves bytes as they are, instead of base64."""
    fields: dict[str, object] = {"version": VERSION}
    body: Challenge | Register | Registered | Ack | Failure | FromClient | ToClient
    if isinstance(message, Numbered):
        fields |= {"seq": message.seq, "ack": message.ack}
        body = message.message
    else:
        body = message
    mode: Literal["python", "json"] = "python" if binary else "json"
    if not isinstance(body, Envelope):
        return fields | body.model_dump(mode=mode, exclude_none=True)
    signal = body.signal.model_dump(mode=mode)
    if signal.get("proof", ...) is None:
        del signal["proof"]
    return fields | body.model_dump(by_alias=True, exclude={"signal"}) | signal


_Model_t = TypeVar("_Model_t", bound=BaseModel)
_N = TypeVar("_N")

_UNNUMBERED: Final[Mapping[str, type[Challenge | Registered | Ack]]] = {
    "challenge": Challenge,
    "registered": Registered,
    "ack": Ack,
}


def _check_head(value: object) -> Mapping[str, object]:
    if not isinstance(value, dict):
        raise InvalidSignal("a message is a map")
    version = value.get("version")
    if version != VERSION or not isinstance(version, int):
        raise UnsupportedVersion(f"version: {_name(version)} is not supported; use {VERSION}")
    return value


def _validate(model: type[_Model_t], fields: Mapping[str, object]) -> _Model_t:
    try:
        return model.model_validate(fields, by_alias=True, by_name=False)
    except ValidationError as exc:
        raise InvalidSignal(describe_validation_error(exc)) from None


def _numbered(parse: Callable[[Mapping[str, object]], _N], fields: Mapping[str, object]) -> Numbered[_N]:
    seq, ack = fields.get("seq"), fields.get("ack")
    # The usual case, in a tenth of the time. True is an int, but no number.
    if type(seq) is int and type(ack) is int and 1 <= seq <= MAX_NUMBER and 0 <= ack <= MAX_NUMBER:
        return Numbered(parse(fields), seq, ack)
    numbers = _validate(_Numbers, fields)
    return Numbered(parse(fields), numbers.seq, numbers.ack)


def _parse_envelope(fields: Mapping[str, object]) -> Envelope | Malformed:
    try:
        return _validate(Envelope, {**fields, "signal": fields})
    except InvalidSignal as exc:
        route = _validate(Route, fields)
        return Malformed(**dict(route), reason=str(exc))


def _name(value: object) -> str:
    # Nothing else: the repr of nested values may be long, or nest too deeply to be made.
    return repr(value[:32]) if isinstance(value, str) else f"a {type(value).__name__}"
