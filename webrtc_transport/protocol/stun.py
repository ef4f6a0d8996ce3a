"""What a datagram is, and whether a STUN message is well-formed (RFC 7983, RFC 8489, RFC 8445, RFC 8656).

These checks come before any parser, and before memory or a key operation is spent on a datagram. They are
structural: whether a message is authentic is decided after them. All of them are bounded by the datagram's size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, IntEnum, auto
from typing import Final

MAGIC_COOKIE: Final = 0x2112A442
HEADER_LENGTH: Final = 20
"""Type (2), length of the attributes (2), magic cookie (4), transaction id (12): bytes."""

_ATTRIBUTE_HEADER_LENGTH: Final = 4
_ERROR_CODE_LENGTH: Final = 4
_FIRST_OPTIONAL_ATTRIBUTE: Final = 0x8000

MAX_USERNAME_LENGTH: Final = 513
"""Bytes: two fragments of 256 and the colon between them (RFC 8839, section 5.4, and RFC 8489, section 14.3)."""

MAX_TEXT_LENGTH: Final = 763
"""Bytes of a realm, a nonce, a reason phrase or a software name (RFC 8489, sections 14.8 to 14.14)."""


class PacketKind(Enum):
    """What shares one UDP port (RFC 7983, section 7)."""

    STUN = auto()
    DTLS = auto()
    OTHER = auto()
    """Neither: to be dropped. No media and no TURN channels come to a port of ours."""


_KINDS: Final = (
    (PacketKind.STUN,) * 4 + (PacketKind.OTHER,) * 16 + (PacketKind.DTLS,) * 44 + (PacketKind.OTHER,) * 192
)
"""By the first byte: 0 to 3 is STUN, 20 to 63 DTLS. Every datagram is looked up here."""


class Attribute(IntEnum):
    """The attributes that are known here. Those below 0x8000 must be understood by whoever receives them."""

    MAPPED_ADDRESS = 0x0001
    CHANGE_REQUEST = 0x0003
    SOURCE_ADDRESS = 0x0004
    CHANGED_ADDRESS = 0x0005
    USERNAME = 0x0006
    MESSAGE_INTEGRITY = 0x0008
    ERROR_CODE = 0x0009
    UNKNOWN_ATTRIBUTES = 0x000A
    CHANNEL_NUMBER = 0x000C
    LIFETIME = 0x000D
    XOR_PEER_ADDRESS = 0x0012
    DATA = 0x0013
    REALM = 0x0014
    NONCE = 0x0015
    XOR_RELAYED_ADDRESS = 0x0016
    REQUESTED_ADDRESS_FAMILY = 0x0017
    EVEN_PORT = 0x0018
    REQUESTED_TRANSPORT = 0x0019
    DONT_FRAGMENT = 0x001A
    MESSAGE_INTEGRITY_SHA256 = 0x001C
    XOR_MAPPED_ADDRESS = 0x0020
    RESERVATION_TOKEN = 0x0022
    PRIORITY = 0x0024
    USE_CANDIDATE = 0x0025
    SOFTWARE = 0x8022
    ALTERNATE_SERVER = 0x8023
    FINGERPRINT = 0x8028
    ICE_CONTROLLED = 0x8029
    ICE_CONTROLLING = 0x802A
    RESPONSE_ORIGIN = 0x802B
    OTHER_ADDRESS = 0x802C


_Check = Callable[[bytes], bool]


def _size(*sizes: int) -> _Check:
    return lambda value: len(value) in sizes


def _text(max_length: int) -> _Check:
    return lambda value: len(value) <= max_length and _is_utf8(value)


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def _address(value: bytes) -> bool:
    # A reserved byte, the family, the port, and 4 bytes of IPv4 or 16 of IPv6.
    return (len(value), value[1:2]) in ((8, b"\x01"), (20, b"\x02"))


def _error_code(value: bytes) -> bool:
    # Two reserved bytes, the class, the number, and a reason phrase.
    if len(value) < _ERROR_CODE_LENGTH or value[2] not in range(3, 7) or value[3] not in range(100):
        return False
    return _text(MAX_TEXT_LENGTH)(value[_ERROR_CODE_LENGTH:])


def _even_size(value: bytes) -> bool:
    return len(value) % 2 == 0


def _anything(_value: bytes) -> bool:
    return True


_CHECKS: Final[Mapping[int, _Check]] = {
    Attribute.MAPPED_ADDRESS: _address,
    Attribute.CHANGE_REQUEST: _size(4),
    Attribute.SOURCE_ADDRESS: _address,
    Attribute.CHANGED_ADDRESS: _address,
    Attribute.USERNAME: _text(MAX_USERNAME_LENGTH),
    Attribute.MESSAGE_INTEGRITY: _size(20),
    Attribute.ERROR_CODE: _error_code,
    Attribute.UNKNOWN_ATTRIBUTES: _even_size,
    Attribute.CHANNEL_NUMBER: _size(4),
    Attribute.LIFETIME: _size(4),
    Attribute.XOR_PEER_ADDRESS: _address,
    Attribute.DATA: _anything,
    Attribute.REALM: _text(MAX_TEXT_LENGTH),
    Attribute.NONCE: _text(MAX_TEXT_LENGTH),
    Attribute.XOR_RELAYED_ADDRESS: _address,
    Attribute.REQUESTED_ADDRESS_FAMILY: _size(4),
    Attribute.EVEN_PORT: _size(1),
    Attribute.REQUESTED_TRANSPORT: _size(4),
    Attribute.DONT_FRAGMENT: _size(0),
    Attribute.MESSAGE_INTEGRITY_SHA256: _size(16, 20, 24, 28, 32),
    Attribute.XOR_MAPPED_ADDRESS: _address,
    Attribute.RESERVATION_TOKEN: _size(8),
    Attribute.PRIORITY: _size(4),
    Attribute.USE_CANDIDATE: _size(0),
    Attribute.SOFTWARE: _text(MAX_TEXT_LENGTH),
    Attribute.ALTERNATE_SERVER: _address,
    Attribute.FINGERPRINT: _size(4),
    Attribute.ICE_CONTROLLED: _size(8),
    Attribute.ICE_CONTROLLING: _size(8),
    Attribute.RESPONSE_ORIGIN: _address,
    Attribute.OTHER_ADDRESS: _address,
}


def is_known_attribute(kind: int) -> bool:
    """Whether what an attribute of this type holds is known here."""
    return kind in _CHECKS


def is_valid_value(kind: int, value: bytes) -> bool:
    """Whether the value of an attribute that is known has the size and the contents that its RFC prescribes."""
    return _CHECKS[kind](value)


def classify(data: bytes) -> PacketKind:
    """Tell by its first byte to which protocol a datagram belongs (RFC 7983, section 7)."""
    return _KINDS[data[0]] if data else PacketKind.OTHER


def is_well_formed_stun(data: bytes) -> bool:
    """Whether a datagram is one whole STUN message (RFC 8489, sections 5 and 14).

    Each attribute has to lie inside of the message, and one that is known must have the size, and as far as
    that can be told without a key the contents, that its RFC prescribes. FINGERPRINT has to be the last one.
    Unknown attributes are passed over, save those of requests and indications that their receiver must
    understand (section 6.3). Responses come from a server that we chose, and those of RFC 3489 send more than
    is listed today.
    """
    if len(data) < HEADER_LENGTH or len(data) % 4 or data[0] & 0xC0:
        return False
    if int.from_bytes(data[2:4]) != len(data) - HEADER_LENGTH or int.from_bytes(data[4:8]) != MAGIC_COOKIE:
        return False
    is_response = bool(data[0] & 0x01)
    position = HEADER_LENGTH
    while position < len(data):
        kind = int.from_bytes(data[position : position + 2])
        size = int.from_bytes(data[position + 2 : position + 4])
        start = position + _ATTRIBUTE_HEADER_LENGTH
        position = start + size + -size % 4
        if position > len(data) or (kind == Attribute.FINGERPRINT and position < len(data)):
            return False
        check = _CHECKS.get(kind)
        if check is not None:
            if not check(data[start : start + size]):
                return False
        elif kind < _FIRST_OPTIONAL_ATTRIBUTE and not is_response:
            return False
    return True
