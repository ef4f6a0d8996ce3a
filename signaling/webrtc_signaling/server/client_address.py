"""Which address a client is counted by, behind a reverse proxy too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from aiohttp import hdrs, web

from webrtc_transport.errors import ConfigurationError

UNKNOWN: Final = "unknown"
"""The address of who comes over a Unix socket."""

_IPV6_PREFIX: Final = 64
"""Bits of an IPv6 address that count: an ordinary customer has all addresses that begin with them (RFC 6177)."""

_Address = IPv4Address | IPv6Address


class ClientAddresses:
    """Tells clients apart.

    The header ``X-Forwarded-For`` counts only if a trusted proxy has sent it, and of its entries only those that
    trusted proxies have written: each adds, at the right end, the address that it was called from. What stands further
    left is the word of whoever sent it.

    :param trusted_proxies: addresses, or networks such as ``10.0.0.0/8``
    :raises ConfigurationError: if one of them is none
    """

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        self._trusted = [_network(text) for text in trusted_proxies]

    def is_proxy(self, remote: str | None) -> bool:
        """Whether ``remote`` is a trusted proxy, who calls for many."""
        address = _parse(remote)
        return address is not None and self._is_trusted(address)

    def of_request(self, request: web.Request) -> str:
        """What the client is counted by who makes this request."""
        return self.of(request.remote, request.headers.getall(hdrs.X_FORWARDED_FOR, ()))

    def of(self, remote: str | None, forwarded: Sequence[str]) -> str:
        """What a client is counted by: its IPv4 address, or the network of its IPv6 address.

        :param remote: who has connected
        :param forwarded: the values of the header ``X-Forwarded-For``
        """
        address = _parse(remote)
        if address is None:
            return UNKNOWN
        hops = [hop for value in forwarded for hop in value.split(",")]
        while hops and self._is_trusted(address):
            hop = _parse(hops.pop().strip())
            if hop is None:
                break
            address = hop
        return _counted(address)

    def _is_trusted(self, address: _Address) -> bool:
        return any(address in network for network in self._trusted)


def _parse(text: str | None) -> _Address | None:
    try:
        address = ip_address(text or "")
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _counted(address: _Address) -> str:
    if isinstance(address, IPv4Address):
        return str(address)
    return str(IPv6Network((int(address), _IPV6_PREFIX), strict=False))


def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise ConfigurationError(
            f"trusted_proxies: {text[:80]!r} is neither an IP address nor a network; write one like 10.0.0.0/8"
        ) from None
