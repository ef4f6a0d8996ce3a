"""What servers of a cluster say to each other. Whoever can write to the backplane may have sent it: all is checked."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Final, Literal, TypeAlias

import msgpack
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from webrtc_transport.errors import InvalidSignal
from webrtc_transport.protocol.signals import describe_validation_error

from ..codec import Codec
from ..limits import MAX_MESSAGE_SIZE
from ..messages import Count, Numbered, PeerText, Token
from .signals import ToClient, encode

MAX_ENTRY_SIZE: Final = 256 * 1024
"""Bytes of the frames that are sent at once. The largest one fits in."""

_MAX_FRAMES: Final = 2048
"""Frames that are sent at once; the shortest have some 120 bytes."""

_MAX_BODIES: Final = 512
"""Messages in one frame. The decoder reserves that many places before it has seen any of them."""


class _Frame(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    peer: PeerText
    """The recipient of the messages."""
    flow: Token
    """Names the numbers of the messages. Whoever begins to count anew makes a new one."""


class Delivery(_Frame):
    """Deliver messages, the ``seq`` of which belongs to the flow."""

    kind: Literal["delivery"] = "delivery"
    bodies: Annotated[
        list[Annotated[bytes, Field(max_length=MAX_MESSAGE_SIZE)]],
        Field(min_length=1, max_length=_MAX_BODIES),
    ]
    """The messages, as a client gets them in JSON."""


class Progress(_Frame):
    """How far a flow has come."""

    kind: Literal["progress"] = "progress"
    received: Count
    """The last message that is queued for the peer."""
    taken: Count
    """The last one up to which the peer has all."""


class Unknown(_Frame):
    """The flow isn't known (any more): begin anew."""

    kind: Literal["unknown"] = "unknown"
    is_here: bool
    """Whether the peer is; if not, find it first."""


Frame: TypeAlias = Delivery | Progress | Unknown

_FRAME: Final[TypeAdapter[Frame]] = TypeAdapter(Annotated[Frame, Field(discriminator="kind")])


def deliveries(peer: str, flow: str, messages: Iterable[Numbered[ToClient]]) -> Iterator[Delivery]:
    """Frames for messages, in order: as few as there can be."""
    bodies: list[bytes] = []
    size = 0
    for message in messages:
        body = encode(message, Codec.JSON)
        if bodies and (size + len(body) > MAX_MESSAGE_SIZE or len(bodies) == _MAX_BODIES):
            yield Delivery.model_construct(kind="delivery", peer=peer, flow=flow, bodies=bodies)
            bodies, size = [], 0
        bodies.append(body)
        size += len(body)
    if bodies:
        yield Delivery.model_construct(kind="delivery", peer=peer, flow=flow, bodies=bodies)


def pack(frames: Iterable[Frame]) -> Iterator[bytes]:
    """Entries of at most ``MAX_ENTRY_SIZE`` bytes, in order."""
    packed: list[bytes] = []
    size = 0
    for frame in frames:
        data = msgpack.packb(vars(frame))
        assert isinstance(data, bytes)
        if packed and (size + len(data) > MAX_ENTRY_SIZE or len(packed) == _MAX_FRAMES):
            yield b"".join(packed)
            packed, size = [], 0
        packed.append(data)
        size += len(data)
    if packed:
        yield b"".join(packed)


def unpack(entry: bytes) -> Iterator[Frame]:
    """The frames of an entry, until one is malformed.

    :raises InvalidSignal: if one is
    """
    if len(entry) > MAX_ENTRY_SIZE:
        raise InvalidSignal(f"an entry of {len(entry)} bytes; {MAX_ENTRY_SIZE} are allowed")
    unpacker = msgpack.Unpacker(
        strict_map_key=True,
        max_buffer_size=MAX_ENTRY_SIZE,
        max_str_len=MAX_MESSAGE_SIZE,
        max_bin_len=MAX_MESSAGE_SIZE,
        max_array_len=_MAX_BODIES,
        max_map_len=16,
        max_ext_len=0,
    )
    unpacker.feed(entry)
    try:
        for value in unpacker:
            yield _FRAME.validate_python(value)
    except ValidationError as exc:
        raise InvalidSignal(describe_validation_error(exc)) from None
    except ValueError as exc:
        raise InvalidSignal(f"not MessagePack: {type(exc).__name__} {exc}") from None
