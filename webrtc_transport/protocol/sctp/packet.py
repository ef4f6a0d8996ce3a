"""SCTP packets: chunks and their parameters, to and from bytes (RFC 9260, section 3).

What is malformed raises :exc:`PacketError`; the association drops the packet then. DATA and SACK, of which a transfer
consists, are coded where they are used up (:mod:`.receiver`, :mod:`.sender`), with the structures from here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final, Self

import google_crc32c

COMMON_HEADER: Final = struct.Struct("!HHII")
"""Source port, destination port, verification tag, and the checksum, which is little-endian (RFC 9260, appendix A)."""

CHUNK_HEADER: Final = struct.Struct("!BBH")
"""Type, flags, and the length with this header and without padding."""

DATA_HEADER: Final = struct.Struct("!BBHIHHI")
"""Type, flags, length, TSN, stream id, stream sequence number, payload protocol id (section 3.3.1)."""

SACK_HEADER: Final = struct.Struct("!BBHIIHH")
"""Type, flags, length, cumulative TSN, window, number of gap blocks, number of duplicates (section 3.3.4)."""

PARAMETER_HEADER: Final = struct.Struct("!HH")
_CHECKSUM: Final = struct.Struct("<I")
_INIT: Final = struct.Struct("!IIHHI")

TSN_MASK: Final = 0xFFFFFFFF
TSN_HALF: Final = 0x80000000


class ChunkType(IntEnum):
    """Chunk types (RFC 9260, section 3.2; RFC 6525, section 3; RFC 3758, section 3.2)."""

    DATA = 0
    INIT = 1
    INIT_ACK = 2
    SACK = 3
    HEARTBEAT = 4
    HEARTBEAT_ACK = 5
    ABORT = 6
    SHUTDOWN = 7
    SHUTDOWN_ACK = 8
    ERROR = 9
    COOKIE_ECHO = 10
    COOKIE_ACK = 11
    SHUTDOWN_COMPLETE = 14
    RE_CONFIG = 130
    PAD = 132
    FORWARD_TSN = 192


class ParameterType(IntEnum):
    """Parameters of INIT and RE-CONFIG."""

    HEARTBEAT_INFO = 1
    IPV4_ADDRESS = 5
    IPV6_ADDRESS = 6
    STATE_COOKIE = 7
    UNRECOGNIZED = 8
    COOKIE_PRESERVATIVE = 9
    HOST_NAME = 11
    SUPPORTED_ADDRESS_TYPES = 12
    OUTGOING_RESET_REQUEST = 13
    INCOMING_RESET_REQUEST = 14
    TSN_RESET_REQUEST = 15
    RECONFIG_RESPONSE = 16
    ADD_OUTGOING_STREAMS = 17
    ADD_INCOMING_STREAMS = 18
    SUPPORTED_EXTENSIONS = 0x8008
    FORWARD_TSN_SUPPORTED = 0xC000


class CauseCode(IntEnum):
    """Causes in ERROR and ABORT (RFC 9260, section 3.3.10)."""

    INVALID_STREAM = 1
    STALE_COOKIE = 3
    UNRECOGNIZED_CHUNK = 6
    NO_USER_DATA = 9
    USER_INITIATED_ABORT = 12
    PROTOCOL_VIOLATION = 13


class DataFlag:
    """Flags of a DATA chunk."""

    END = 1
    BEGIN = 2
    UNORDERED = 4
    IMMEDIATE = 8
    """The sender wants to be acknowledged at once (RFC 7053)."""


TAG_REFLECTED: Final = 1
"""Flag of ABORT and SHUTDOWN COMPLETE: the tag is the receiver's own, sent back (RFC 9260, section 8.5.1)."""


class PacketError(ValueError):
    """A packet, chunk or parameter is malformed."""


def split_packet(data: bytes) -> tuple[tuple[int, int], int, memoryview]:
    """Check a packet; return its ports (source, destination), its verification tag, and its chunks.

    :raises PacketError: if it is too short, or its checksum is wrong
    """
    if len(data) < COMMON_HEADER.size + CHUNK_HEADER.size or len(data) % 4:
        raise PacketError(f"a packet of {len(data)} bytes")
    source, destination, tag, _ = COMMON_HEADER.unpack_from(data)
    (received,) = _CHECKSUM.unpack_from(data, 8)
    checksum = google_crc32c.value(data[:8] + bytes(4) + data[12:])
    if received != checksum:
        raise PacketError("the checksum is wrong")
    return (source, destination), tag, memoryview(data)[COMMON_HEADER.size :]


def encode_chunk(kind: int, value: bytes = b"", *, flags: int = 0) -> bytes:
    """A chunk with its header, padded to a multiple of 4."""
    length = CHUNK_HEADER.size + len(value)
    return CHUNK_HEADER.pack(kind, flags, length) + value + bytes(-length % 4)


def split_chunks(chunks: bytes, room: int) -> tuple[bytes, bytes]:
    """Those of several well-formed chunks that fit into ``room`` bytes, but one at least; and the others."""
    position = 0
    while position < len(chunks):
        _, _, length = CHUNK_HEADER.unpack_from(chunks, position)
        end = position + length + -length % 4
        if position and end > room:
            break
        position = end
    return chunks[:position], chunks[position:]


class PacketReader:
    """Knows the packets that are for one association: their headers are all alike."""

    def __init__(self, port: int, peer_port: int, tag: int) -> None:
        header = COMMON_HEADER.pack(peer_port, port, tag, 0)
        self.start = header[:8]
        """How a packet for us begins: ports and tag."""
        self._checksum = google_crc32c.value(header)

    def is_intact(self, packet: bytes) -> bool:
        """Whether a packet for us has the size and the checksum that it should."""
        size = len(packet)
        return (
            size >= COMMON_HEADER.size
            and size % 4 == 0
            and google_crc32c.extend(self._checksum, packet[COMMON_HEADER.size :])
            == int.from_bytes(packet[8:12], "little")
        )


