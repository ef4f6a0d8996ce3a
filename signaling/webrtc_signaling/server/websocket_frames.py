"""The frames of a server's WebSocket (RFC 6455, section 5). Sans-IO.

A :class:`FrameReader` that waits for the next frame holds no buffer: ten thousand idle clients have one each.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

from aiohttp import WSCloseCode

from .masking import unmask

_FINAL: Final = 0x80
_RESERVED: Final = 0x70
_CONTROL: Final = 0x08
_MASKED: Final = 0x80
_MAX_CONTROL_LENGTH: Final = 125
"""Section 5.5; a longer length than that has 2 or 8 bytes more (section 5.2)."""

_LENGTH_16: Final = 126
_head_16: Final = struct.Struct("!BBH").pack
_LENGTH_64: Final = 127
_LONG: Final = {
    _LENGTH_16: (2, struct.Struct("!H").unpack_from),
    _LENGTH_64: (8, struct.Struct("!Q").unpack_from),
}
"""How many bytes a long length has, and how it is read."""

_KEY_LENGTH: Final = 4
_CODE_LENGTH: Final = 2

MAX_FRAGMENTS: Final = 1024
"""Fragments of one message: 128 bytes each, if it is the longest one. Browsers and libraries make far longer ones."""


class Opcode(IntEnum):
    """What a frame is."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


MESSAGES: Final = frozenset({Opcode.TEXT, Opcode.BINARY})
"""What a message is."""

_CONTINUATION: Final = Opcode.CONTINUATION
_HEADS: Final = {opcode.value: (opcode, False) for opcode in (_CONTINUATION, *MESSAGES)} | {
    _FINAL | opcode.value: (opcode, True) for opcode in Opcode
}
"""What the first byte of a frame may be: its kind, and whether it is the last one of its message."""


class FrameError(Exception):
    """The other end broke the protocol; ``code`` is the close code that it is told."""

    def __init__(self, code: WSCloseCode, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def frame(opcode: Opcode, payload: bytes) -> bytes:
    """A frame of a server: whole, and not masked."""
    length = len(payload)
    if length <= _MAX_CONTROL_LENGTH:
        return bytes((_FINAL | opcode, length)) + payload
    if length < 1 << 16:
        return _head_16(_FINAL | opcode, _LENGTH_16, length) + payload
    return struct.pack("!BBQ", _FINAL | opcode, _LENGTH_64, length) + payload


def close_frame(code: int) -> bytes:
    """A frame that ends the connection."""
    return frame(Opcode.CLOSE, code.to_bytes(2, "big"))


def close_code(payload: bytes) -> int | None:
    """Why the other end closes, if it says so."""
    return int.from_bytes(payload[:_CODE_LENGTH], "big") if len(payload) >= _CODE_LENGTH else None


class FrameReader:
    """Takes what a client sends apart into messages.

    :param max_size: bytes of a message
    """

    __slots__ = ("_buffer", "_count", "_fragments", "_max_size", "_opcode")

    def __init__(self, max_size: int) -> None:
        self._max_size = max_size
        self._buffer: bytearray | None = None
        """The begin of a frame."""
        self._fragments: bytearray | None = None
        """The begin of a message, which is of the kind ``_opcode``."""
        self._opcode = Opcode.CONTINUATION
        self._count = 0
        """Of the frames that ``_fragments`` came in."""

    def feed(self, data: bytes) -> Iterator[tuple[Opcode, bytes]]:
        """The messages and control frames that are whole with ``data``.

        A fragment with which a message isn't whole yet is an empty ``CONTINUATION``, so that they can be counted.
        What comes after the one at which the caller stops is kept for the next time.

        :raises FrameError: at the first that breaks the protocol; nothing is kept then, and nothing is to be fed again
        """
        buffered: bytes | bytearray = data
        if self._buffer is not None:
            self._buffer += data
            buffered = self._buffer
        position = 0
        try:
            while (frame_ := self._next(buffered, position)) is not None:
                opcode, final, payload, position = frame_
                if final and self._fragments is None and opcode is not _CONTINUATION:
                    yield opcode, payload
                else:
                    yield self._join(opcode, payload, final=final)
        except FrameError:
            self._fragments, position = None, len(buffered)
            raise
        finally:
            self._keep(buffered, position)

    def _keep(self, buffered: bytes | bytearray, position: int) -> None:
        """Keep what begins at ``position``: a frame that isn't whole, or all that the caller hasn't taken."""
        if position == len(buffered):
            self._buffer = None
        elif self._buffer is None:
            self._buffer = bytearray(memoryview(buffered)[position:])
        else:
            del self._buffer[:position]

    def _next(self, data: bytes | bytearray, position: int) -> tuple[Opcode, bool, bytes, int] | None:
        """The frame at ``position``, if all of it is there: what it is, its payload, and where it ends."""
        there = len(data)
        if there < position + 2:
            return None
        first, second = data[position], data[position + 1]
        length, start = second & ~_MASKED, position + 2
        head = _HEADS.get(first)
        if head is None or length == second or (first & _CONTROL and length > _MAX_CONTROL_LENGTH):
            raise _fault(first, second)
        if length > _MAX_CONTROL_LENGTH:
            size, unpack = _LONG[length]
            if there < start + size:
                return None
            length, start = unpack(data, start)[0], start + size
            taken = 0 if self._fragments is None else len(self._fragments)
            if taken + length > self._max_size:
                raise FrameError(
                    WSCloseCode.MESSAGE_TOO_BIG, f"a message of more than {self._max_size} bytes"
                )
        masked = start + _KEY_LENGTH
        end = masked + length
        if there < end:
            return None
        return head[0], head[1], unmask(data[masked:end], data[start:masked]), end

    def _join(self, opcode: Opcode, payload: bytes, *, final: bool) -> tuple[Opcode, bytes]:
        """Put a frame to those before it; returns what is whole by it, or an empty ``CONTINUATION``."""
        if opcode >= Opcode.CLOSE:
            return opcode, payload
        if (opcode == Opcode.CONTINUATION) != (self._fragments is not None):
            raise FrameError(WSCloseCode.PROTOCOL_ERROR, "a message begins amid another, or in its middle")
        if self._fragments is None:
            self._opcode, self._fragments, self._count = opcode, bytearray(payload), 1
            return Opcode.CONTINUATION, b""
        self._fragments += payload
        self._count += 1
        if len(self._fragments) > self._max_size:
            raise FrameError(WSCloseCode.MESSAGE_TOO_BIG, f"a message of more than {self._max_size} bytes")
        if self._count > MAX_FRAGMENTS:
            raise FrameError(
                WSCloseCode.POLICY_VIOLATION, f"a message of more than {MAX_FRAGMENTS} fragments"
            )
        if not final:
            return Opcode.CONTINUATION, b""
        whole, self._fragments = bytes(self._fragments), None
        return self._opcode, whole


def _fault(first: int, second: int) -> FrameError:
    """What is wrong with the head of a frame."""
    if first & _RESERVED:
        reason = "reserved bits without an extension"
    elif not second & _MASKED:
        reason = "a frame without a mask"
    elif first | _FINAL not in _HEADS:
        reason = f"a frame of the kind {first & ~_FINAL}"
    else:
        reason = "a control frame that is long or in parts"
    return FrameError(WSCloseCode.PROTOCOL_ERROR, reason)
