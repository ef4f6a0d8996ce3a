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
    data = encode_bytes(message, codec)
    return data if codec is Codec.MSGPACK else data.decode()


def encode_bytes(message: Message, codec: Codec) -> bytes:
    """The same as bytes: for JSON, its text in UTF-8."""
    if codec is Codec.MSGPACK:
        packed = msgpack.packb(to_wire(message, binary=True))
        assert isinstance(packed, bytes)
        return check_size(packed)
    return check_size(pydantic_core.to_json(to_wire(message, binary=False)))


def decode(frame: Frame, codec: Codec) -> object:
    """Take a frame apart. Of equal keys in a map, the last counts.

    :raises InvalidSignal: if it isn't of this encoding, or announces more than a message can have
    """
    if isinstance(frame, bytes):
        return decode_bytes(frame, codec, is_text=False)
    # The halves of surrogate pairs are no UTF-8, so the decoder refuses them.
    return decode_bytes(frame.encode(errors="surrogatepass"), codec, is_text=True)


def decode_bytes(data: bytes, codec: Codec, *, is_text: bool) -> object:
    """The same for the bytes of a frame; ``is_text`` if it is a text frame. Text that isn't UTF-8 isn't JSON."""
    if is_text is not (codec is Codec.JSON):
        expected = "text" if codec is Codec.JSON else "binary"
        raise InvalidSignal(f"the subprotocol {codec} has {expected} frames")
    return decode_json(check_size(data)) if is_text else _decode_msgpack(check_size(data))


def _decode_msgpack(data: bytes) -> object:
    try:
        return msgpack.unpackb(data, strict_map_key=True, **_MSGPACK_LIMITS)
    except ValueError as exc:
        raise InvalidSignal(f"not MessagePack: {type(exc).__name__} {exc}") from None