class PacketWriter:
    """Builds the packets of one association: their headers are all alike."""

    def __init__(self, port: int, peer_port: int, tag: int) -> None:
        header = COMMON_HEADER.pack(port, peer_port, tag, 0)
        self._start = header[:8]
        self._checksum = google_crc32c.value(header)

    def build(self, chunks: Iterable[bytes]) -> bytes:
        """A packet of these chunks, which are padded."""
        body = b"".join(chunks)
        return self._start + _CHECKSUM.pack(google_crc32c.extend(self._checksum, body)) + body


def encode_parameter(kind: int, value: bytes) -> bytes:
    """A parameter with its header, padded to a multiple of 4."""
    length = PARAMETER_HEADER.size + len(value)
    return PARAMETER_HEADER.pack(kind, length) + value + bytes(-length % 4)


def split_parameters(view: memoryview) -> Iterator[tuple[int, bytes]]:
    """The parameters of a chunk: types and values.

    :raises PacketError: if one doesn't fit into the chunk
    """
    position, end = 0, len(view)
    while end - position >= PARAMETER_HEADER.size:
        kind, length = PARAMETER_HEADER.unpack_from(view, position)
        if length < PARAMETER_HEADER.size or position + length > end:
            raise PacketError(f"a parameter of {length} bytes in {end - position}")
        yield kind, bytes(view[position + PARAMETER_HEADER.size : position + length])
        position += length + -length % 4


_INIT_PARAMETERS: Final = frozenset(
    {
        ParameterType.IPV4_ADDRESS,
        ParameterType.IPV6_ADDRESS,
        ParameterType.STATE_COOKIE,
        ParameterType.UNRECOGNIZED,
        ParameterType.COOKIE_PRESERVATIVE,
        ParameterType.HOST_NAME,
        ParameterType.SUPPORTED_ADDRESS_TYPES,
        ParameterType.SUPPORTED_EXTENSIONS,
        ParameterType.FORWARD_TSN_SUPPORTED,
    }
)
_SKIP_PARAMETER: Final = 0x8000
"""A parameter of unknown type without this bit ends the reading of its chunk (RFC 9260, section 3.2.1)."""
_REPORT_PARAMETER: Final = 0x4000
_MAX_REPORTED: Final = 8
_MAX_REPORTED_SIZE: Final = 64


@dataclass(frozen=True, slots=True)
class Init:
    """What INIT and INIT ACK have in common (RFC 9260, sections 3.3.2 and 3.3.3).

    ``unrecognized`` are whole parameters: in a parsed one those that the peer wants to hear of, in one that is encoded
    those that are reported.
    """

    tag: int
    window: int
    outbound_streams: int
    inbound_streams: int
    initial_tsn: int
    cookie: bytes = b""
    """In INIT ACK only."""
    extensions: frozenset[int] = frozenset()
    """Chunk types beyond RFC 9260 that the sender knows (RFC 5061, section 4.2.7)."""
    unrecognized: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, value: memoryview) -> Self:
        """:raises PacketError: if it is malformed, or a field has a value that it must not have"""
        if len(value) < _INIT.size:
            raise PacketError(f"an INIT of {len(value)} bytes")
        tag, window, outbound, inbound, tsn = _INIT.unpack_from(value)
        if not (tag and outbound and inbound):
            raise PacketError("an INIT without a tag, or without streams")
        parameters: dict[int, bytes] = {}
        unrecognized: list[bytes] = []
        for kind, parameter in split_parameters(value[_INIT.size :]):
            if kind in _INIT_PARAMETERS:
                parameters[kind] = parameter
                continue
            if kind & _REPORT_PARAMETER and len(unrecognized) < _MAX_REPORTED:
                unrecognized.append(encode_parameter(kind, parameter[:_MAX_REPORTED_SIZE]))
            if not kind & _SKIP_PARAMETER:
                break
        return cls(
            tag,
            window,
            outbound,
            inbound,
            tsn,
            parameters.get(ParameterType.STATE_COOKIE, b""),
            frozenset(parameters.get(ParameterType.SUPPORTED_EXTENSIONS, b"")),
            tuple(unrecognized),
        )

    def encode(self, kind: int) -> bytes:
        """The chunk, as INIT or INIT ACK."""
        value = _INIT.pack(
            self.tag, self.window, self.outbound_streams, self.inbound_streams, self.initial_tsn
        )
        value += encode_parameter(ParameterType.FORWARD_TSN_SUPPORTED, b"")
        value += encode_parameter(ParameterType.SUPPORTED_EXTENSIONS, bytes(sorted(self.extensions)))
        if self.cookie:
            value += encode_parameter(ParameterType.STATE_COOKIE, self.cookie)
        for parameter in self.unrecognized:
            value += encode_parameter(ParameterType.UNRECOGNIZED, parameter)
        return encode_chunk(kind, value)


def encode_cause(kind: ChunkType, code: int, information: bytes = b"") -> bytes:
    """An ERROR or ABORT chunk with one cause."""
    return encode_chunk(kind, encode_parameter(code, information))


def parse_cause(value: memoryview) -> tuple[int, bytes]:
    """The first cause in an ERROR or ABORT chunk, and what it says; 0 if there is none, or it is malformed."""
    try:
        return next(split_parameters(value), (0, b""))
    except PacketError:
        return 0, b""
