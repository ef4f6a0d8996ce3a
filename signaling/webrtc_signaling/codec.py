"""Messages to frames and back: JSON in text frames, MessagePack in binary ones."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgpack
import pydantic_core

from webrtc_transport.errors import InvalidSignal

from .envelopes import check_size, decode_json
from .limits import MAX_COLLECTION_LENGTH, MAX_MESSAGE_SIZE
from .messages import Message, to_wire


class Codec(StrEnum):
    """An encoding; its value is the name of the WebSocket subprotocol."""

    JSON = "webrtc-signaling.v1.json"
    MSGPACK = "webrtc-signaling.v1.msgpack"


Frame = str | bytes
"""The content of a text or a binary frame."""

_MSGPACK_LIMITS: Final[Mapping[str, int]] = {
    "max_str_len": MAX_MESSAGE_SIZE,
    "max_bin_len": MAX_MESSAGE_SIZE,
    "max_array_len": MAX_COLLECTION_LENGTH,
    "max_map_len": MAX_COLLECTION_LENGTH,
    "max_ext_len": 0,
}


def encode(message: Message, codec: Codec) -> Frame:
    """Make a frame.

    :raises InvalidSignal: if it would be larger than ``MAX_MESSAGE_SIZE`` bytes
    """
    if codec is Codec.MSGPACK:
        packed = msgpack.packb(to_wire(message, binary=True))
        assert isinstance(packed, bytes)
        return check_size(packed)
    return check_size(pydantic_core.to_json(to_wire(message, binary=False))).decode()


def decode(frame: Frame, codec: Codec) -> object:
    """Take a frame apart. Of equal keys in a map, the last counts.

    :raises InvalidSignal: if it isn't of this encoding, or announces more than a message can have
    """
    match codec, frame:
        case Codec.JSON, str():
            return _decode_json(frame)
        case Codec.MSGPACK, bytes():
            return _decode_msgpack(check_size(frame))
        case _:
            expected = "text" if codec is Codec.JSON else "binary"
            raise InvalidSignal(f"the subprotocol {codec} has {expected} frames")


def _decode_json(text: str) -> object:
    try:
        data = text.encode()
    except UnicodeEncodeError as exc:
        raise InvalidSignal(f"not JSON: {exc.reason}") from None
    return decode_json(check_size(data))


def _decode_msgpack(data: bytes) -> object:
    try:
        return msgpack.unpackb(data, strict_map_key=True, **_MSGPACK_LIMITS)
    except ValueError as exc:
        raise InvalidSignal(f"not MessagePack: {type(exc).__name__} {exc}") from None
