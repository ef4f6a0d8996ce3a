"""The STUN messages of ICE, taken apart and put together (RFC 8489, RFC 8445).

A message is parsed once, without a copy of its values that nobody asks for, and nothing in it is believed until
:meth:`StunMessage.is_authentic` says so. Only the short-term credentials of RFC 8489, section 9.1, are spoken.
"""

from __future__ import annotations

import hmac
import ipaddress
import struct
import zlib
from collections.abc import Iterable, Sequence
from enum import IntEnum
from functools import lru_cache
from typing import Final

from .limits import MAX_STUN_LENGTH
from .stun import HEADER_LENGTH, MAGIC_COOKIE, Attribute, is_known_attribute, is_valid_value

Address = tuple[str, int]
"""An IP address in its usual text and a UDP port, as sockets give them."""

TRANSACTION_ID_LENGTH: Final = 12

_HEADER: Final = struct.Struct("!HHI12s")
_ATTRIBUTE: Final = struct.Struct("!HH")
_FIRST_OPTIONAL: Final = 0x8000
_FINGERPRINT_XOR: Final = 0x5354554E
_INTEGRITY_SIZE: Final = 4 + 20
_FINGERPRINT_SIZE: Final = 4 + 4
_IPV4, _IPV6 = 1, 2
_IPV6_LENGTH: Final = 16

_USERNAME: Final = int(Attribute.USERNAME)
_INTEGRITY: Final = int(Attribute.MESSAGE_INTEGRITY)
_INTEGRITY_SHA256: Final = int(Attribute.MESSAGE_INTEGRITY_SHA256)
_FINGERPRINT: Final = int(Attribute.FINGERPRINT)


class StunError(ValueError):
    """A datagram is no well-formed STUN message."""


class MessageKind(IntEnum):
    """Method and class of a message (RFC 8489, section 5)."""

    BINDING_REQUEST = 0x0001
    BINDING_INDICATION = 0x0011
    BINDING_SUCCESS = 0x0101
    BINDING_ERROR = 0x0111


class ErrorCode(IntEnum):
    """What an agent answers to a check that it doesn't take (RFC 8489, section 14.8; RFC 8445, section 7.3)."""

    BAD_REQUEST = 400
    UNAUTHENTICATED = 401
    UNKNOWN_ATTRIBUTE = 420
    ROLE_CONFLICT = 487


_REASONS: Final = {
    ErrorCode.BAD_REQUEST: b"Bad Request",
    ErrorCode.UNAUTHENTICATED: b"Unauthenticated",
    ErrorCode.UNKNOWN_ATTRIBUTE: b"Unknown Attribute",
    ErrorCode.ROLE_CONFLICT: b"Role Conflict",
}


