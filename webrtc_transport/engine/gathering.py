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
from .driver import Driver
from .ice_port import HostPort, RelayPort
from .resolver import resolve
from .turn_client import TurnServer
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

    :param driver: of the caller's loop, which reads the host candidates' sockets
    :param on_reflexive: called with a candidate that a STUN server gave
    :param on_relay: called with the port of a candidate that a TURN server gave
    """

    def __init__(
        self,
        agent: IceAgent,
        driver: Driver,
        *,
        stun_servers: Sequence[IceUrl],
        turn_servers: Sequence[TurnServer],
        relay_only: bool,
        bind_addresses: Sequence[str] | None,
        on_reflexive: Callable[[aioice.Candidate], None],
        on_relay: Callable[[RelayPort], None],
    ) -> None:
        self.hosts: list[HostPort] = []
        """A port for each local address that could be bound. The owner closes their sockets."""
        self._failures: list[str] = []
        """What went wrong with servers, in the words of an error message."""
        self._agent = agent
        self._driver = driver
        self._stun_servers = stun_servers
        self._turn_servers = turn_servers
        self._relay_only = relay_only
        self._bind_addresses = bind_addresses
        self._on_reflexive = on_reflexive
        self._on_relay = on_relay
        self._known: set[Address] = set()

    def bind_hosts(self) -> None:
        """Make :attr:`hosts`; none if only relays may be used. In the caller's loop."""
        if self._relay_only:
            return
        addresses = self._bind_addresses
        if addresses is None:
            addresses = get_host_addresses(use_ipv4=True, use_ipv6=True) or ["127.0.0.1"]
        for address in addresses:
            try:
                port = HostPort(self._agent, self._driver, address)
            except OSError as exc:
                _logger.info("no host candidate on %s: %s", address, exc)
                continue
            self.hosts.append(port)
            port.local_candidate = _local_candidate("host", port.address)
            self._known.add(port.address)

    async def ask_servers(self, timeout: float) -> None:  # noqa: ASYNC109 - of each server
        """Ask every server from every host port, all at once, for at most ``timeout`` seconds."""
        loop = asyncio.get_running_loop()
        queries = {
            loop.create_task(self._ask_stun(port, url)): url
            for port in self.hosts
            for url in self._stun_servers
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
        if failure not in self._failures:
            self._failures.append(failure)

    def describe_failure(self) -> str:
        """That no pair worked: what was tried, and what could help."""
        ours = sorted({candidate.type for candidate in self._agent.local_candidates})
        theirs = sorted({candidate.type for candidate in self._agent.remote_candidates})
        if not ours:
            tried = (
                "the policy is relay only and no TURN server gave a relay"
                if self._relay_only
                else "no local address could be bound; check bind_addresses"
            )
        elif not theirs:
            tried = f"the peer sent no usable candidate; ours were {', '.join(ours)}"
        else:
            tried = f"tried {', '.join(ours)} to {', '.join(theirs)}"
        if not self._turn_servers:
            cure = "no TURN server is configured"
        elif "relay" in ours:
            cure = "the TURN server could not connect them either"
        else:
            cure = "check ice_servers"
        return "; ".join([f"no candidate pair worked: {tried}", cure, *self._failures])


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


def to_aioice(candidate: IceCandidate) -> aioice.Candidate:
    """A candidate of the peer, as aioice takes it."""
    return aioice.Candidate(
        foundation=candidate.foundation,
        component=candidate.component,
        transport=candidate.transport,
        priority=candidate.priority,
        host=candidate.address,
        port=candidate.port,
        type=candidate.type,
        related_address=candidate.related_address,
        related_port=candidate.related_port,
    )
