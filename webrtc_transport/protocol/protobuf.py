"""The one message shape that libp2p uses here: field 1 is an enum, field 2 is bytes or a string.

Keys, signaling messages and stream frames all have it. It is coded by hand because protobuf's generated code
is tied to the version of its runtime, which libp2p pins for its own, and two fields are simpler than that.

Sources: https://protobuf.dev/programming-guides/encoding for messages, and multiformats' unsigned-varint for
the integers in them: shortest form only, at most 9 bytes (63 bits).
"""

from __future__ import annotations

from typing import Final

_MORE: Final = 0x80
"""Set in every byte of a varint but the last."""

_MAX_VARINT_LENGTH: Final = 9
_MAX_SKIPPED_VARINT_LENGTH: Final = 10
"""A negative protobuf integer takes 10 bytes; no field that is read here can be negative."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_KIND_TAG: Final = 1 << 3 | _VARINT
DATA_TAG: Final = 2 << 3 | _BYTES
"""Precedes the length of field 2."""


class ProtobufError(ValueError):
    """The input is no valid varint or message."""


class TruncatedError(ProtobufError):
    """The input ends too early: it is the beginning of something that may be valid."""


def encode_varint(value: int) -> bytes:
    """Encode ``value`` in 1 to 9 bytes.

    :raises ValueError: if ``value`` is negative or has more than 63 bits
    """
    if 0 <= value < _MORE:
        return value.to_bytes(1)
    if not 0 <= value < 1 << 7 * _MAX_VARINT_LENGTH:
        raise ValueError(f"a varint holds 0 to 2^63 - 1, not {value}")
    encoded = bytearray()
    while value >= _MORE:
        encoded.append(value & 0x7F | _MORE)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def decode_varint(data: bytes | bytearray | memoryview, offset: int = 0) -> tuple[int, int]:
    """Decode the varint at ``offset``; returns its value and the offset of what follows.

    :raises TruncatedError: if ``data`` ends before the varint does
    :raises ProtobufError: if it has more than 9 bytes, or more than it needs
    """
    value = shift = 0
    for byte in data[offset : offset + _MAX_VARINT_LENGTH]:
        offset += 1
        if byte < _MORE:
            if not byte and shift:
                raise ProtobufError("a varint has superfluous zeros at its end")
            return value | byte << shift, offset
        value |= (byte & 0x7F) << shift
        shift += 7
    if shift == 7 * _MAX_VARINT_LENGTH:
        raise ProtobufError(f"a varint has more than {_MAX_VARINT_LENGTH} bytes")
    raise TruncatedError("the data ends inside of a varint")


def encode_message(kind: int | None, data: bytes | bytearray | memoryview | None) -> bytes:
    """Encode a message; ``None`` leaves a field out. Zero and empty are written, as in proto2.

    :raises ValueError: if ``kind`` is negative or has more than 63 bits
    """
    encoded = b"" if kind is None else bytes((_KIND_TAG,)) + encode_varint(kind)
    if data is not None:
        encoded += bytes((DATA_TAG,)) + encode_varint(len(data)) + data
    return encoded


def decode_message(data: bytes | bytearray | memoryview) -> tuple[int | None, bytes | None]:
    """Decode a message into its kind and data, each ``None`` if absent.

    Unknown fields are skipped, and of a repeated field the last one counts, as protobuf demands.

    :raises TruncatedError: if ``data`` ends inside of a field
    :raises ProtobufError: if a varint is malformed, or a field is of the wrong type
    """
    kind: int | None = None
    content: bytes | None = None
    offset, end = 0, len(data)
    while offset < end:
        tag = data[offset]
        if tag == DATA_TAG:
            size, start = decode_varint(data, offset + 1)
            offset = start + size
            content = bytes(data[start:offset])
        elif tag == _KIND_TAG:
            kind, offset = decode_varint(data, offset + 1)
        else:
            offset = _skip_field(data, offset)
    if offset > end:
        raise TruncatedError("the data ends inside of a field")
    return kind, content


def _skip_field(data: bytes | bytearray | memoryview, offset: int) -> int:
    """The offset of what follows the unknown field at ``offset``; it may lie behind the end of ``data``."""
    tag, offset = decode_varint(data, offset)
    number, wire_type = tag >> 3, tag & 7
    if number in (0, 1, 2):
        raise ProtobufError(f"field {number} can't have wire type {wire_type}")
    if wire_type == _VARINT:
        return _skip_varint(data, offset)
    if wire_type == _BYTES:
        size, offset = decode_varint(data, offset)
        return offset + size
    if wire_type == _FIXED64:
        return offset + 8
    if wire_type == _FIXED32:
        return offset + 4
    raise ProtobufError(f"field {number} has the unsupported wire type {wire_type}")


def _skip_varint(data: bytes | bytearray | memoryview, offset: int) -> int:
    for position, byte in enumerate(data[offset : offset + _MAX_SKIPPED_VARINT_LENGTH], start=1):
        if byte < _MORE:
            return offset + position
    if len(data) - offset >= _MAX_SKIPPED_VARINT_LENGTH:
        raise ProtobufError(f"a varint has more than {_MAX_SKIPPED_VARINT_LENGTH} bytes")
    raise TruncatedError("the data ends inside of a varint")