class StunMessage:
    """A well-formed message. Whether it is authentic is another question."""

    __slots__ = ("_data", "_integrity_at", "attributes", "kind", "transaction_id", "unknown")

    def __init__(self, data: bytes) -> None:
        """Parse one datagram.

        Of a repeated attribute the first one counts (RFC 8489, section 14), and what follows MESSAGE-INTEGRITY is
        passed over, because nothing vouches for it (section 14.5).

        :raises StunError: if it has more than ``MAX_STUN_LENGTH`` bytes, isn't exactly one message, has a known
            attribute of a wrong size or with contents that it can't have, or a FINGERPRINT that isn't its last
            attribute or isn't its checksum
        """
        size = len(data)
        if not HEADER_LENGTH <= size <= MAX_STUN_LENGTH or size % 4:
            raise StunError(f"no STUN message has {size} bytes")
        kind, length, cookie, transaction_id = _HEADER.unpack_from(data)
        if kind & 0xC000 or cookie != MAGIC_COOKIE or length != size - HEADER_LENGTH:
            raise StunError("it doesn't have the header of a STUN message")
        self.kind: int = kind
        """Method and class; :class:`MessageKind` has those of ICE."""
        self.transaction_id: bytes = transaction_id
        self._data = data
        self._integrity_at = 0
        self.attributes: dict[int, bytes] = {}
        self.unknown: list[int] = []
        """Types of attributes that had to be understood and weren't (RFC 8489, section 6.3.1)."""
        position = HEADER_LENGTH
        while position < size:
            position = self._take_attribute(data, position, size)

    def _take_attribute(self, data: bytes, position: int, size: int) -> int:
        kind: int
        length: int
        kind, length = _ATTRIBUTE.unpack_from(data, position)
        start = position + _ATTRIBUTE.size
        end = start + length
        following = end + -length % 4
        if following > size:
            raise StunError("an attribute reaches over the end of the message")
        if self._integrity_at and kind != _FINGERPRINT:
            return following
        if is_known_attribute(kind):
            value = data[start:end]
            if not is_valid_value(kind, value):
                raise StunError(f"the attribute {kind:#06x} has contents that it can't have")
            if kind == _INTEGRITY:
                self._integrity_at = position
            elif kind == _FINGERPRINT and (
                following < size or int.from_bytes(value) != zlib.crc32(data[:position]) ^ _FINGERPRINT_XOR
            ):
                raise StunError("FINGERPRINT isn't the checksum of all that comes before it")
            self.attributes.setdefault(kind, value)
        elif kind < _FIRST_OPTIONAL:
            self.unknown.append(kind)
        return following

    @property
    def username(self) -> bytes | None:
        """USERNAME, or None if it is missing."""
        return self.attributes.get(_USERNAME)

    @property
    def has_integrity(self) -> bool:
        """Whether there is a MESSAGE-INTEGRITY at all."""
        return self._integrity_at > 0

    def is_authentic(self, password: bytes) -> bool:
        """Whether MESSAGE-INTEGRITY was made with ``password``. Takes the same time wherever it differs."""
        if not self._integrity_at:
            return False
        expected = _integrity(self._data[: self._integrity_at], password)
        return hmac.compare_digest(self.attributes[_INTEGRITY], expected)

    @property
    def use_candidate(self) -> bool:
        """Whether the sender nominates this path."""
        return Attribute.USE_CANDIDATE in self.attributes

    @property
    def priority(self) -> int:
        """PRIORITY, or 0 if it is missing."""
        return int.from_bytes(self.attributes.get(Attribute.PRIORITY, b""))

    @property
    def controlling(self) -> int | None:
        """The tie-breaker of a sender that wants to control, or None."""
        return self._number(Attribute.ICE_CONTROLLING)

    @property
    def controlled(self) -> int | None:
        """The tie-breaker of a sender that wants to be controlled, or None."""
        return self._number(Attribute.ICE_CONTROLLED)

    @property
    def error_code(self) -> int | None:
        """The number of ERROR-CODE, 300 to 699, or None."""
        value = self.attributes.get(Attribute.ERROR_CODE)
        return None if value is None else value[2] * 100 + value[3]

    @property
    def mapped_address(self) -> Address | None:
        """XOR-MAPPED-ADDRESS, or None."""
        value = self.attributes.get(Attribute.XOR_MAPPED_ADDRESS)
        return None if value is None else _decode_address(value, self.transaction_id)

    def _number(self, kind: int) -> int | None:
        value = self.attributes.get(kind)
        return None if value is None else int.from_bytes(value)


def encode_message(
    kind: int, transaction_id: bytes, attributes: Iterable[tuple[int, bytes]], password: bytes | None = None
) -> bytes:
    """Put a message together, with FINGERPRINT, and with MESSAGE-INTEGRITY if there is a ``password``."""
    parts: list[bytes] = []
    for attribute, value in attributes:
        parts += (_ATTRIBUTE.pack(attribute, len(value)), value, bytes(-len(value) % 4))
    body = b"".join(parts)
    if password is not None:
        head = _HEADER.pack(kind, len(body) + _INTEGRITY_SIZE, MAGIC_COOKIE, transaction_id)
        body += _ATTRIBUTE.pack(_INTEGRITY, 20) + hmac.digest(password, head + body, "sha1")
    head = _HEADER.pack(kind, len(body) + _FINGERPRINT_SIZE, MAGIC_COOKIE, transaction_id)
    message = head + body
    checksum = zlib.crc32(message) ^ _FINGERPRINT_XOR
    return message + _ATTRIBUTE.pack(_FINGERPRINT, 4) + checksum.to_bytes(4)


