"""The multiaddrs of webrtc-direct (libp2p specs, ``webrtc/webrtc-direct.md``, "Addressing").

    /ip4/1.2.3.4/udp/4001/webrtc-direct/certhash/uEi…/p2p/12D3KooW…

The host is ``ip4``, ``ip6``, or a name: ``dns`` (either family), ``dns4`` or ``dns6``.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, Self

from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from ..errors import AddressError, IdentityError
from ..identity import PeerId
from .certhash import decode_certhash, encode_certhash
from .sdp import Fingerprint

_MAX_LENGTH: Final = 1024
"""Bytes of an address. One with two SHA-512 hashes and a peer id has some 550."""

_MAX_CERTHASHES: Final = 4
"""Certificates that one address names; more than one is there only while they are being changed."""

_MAX_PORT: Final = 65535

_FORM: Final = "/ip4/<address>/udp/<port>/webrtc-direct[/certhash/<hash>][/p2p/<peer id>]"

# RFC 1123, section 2.1: labels of 63 characters with dots between them, 253 in all. Names with other letters come in
# their ASCII form.
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?"
_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")


@dataclass(frozen=True, slots=True)
class DirectAddress:
    """Where a peer is, and which certificate it shows.

    :raises AddressError: naming the first part that is out of its bounds
    """

    protocol: str
    """``ip4``, ``ip6``, ``dns``, ``dns4`` or ``dns6``: of what kind the host is."""
    host: str
    port: int
    """0 to 65535; 0 lets the system pick one."""
    certhashes: tuple[Fingerprint, ...] = ()
    """SHA-256 or SHA-512; at most 4."""
    peer: PeerId | None = None

    def __post_init__(self) -> None:
        _check_host(self.protocol, self.host)
        if not 0 <= self.port <= _MAX_PORT:
            raise AddressError(f"a UDP port is 0 to {_MAX_PORT}, not {self.port}")
        if len(self.certhashes) > _MAX_CERTHASHES:
            raise AddressError(f"an address names at most {_MAX_CERTHASHES} certificates")

    @property
    def is_name(self) -> bool:
        """Whether the host has to be resolved."""
        return self.protocol.startswith("dns")

    @classmethod
    def parse(cls, address: str | Multiaddr) -> Self:
        """Take a multiaddr apart.

        :raises AddressError: if it isn't of this kind, or a part of it is malformed
        """
        text = _text_of(address)
        match text.split("/"):
            case ["", protocol, host, "udp", port, "webrtc-direct", *rest]:
                if not re.fullmatch("0|[1-9][0-9]{0,4}", port):
                    raise AddressError(f"{text!r}: a UDP port is 0 to {_MAX_PORT}")
            case _:
                raise AddressError(f"{text!r} is no webrtc-direct address; expected {_FORM}")
        try:
            certhashes, peer = _parse_rest(rest)
            return cls(protocol, host, int(port), certhashes, peer)
        except (AddressError, IdentityError) as exc:
            raise AddressError(f"{text!r}: {exc}") from None

    @classmethod
    def parse_dial(cls, address: str | Multiaddr) -> Self:
        """Take the multiaddr of a peer that is to be dialed apart.

        :raises AddressError: as :meth:`parse` does, and if it names no certificate or no port
        """
        parsed = cls.parse(address)
        if not parsed.certhashes:
            raise AddressError(
                f"{address!s} doesn't say which certificate the peer has; "
                "add /certhash/<hash>, which its listener prints"
            )
        if not parsed.port:
            raise AddressError(f"{address!s} doesn't say at which port the peer is")
        return parsed

    @classmethod
    def parse_announced(cls, address: str | Multiaddr) -> Self:
        """Take a multiaddr that others are to dial apart; its certificate and its peer may be left out.

        :raises AddressError: as :meth:`parse` does, and if it has no port, or a host that isn't anybody's
        """
        parsed = cls.parse(address)
        if not parsed.port or (not parsed.is_name and ipaddress.ip_address(parsed.host).is_unspecified):
            raise AddressError(f"nobody can dial {address!s}: it lacks the port or the host")
        return parsed

    def to_multiaddr(self) -> Multiaddr:
        """The address as a multiaddr; :meth:`parse` reads it back."""
        return Multiaddr(str(self))

    def __str__(self) -> str:
        text = f"/{self.protocol}/{self.host}/udp/{self.port}/webrtc-direct"
        text += "".join(f"/certhash/{encode_certhash(certhash)}" for certhash in self.certhashes)
        return text if self.peer is None else f"{text}/p2p/{self.peer}"


def _parse_rest(components: list[str]) -> tuple[tuple[Fingerprint, ...], PeerId | None]:
    certhashes: list[Fingerprint] = []
    while components[:1] == ["certhash"] and len(components) > 1:
        if len(certhashes) == _MAX_CERTHASHES:
            raise AddressError(f"an address names at most {_MAX_CERTHASHES} certificates")
        certhashes.append(decode_certhash(components[1]))
        components = components[2:]
    match components:
        case []:
            return tuple(certhashes), None
        case ["p2p", peer]:
            return tuple(certhashes), PeerId.from_string(peer)
        case _:
            raise AddressError(f"after /webrtc-direct come certhashes and a peer id; expected {_FORM}")


def _check_host(protocol: str, host: str) -> None:
    try:
        if protocol == "ip4":
            ipaddress.IPv4Address(host)
        elif protocol == "ip6":
            if ipaddress.IPv6Address(host).scope_id is not None:
                raise AddressError(f"{host!r} has a zone, which means nothing to another host")
        elif protocol not in ("dns", "dns4", "dns6"):
            raise AddressError(f"a host is ip4, ip6, dns, dns4 or dns6, not {protocol!r}; expected {_FORM}")
        elif not _NAME.fullmatch(host):
            raise AddressError(f"{host!r} is no host name")
    except ipaddress.AddressValueError as exc:
        raise AddressError(f"{host!r} is no {protocol} address: {exc}") from None


def _text_of(address: str | Multiaddr) -> str:
    raw = address if isinstance(address, str) else address.to_bytes()
    if len(raw) > _MAX_LENGTH:
        raise AddressError(f"an address of more than {_MAX_LENGTH} bytes is none of ours; expected {_FORM}")
    try:
        return str(address)
    except (ValueError, TypeError, ArithmeticError, MultiaddrError):
        # A Multiaddr decodes its bytes when it is printed, and some malformed ones raise what Python raised inside.
        raise AddressError(f"the multiaddr with the bytes {raw!r} is malformed; expected {_FORM}") from None
