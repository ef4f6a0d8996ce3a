"""URLs of STUN and TURN servers (RFC 7064, RFC 7065)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final, Literal

from ..errors import ConfigurationError

_DEFAULT_PORT: Final = 3478
_DEFAULT_TLS_PORT: Final = 5349
_MAX_PORT: Final = 65535
_MAX_URL_LENGTH: Final = 512
"""A DNS name has at most 253 characters."""

_URL: Final = re.compile(
    r"(?P<scheme>stuns?|turns?):"
    r"(?P<host>"
    r"\[(?P<ipv6>[0-9a-f:.]+)\]"
    r"|(?P<ipv4>[0-9.]+)"
    r"|(?P<name>(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?)"
    r")"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?:\?transport=(?P<transport>udp|tcp))?",
    re.ASCII | re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class IceUrl:
    """The URL of a STUN or TURN server, with its defaults filled in."""

    scheme: Literal["stun", "turn", "turns"]
    host: str
    """A DNS name or an IP address, in lower case; IPv6 without brackets."""
    port: int
    transport: Literal["udp", "tcp"]
    """Between us and the server; what a TURN server relays is UDP."""

    @property
    def is_turn(self) -> bool:
        """Whether it is a TURN server, which needs credentials."""
        return self.scheme != "stun"

    @property
    def secure(self) -> bool:
        """Whether TLS is spoken to it."""
        return self.scheme == "turns"

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        transport = f"?transport={self.transport}" if self.is_turn else ""
        return f"{self.scheme}:{host}:{self.port}{transport}"


def parse_ice_url(url: str) -> IceUrl:
    """Parse ``stun:host[:port]`` or ``turn[s]:host[:port][?transport=udp|tcp]``.

    Without a port it is 3478, and 5349 for ``turns``; without a transport it is UDP, and TCP for ``turns``.

    :raises ConfigurationError: if ``url`` is malformed, or asks for what no engine does: TLS or DTLS to a STUN
        server, DTLS to a TURN server
    """
    if "@" in url:  # Not shown: there may be a password in it.
        raise ConfigurationError(
            "the URL of a TURN server names no user: set username and credential beside it"
        )
    parts = _URL.fullmatch(url) if len(url) <= _MAX_URL_LENGTH else None
    if parts is None:
        raise ConfigurationError(
            f"{url[:_MAX_URL_LENGTH]!r} is no URL of a STUN or TURN server; expected one like stun:stun.example.org, "
            "turn:192.0.2.1:3478?transport=tcp or turns:[2001:db8::1] (no slashes, brackets around IPv6)"
        )
    scheme, transport = parts["scheme"].lower(), (parts["transport"] or "").lower()
    if scheme == "stuns":
        raise ConfigurationError(f"{url}: STUN over TLS isn't supported; use stun:{parts['host']}")
    if scheme == "stun" and transport:
        raise ConfigurationError(f"{url}: a STUN URL has no ?transport (RFC 7064); use stun:{parts['host']}")
    if scheme == "turns" and transport == "udp":
        raise ConfigurationError(
            f"{url}: TURN over DTLS isn't supported; use turns:{parts['host']}?transport=tcp"
        )
    host = _parse_host(url, parts)
    port = _parse_port(url, parts, default=_DEFAULT_TLS_PORT if scheme == "turns" else _DEFAULT_PORT)
    if scheme == "stun":
        return IceUrl("stun", host, port, "udp")
    if scheme == "turns":
        return IceUrl("turns", host, port, "tcp")
    return IceUrl("turn", host, port, "tcp" if transport == "tcp" else "udp")


def _parse_host(url: str, parts: re.Match[str]) -> str:
    try:
        if parts["ipv6"] is not None:
            return str(IPv6Address(parts["ipv6"]))
        if parts["ipv4"] is not None:
            return str(IPv4Address(parts["ipv4"]))
    except ValueError as exc:
        raise ConfigurationError(f"{url}: {exc}; use an address like 192.0.2.1 or [2001:db8::1]") from None
    return parts["name"].lower()


def _parse_port(url: str, parts: re.Match[str], *, default: int) -> int:
    port = default if parts["port"] is None else int(parts["port"])
    if not 1 <= port <= _MAX_PORT:
        raise ConfigurationError(f"{url}: a port is from 1 to {_MAX_PORT}, and {default} if left out")
    return port
