"""What sender and receiver say on the stream of a transfer. Sans-IO.

A message is its length in two bytes, big-endian, and one JSON object in UTF-8. In this order::

    sender    offer     the name, the size, and a proof that it knows the code, if there is one
    receiver  resume    how much it has of the file from an earlier try, and the SHA-256 of that
    sender    start     where it begins: there, or at 0 if it has other bytes
    sender    the bytes from there to the end, as they are
    sender    digest    the SHA-256 of the whole file
    receiver  done      it has the file, and its SHA-256 is right

A ``refusal`` of either end, at any time but between the bytes, ends it.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

MAX_MESSAGE: Final = 4096
"""Bytes of a message's JSON. The longest is an offer with a name of 512 characters, each escaped with six."""

MAX_NAME: Final = 512
"""Characters of a file name on the wire. File systems take 255 bytes or characters."""

MAX_SIZE: Final = 2**53 - 1
"""Bytes of a file: the largest number that every JSON parser keeps exactly."""

MAX_TEXT: Final = 300
"""Characters of a reason that is shown to people."""

VERSION: Final = 1
"""Of this exchange. A receiver of another one refuses."""

_PREFIX: Final = 2
"""Bytes of the length."""

_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Size = Annotated[int, Field(ge=0, le=MAX_SIZE)]


class InvalidMessage(ValueError):
    """The peer sent something that is no message of a transfer."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)


class Offer(_Message):
    """A file is offered."""

    type: Literal["offer"] = "offer"
    version: Annotated[int, Field(ge=1, le=65535)] = VERSION
    name: Annotated[str, Field(max_length=MAX_NAME)]
    """As the sender calls it. Nothing is safe about it."""
    size: _Size
    proof: _Digest | None = None


class Resume(_Message):
    """The receiver takes it, and has ``offset`` bytes of it, or of another file of that name."""

    type: Literal["resume"] = "resume"
    offset: _Size
    sha256: _Digest


class Start(_Message):
    """The bytes from ``offset`` on follow."""

    type: Literal["start"] = "start"
    offset: _Size


class Digest(_Message):
    """All bytes were sent."""

    type: Literal["digest"] = "digest"
    sha256: _Digest


class Done(_Message):
    """The file is complete."""

    type: Literal["done"] = "done"


class Refusal(_Message):
    """It doesn't go on."""

    type: Literal["refusal"] = "refusal"
    code: Literal["version", "proof", "busy", "declined", "storage", "mismatch", "protocol", "other"]
    """For programs."""
    reason: Annotated[str, Field(max_length=MAX_TEXT)] = ""
    """For people. Nothing is safe about it."""


Message = Offer | Resume | Start | Digest | Done | Refusal

_adapter: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


def encode(message: Message) -> bytes:
    """The message with its length.

    :raises ValueError: if it is too long, which none within its bounds is
    """
    body = message.model_dump_json(exclude_none=True).encode()
    if len(body) > MAX_MESSAGE:
        raise ValueError(f"a message of {len(body)} bytes")
    return len(body).to_bytes(_PREFIX) + body


class Decoder:
    """Takes messages out of bytes that come in any portions; and the bytes between them, as they are."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """More bytes arrived."""
        self._buffer += data

    def next_message(self) -> Message | None:
        """The next message, or ``None`` while it isn't whole.

        :raises InvalidMessage: if there is none; known as soon as its length is
        """
        if len(self._buffer) < _PREFIX:
            return None
        length = int.from_bytes(self._buffer[:_PREFIX])
        if not 0 < length <= MAX_MESSAGE:
            raise InvalidMessage(f"a message of {length} bytes; from 1 to {MAX_MESSAGE} are allowed")
        end = _PREFIX + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[_PREFIX:end])
        del self._buffer[:end]
        try:
            return _adapter.validate_json(body)
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidMessage(f"{where or 'message'}: {first['msg']}"[:MAX_TEXT]) from None

    def take(self, limit: int) -> bytes:
        """At most ``limit`` of the bytes that arrived and aren't taken yet."""
        taken = bytes(self._buffer[:limit])
        del self._buffer[:limit]
        return taken