def binding_request(
    transaction_id: bytes,
    *,
    username: bytes,
    password: bytes,
    priority: int,
    tie_breaker: int,
    controlling: bool = True,
    use_candidate: bool = False,
) -> bytes:
    """A connectivity check (RFC 8445, section 7.2.2).

    :param username: ``<peer's ufrag>:<own ufrag>``
    :param password: the peer's
    :param priority: 1 to 2^31 - 1
    :param tie_breaker: 64 random bits
    """
    role = Attribute.ICE_CONTROLLING if controlling else Attribute.ICE_CONTROLLED
    attributes: list[tuple[int, bytes]] = [
        (_USERNAME, username),
        (Attribute.PRIORITY, priority.to_bytes(4)),
        (role, tie_breaker.to_bytes(8)),
    ]
    if use_candidate:
        attributes.append((Attribute.USE_CANDIDATE, b""))
    return encode_message(MessageKind.BINDING_REQUEST, transaction_id, attributes, password)


def binding_success(transaction_id: bytes, address: Address, password: bytes) -> bytes:
    """The answer to an authentic check that came from ``address``; shorter than any check with a username.

    :param password: that with which the check was authenticated
    """
    mapped = _encode_address(address, transaction_id)
    attributes = ((int(Attribute.XOR_MAPPED_ADDRESS), mapped),)
    return encode_message(MessageKind.BINDING_SUCCESS, transaction_id, attributes, password)


def binding_error(
    transaction_id: bytes, code: ErrorCode, *, unknown: Sequence[int] = (), password: bytes | None = None
) -> bytes:
    """A refusal, with ``unknown`` attribute types where ``code`` is 420."""
    number = bytes((0, 0, *divmod(code, 100)))
    attributes: list[tuple[int, bytes]] = [(Attribute.ERROR_CODE, number + _REASONS[code])]
    if unknown:
        attributes.append((Attribute.UNKNOWN_ATTRIBUTES, b"".join(kind.to_bytes(2) for kind in unknown)))
    return encode_message(MessageKind.BINDING_ERROR, transaction_id, attributes, password)


def _integrity(data: bytes, password: bytes) -> bytes:
    # The length in the header is that of a message that ends with MESSAGE-INTEGRITY (RFC 8489, section 14.5).
    length = len(data) - HEADER_LENGTH + _INTEGRITY_SIZE
    return hmac.digest(password, data[:2] + length.to_bytes(2) + data[4:], "sha1")


@lru_cache(maxsize=1024)
def _packed(host: str) -> bytes:
    # A link-local address has its zone behind a percent sign, which means nothing to the other end.
    return ipaddress.ip_address(host.partition("%")[0]).packed


def _encode_address(address: Address, transaction_id: bytes) -> bytes:
    # RFC 8489, section 14.2: what the address is XORed with hides it from NATs that rewrite addresses in payloads.
    packed = _packed(address[0])
    family = _IPV6 if len(packed) == _IPV6_LENGTH else _IPV4
    port = address[1] ^ MAGIC_COOKIE >> 16
    return bytes((0, family)) + port.to_bytes(2) + _xor(packed, transaction_id)


def _decode_address(value: bytes, transaction_id: bytes) -> Address:
    port = int.from_bytes(value[2:4]) ^ MAGIC_COOKIE >> 16
    return str(ipaddress.ip_address(_xor(value[4:], transaction_id))), port


def _xor(packed: bytes, transaction_id: bytes) -> bytes:
    mask = (MAGIC_COOKIE.to_bytes(4) + transaction_id)[: len(packed)]
    return (int.from_bytes(packed) ^ int.from_bytes(mask)).to_bytes(len(packed))
