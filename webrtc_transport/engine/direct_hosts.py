"""The IP addresses of hosts: of this one, for which a wildcard stands, and of those that are dialed by name."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Final

from aioice.ice import get_host_addresses

from ..protocol.direct_address import DirectAddress
from ..protocol.limits import MAX_PEER_ADDRESSES
from ..protocol.stun_message import Address
from .driver import Driver

_LOOPBACK: Final = {4: "127.0.0.1", 6: "::1"}

_FAMILIES: Final = {
    "ip4": socket.AF_INET,
    "dns4": socket.AF_INET,
    "ip6": socket.AF_INET6,
    "dns6": socket.AF_INET6,
    "dns": socket.AF_UNSPEC,
}

_WILDCARDS: Final[Mapping[int, str]] = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}  # noqa: S104
"""A socket that is bound to one leaves the address of each packet to the system."""


def is_wildcard(host: str) -> bool:
    """Whether ``host`` stands for all addresses of its family."""
    return ipaddress.ip_address(host).is_unspecified


def addresses_of(host: str) -> list[str]:
    """The addresses at which a socket that is bound to ``host`` is reached; loopback's comes last.

    Link-local ones of IPv6 aren't among them: without their zone they mean nothing, and a zone means nothing elsewhere.
    """
    address = ipaddress.ip_address(host)
    if not address.is_unspecified:
        return [host]
    found = get_host_addresses(use_ipv4=address.version == 4, use_ipv6=address.version == 6)  # noqa: PLR2004
    return [*found, _LOOPBACK[address.version]]


def local_address(bound: Address, remote: Address) -> Address:
    """The address that packets to ``remote`` leave from, if their socket is bound to ``bound``."""
    if not is_wildcard(bound[0]):
        return bound
    family = socket.AF_INET6 if ":" in bound[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe, suppress(OSError):
        # It sends nothing: the kernel looks for a route.
        probe.connect(remote)
        return probe.getsockname()[0], bound[1]
    return bound


async def resolve(driver: Driver, address: DirectAddress) -> Mapping[str, Sequence[Address]]:
    """Where ``address`` is: the wildcard host of each IP family, and the addresses that its sockets reach.

    :raises OSError: if the name can't be resolved
    """
    found = await driver.resolve(address.host, address.port, family=_FAMILIES[address.protocol])
    targets: dict[str, list[Address]] = {}
    for family, host in found:
        of_family = targets.setdefault(_WILDCARDS[family], [])
        if len(of_family) < MAX_PEER_ADDRESSES and (host, address.port) not in of_family:
            of_family.append((host, address.port))
    return targets
