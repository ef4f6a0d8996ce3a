"""The Data Channel Establishment Protocol (RFC 8832), and how data channels use SCTP (RFC 8831)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

_OPEN: Final = struct.Struct("!BBHIHH")
_MESSAGE_OPEN: Final = 3
_MESSAGE_ACK: Final = 2

ACK: Final = bytes([_MESSAGE_ACK])
"""DATA_CHANNEL_ACK (RFC 8832, section 5.2)."""

MAX_OPEN_LENGTH: Final = 1024
"""Bytes of a DATA_CHANNEL_OPEN: label and protocol are names, not documents."""


class PayloadProtocol(IntEnum):
    """Payload protocol ids (RFC 8831, section 8)."""

    DCEP = 50
    STRING = 51
    BINARY = 53
    STRING_EMPTY = 56
    BINARY_EMPTY = 57


class DcepError(ValueError):
    """A DCEP message is malformed."""


@dataclass(frozen=True, slots=True)
class Open:
    """DATA_CHANNEL_OPEN (RFC 8832, section 5.1)."""

    label: str = ""
    protocol: str = ""
    is_ordered: bool = True
    reliability: int = 0
    """Which kind of partial reliability (RFC 8832, section 5.1: the low bits of Channel Type); 0 is full."""

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """:raises DcepError: if it is malformed"""
        if not _OPEN.size <= len(data) <= MAX_OPEN_LENGTH or data[0] != _MESSAGE_OPEN:
            raise DcepError(f"no DATA_CHANNEL_OPEN: {len(data)} bytes")
        _, kind, _, _, label_length, protocol_length = _OPEN.unpack_from(data)
        if _OPEN.size + label_length + protocol_length != len(data):
            raise DcepError("lengths that don't add up")
        middle = _OPEN.size + label_length
        try:
            label, protocol = data[_OPEN.size : middle].decode(), data[middle:].decode()
        except UnicodeDecodeError:
            raise DcepError("a label that isn't UTF-8") from None
        return cls(label, protocol, not kind & 0x80, kind & 0x7F)

    def encode(self) -> bytes:
        """The message."""
        label, protocol = self.label.encode(), self.protocol.encode()
        kind = self.reliability | (0 if self.is_ordered else 0x80)
        return _OPEN.pack(_MESSAGE_OPEN, kind, 0, 0, len(label), len(protocol)) + label + protocol


def encode_message(data: bytes) -> tuple[PayloadProtocol, bytes]:
    """How a binary message travels: SCTP has no empty ones (RFC 8831, section 6.6)."""
    return (PayloadProtocol.BINARY, data) if data else (PayloadProtocol.BINARY_EMPTY, b"\0")


def decode_message(ppid: int, data: bytes) -> bytes | None:
    """The message, or ``None`` if it is of no kind that data channels have."""
    if ppid in (PayloadProtocol.BINARY, PayloadProtocol.STRING):
        return data
    return b"" if ppid in (PayloadProtocol.BINARY_EMPTY, PayloadProtocol.STRING_EMPTY) else None
