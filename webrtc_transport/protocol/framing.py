"""The frames that libp2p puts on a data channel (libp2p specs, webrtc/README.md, "Multiplexing").

A channel carries one byte stream in each direction, cut into frames: a varint with the length of the body, then
the body, a protobuf message of an optional flag (field 1) and optional payload (field 2). SCTP's message
boundaries mean nothing: js and go send the length and the body of a frame as two messages, and one message may
hold many frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final, NamedTuple

from ..errors import FramingError
from .limits import MAX_FRAME_LENGTH, MAX_FRAME_PAYLOAD
from .protobuf import (
    DATA_TAG,
    ProtobufError,
    TruncatedError,
    decode_message,
    decode_varint,
    encode_message,
    encode_varint,
)


class Flag(IntEnum):
    """What a frame says about its stream, beside data."""

    FIN = 0
    """The sender has sent its last byte."""
    STOP_SENDING = 1
    """The sender discards what it still receives."""
    RESET = 2
    """The sender gave the stream up."""
    FIN_ACK = 3
    """The sender has received a FIN, and so all that came before it."""


MAX_SHORT_PAYLOAD: Final = 125
"""Bytes of payload up to which a frame without a flag has lengths of one byte, its own and the payload's."""

_SHORT_PREFIXES: Final = tuple(bytes((size + 2, DATA_TAG, size)) for size in range(MAX_SHORT_PAYLOAD + 1))
"""What is in front of such a payload, by its size."""

SHORT_PREFIX: Final = 3
"""Bytes of it."""

_FLAGS: Final[Mapping[int | None, Flag]] = {flag.value: flag for flag in Flag}


class Frame(NamedTuple):
    """A frame. If it has both parts, the payload comes before what the flag says."""

    flag: Flag | None
    payload: bytes


_FLAG_FRAMES: Final = tuple(b"\x02" + encode_message(flag, None) for flag in Flag)
"""Frames of nothing but a flag, by its value: two bytes and their length."""

_COMMON_MESSAGES: Final[Mapping[bytes, tuple[Frame, ...]]] = {
    **{_FLAG_FRAMES[flag]: (Frame(flag, b""),) for flag in Flag},
    _FLAG_FRAMES[Flag.FIN] + _FLAG_FRAMES[Flag.STOP_SENDING]: (
        Frame(Flag.FIN, b""),
        Frame(Flag.STOP_SENDING, b""),
    ),
}
"""Messages that end streams, of which each has several."""

_LONGEST_COMMON: Final = max(map(len, _COMMON_MESSAGES))


def encode_frame(payload: bytes | memoryview = b"", flag: Flag | None = None) -> bytes:
    """Encode a frame with its length prefix.

    :param payload: at most ``MAX_FRAME_PAYLOAD`` bytes, which leaves room for a flag
    :raises ValueError: if the frame would have more than ``MAX_FRAME_LENGTH`` bytes
    """
    size = len(payload)
    if flag is None and 0 < size <= MAX_SHORT_PAYLOAD:
        return _SHORT_PREFIXES[size] + payload
    if flag is not None and not size:
        return _FLAG_FRAMES[flag]
    body = encode_message(flag, bytes(payload) if payload else None)
    frame = encode_varint(len(body)) + body
    if len(frame) > MAX_FRAME_LENGTH:
        raise ValueError(f"a frame holds {MAX_FRAME_PAYLOAD} bytes and a flag, not {size} bytes")
    return frame


class FrameDecoder:
    """Cuts the messages of one channel into frames.

    After a :exc:`~webrtc_transport.errors.FramingError` the beginning of the next frame is unknown, so the
    stream has to be reset and the decoder is of no more use.
    """

    __slots__ = ("_missing", "_partial")

    def __init__(self) -> None:
        self._partial = bytearray()
        # Bytes that `_partial` certainly lacks: while its length prefix is incomplete that is one.
        self._missing = 0

    @property
    def buffered(self) -> int:
        """Bytes of a frame that has not arrived whole, fewer than ``MAX_FRAME_LENGTH``."""
        return len(self._partial)

    def short_payload(self, data: bytes) -> bytes | None:
        """The payload, if the next message of the channel is a single frame of nothing but a short payload.

        Otherwise nothing has happened, and :meth:`feed` takes the message.
        """
        size = len(data) - SHORT_PREFIX
        if not self._partial and 0 < size <= MAX_SHORT_PAYLOAD and data.startswith(_SHORT_PREFIXES[size]):
            return data[SHORT_PREFIX:]
        return None

    def feed(self, data: bytes) -> list[Frame]:
        """Take the next message of the channel and return the frames that are complete with it.

        A flag of an unknown value is left out: proto2 gives it the standing of an unknown field, and go-libp2p
        ignores it too. Frames that then have neither flag nor payload say nothing and are left out as a whole,
        so a message full of them takes no memory.

        :raises FramingError: if a length prefix is no shortest-form varint or announces a frame of more than
            ``MAX_FRAME_LENGTH`` bytes, which is found before any of the frame is stored, or if a body isn't the
            protobuf message. Frames before the bad one are lost with it.
        """
        if len(data) <= _LONGEST_COMMON and not self._partial and data in _COMMON_MESSAGES:
            return list(_COMMON_MESSAGES[data])
        frames: list[Frame] = []
        view = memoryview(data)
        while view:
            if self._partial:
                taken = view[: self._missing]
                view = view[len(taken) :]
                self._partial += taken
                start, end = _measure(self._partial)
                self._missing = end - len(self._partial)
                if self._missing:
                    continue
                body = memoryview(bytes(self._partial))[start:]
                self._partial.clear()
            else:
                start, end = _measure(view)
                if end > len(view):
                    self._partial += view
                    self._missing = end - len(view)
                    break
                body = view[start:end]
                view = view[end:]
            frame = _decode_body(body)
            if frame.payload or frame.flag is not None:
                frames.append(frame)
        return frames

    def finish(self) -> None:
        """Tell that the channel is closed.

        :raises FramingError: if it was closed inside of a frame
        """
        if self._partial:
            raise FramingError(f"the channel was closed {len(self._partial)} bytes into a frame")


def _measure(data: bytearray | memoryview) -> tuple[int, int]:
    """Where the body of the frame at the beginning of ``data`` starts, and where it ends.

    The end may lie behind the end of ``data``. If the length prefix is incomplete it lies there by one byte,
    and the start is unknown.
    """
    try:
        length, start = decode_varint(data)
    except TruncatedError:
        return 0, len(data) + 1
    except ProtobufError as exc:
        raise FramingError(f"length of a frame: {exc}") from None
    if start + length > MAX_FRAME_LENGTH:
        raise FramingError(f"a frame has {start + length} bytes, over the limit of {MAX_FRAME_LENGTH}")
    return start, start + length


def _decode_body(body: memoryview) -> Frame:
    try:
        flag, payload = decode_message(body)
    except ProtobufError as exc:
        raise FramingError(f"body of a frame: {exc}") from None
    return Frame(_FLAGS.get(flag), payload or b"")
