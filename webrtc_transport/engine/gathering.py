"""Looking for local candidates (RFC 8445, section 5.1.1): on addresses of our own, and with the help of servers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import aioice
from aioice import stun
from aioice.candidate import candidate_foundation, candidate_priority
from aioice.ice import get_host_addresses

from ..errors import InvalidSignal
from ..protocol.ice_url import IceUrl
from ..protocol.sdp import IceCandidate
from .ice_port import HostPort, RelayPort, TurnServer
from .resolver import resolve
from .udp_port import Address

if TYPE_CHECKING:
    from .ice import IceAgent

_logger = logging.getLogger("libp2p.transport.webrtc.ice")

COMPONENT: Final = 1
"""Data channels use one component."""

HIDDEN: Final = ("0.0.0.0", 9)  # noqa: S104 - an SDP placeholder
"""A related address that doesn't tell the host's own (RFC 8839, section 5.1)."""


class Gathering:
    """Finds candidates for one agent.

    :param on_reflexive: called with a candidate that a STUN server gave
    :param on_relay: called with the port of a candidate that a TURN server gave
    """

    def __init__(
        self,
        agent: IceAgent,
        *,
        stun_servers: Sequence[IceUrl],
        turn_servers: Sequence[TurnServer],
        relay_only: bool,
        bind_addresses: Sequence[str] | None,
        on_reflexive: Callable[[aioice.Candidate], None],
        on_relay: Callable[[RelayPort], None],
    ) -> None:
        self.failures: list[str] = []
        """What went wrong with servers, in the words of an error message."""
        self._agent = agent
        self._stun_servers = stun_servers
        self._turn_servers = turn_servers
        self._relay_only = relay_only
        self._bind_addresses = bind_addresses
        self._on_reflexive = on_reflexive
        self._on_relay = on_relay
        self._known: set[Address] = set()

    def bind_hosts(self) -> list[HostPort]:
        """A port for each local address that can be bound; none if only relays may be used."""
        if self._relay_only:
            return []
        addresses = self._bind_addresses
        if addresses is None:
            addresses = get_host_addresses(use_ipv4=True, use_ipv6=True) or ["127.0.0.1"]
        ports = []
        for address in addresses:
            try:
                port = HostPort(self._agent, address)
            except OSError as exc:
                _logger.info("no host candidate on %s: %s", address, exc)
                continue
            port.local_candidate = _local_candidate("host", port.address)
            self._known.add(port.address)
            ports.append(port)
        return ports

    async def ask_servers(self, hosts: Sequence[HostPort], timeout: float) -> None:  # noqa: ASYNC109 - of each server
        """Ask every server from every host port, all at once, for at most ``timeout`` seconds."""
        loop = asyncio.get_running_loop()
        queries = {
            loop.create_task(self._ask_stun(port, url)): url for port in hosts for url in self._stun_servers
        }
        queries |= {loop.create_task(self._ask_turn(server)): server.url for server in self._turn_servers}
        if not queries:
            return
        try:
            _, late = await asyncio.wait(queries, timeout=timeout)
            for query in late:
                self._failed(queries[query], f"no answer within {timeout:g} s")
        finally:
            for query in queries:
                query.cancel()
            await asyncio.wait(queries)

    async def _ask_stun(self, port: HostPort, url: IceUrl) -> None:
        """Learn the server-reflexive candidate of a host port (RFC 8445, section 5.1.1.2)."""
        try:
            for family, address in await resolve(url.host, url.port):
                if family == port.family:
                    mapped = await port.reflexive_address((address, url.port))
                    # The same address again is redundant (RFC 8445, section 5.1.3).
                    if mapped not in self._known:
                        self._known.add(mapped)
                        self._on_reflexive(_local_candidate("srflx", mapped, base=port.address))
                    return
        except (OSError, InvalidSignal, stun.TransactionError) as exc:
            self._failed(url, exc)

    async def _ask_turn(self, server: TurnServer) -> None:
        """Allocate a relayed candidate (RFC 8656)."""
        try:
            port = await RelayPort.allocate(self._agent, server)
        except (OSError, ValueError, stun.TransactionError) as exc:
            self._failed(server.url, exc)
            return
        try:
            base = HIDDEN if self._relay_only else port.mapped_address
            port.local_candidate = _local_candidate("relay", port.address, base=base)
        except InvalidSignal as exc:
            self._failed(server.url, exc)
            await port.close()
        else:
            self._on_relay(port)

    def _failed(self, url: IceUrl, reason: object) -> None:
        failure = f"{url}: {reason}"
        _logger.info("no candidate from %s", failure)
        if failure not in self.failures:
            self.failures.append(failure)


def _local_candidate(kind: str, address: Address, *, base: Address | None = None) -> aioice.Candidate:
    """A candidate of ours.

    :raises InvalidSignal: if a server told an address that can't be one
    """
    candidate = aioice.Candidate(
        foundation=candidate_foundation(kind, "udp", (base or address)[0]),
        component=COMPONENT,
        transport="udp",
        priority=candidate_priority(COMPONENT, kind),
        host=address[0],
        port=address[1],
        type=kind,
        related_address=base[0] if base else None,
        related_port=base[1] if base else None,
    )
    told(candidate)
    return candidate


def told(candidate: aioice.Candidate) -> IceCandidate:
    """The candidate as the peer is told of it.

    :raises InvalidSignal: if it can't be
    """
    return IceCandidate.from_sdp(candidate.to_sdp())
