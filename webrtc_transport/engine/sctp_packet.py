"""A look at SCTP packets before aiortc's parser gets them.

That parser raises on most of what is malformed, which ends the connection it belongs to. Two things it doesn't
survive: a parameter of length 0 makes it loop for ever, and a SACK whose gap blocks overlap makes it count to
millions. Either would stop every connection of the process.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from aiortc.rtcsctptransport import DataChunk, parse_packet, serialize_packet

COMMON_HEADER: Final = 12
"""Bytes of ports, verification tag and checksum (RFC 9260, section 3.1)."""

CHUNK_HEADER: Final = 4
"""Bytes of type, flags and length (RFC 9260, section 3.2); parameters have a header of the same size."""

SACK_HEADER: Final = 12
"""Bytes of a SACK's value before its gap blocks (RFC 9260, section 3.3.4)."""

GAP_BLOCK: Final = 4
"""Bytes of the first and the last TSN of a block, counted from the cumulative one."""


class Chunk(IntEnum):
    """Types of chunks (RFC 9260, section 3.2; RFC 6525, section 3.1)."""

    DATA = 0
    INIT = 1
    INIT_ACK = 2
    SACK = 3
    HEARTBEAT = 4
    HEARTBEAT_ACK = 5
    ABORT = 6
    SHUTDOWN = 7
    ERROR = 9
    RECONFIG = 130


_PARAMETERS_AT: Final = {
    Chunk.INIT: 16,
    Chunk.INIT_ACK: 16,
    Chunk.HEARTBEAT: 0,
    Chunk.HEARTBEAT_ACK: 0,
    Chunk.ABORT: 0,
    Chunk.ERROR: 0,
    Chunk.RECONFIG: 0,
}
"""Where the parameters begin in the value of a chunk."""


def chunk_types(packet: bytes) -> set[int]:
    """The types of the chunks in a packet.

    :raises ValueError: if aiortc's parser would not come to an end on it
    """
    types = set()
    position = COMMON_HEADER
    while position <= len(packet) - CHUNK_HEADER:
        kind = packet[position]
        end = position + int.from_bytes(packet[position + 2 : position + 4])
        if not position + CHUNK_HEADER <= end <= len(packet):
            raise ValueError("a chunk has a wrong length")
        if kind == Chunk.SACK:
            _check_gaps(packet[position + CHUNK_HEADER : end])
        elif kind in _PARAMETERS_AT:
            _check_parameters(packet[position + CHUNK_HEADER + _PARAMETERS_AT[Chunk(kind)] : end])
        types.add(kind)
        position = end + -end % 4
    return types


def split(packet: bytes) -> tuple[list[bytes], list[bytes]]:
    """Take a packet apart: a packet for each chunk, those that carry no data and those that do.

    :raises ValueError: if its checksum is wrong
    """
    source, destination, tag, chunks = parse_packet(packet)
    control: list[bytes] = []
    data: list[bytes] = []
    for chunk in chunks:
        part = serialize_packet(source, destination, tag, chunk)
        (data if isinstance(chunk, DataChunk) else control).append(part)
    return control, data


def without_tag(packet: bytes) -> bytes:
    """The same packet of one chunk with a verification tag of 0."""
    source, destination, _, (chunk,) = parse_packet(packet)
    return serialize_packet(source, destination, 0, chunk)


def _check_parameters(value: bytes) -> None:
    position = 0
    while position <= len(value) - CHUNK_HEADER:
        size = int.from_bytes(value[position + 2 : position + 4])
        if size < CHUNK_HEADER:
            raise ValueError("a parameter is shorter than its header")
        position += size + -size % 4


def _check_gaps(value: bytes) -> None:
    count = int.from_bytes(value[8:10])
    end = SACK_HEADER + GAP_BLOCK * count
    if end > len(value):
        raise ValueError("a SACK is shorter than its gap blocks")
    last = 0
    for position in range(SACK_HEADER, end, GAP_BLOCK):
        first = int.from_bytes(value[position : position + 2])
        if first <= last:
            raise ValueError("the gap blocks of a SACK overlap")
        last = int.from_bytes(value[position + 2 : position + 4])
        if last < first:
            raise ValueError("a gap block of a SACK ends before it begins")
