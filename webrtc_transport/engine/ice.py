"""Full ICE (RFC 8445) with trickle (RFC 8838), on aioice's agent.

aioice keeps the check list and its state machine. Replaced is what it is slow or silent in: its sockets, its
retransmissions, gathering (candidates are told as they are found, from any number of servers in parallel), the
choice between several nominated pairs, consent, and closing, which is bounded here.

aioice's private attributes that this module relies on are listed in :data:`PRIVATE_ATTRIBUTES`.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import random
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Final, Literal, cast

import aioice
from aioice import stun
from aioice.ice import CandidatePair as AioicePair
from aioice.ice import StunProtocol, TransportPolicy, candidate_pair_priority

from ..abc import CandidatePair
from ..errors import IceFailed
from ..protocol.ice_url import IceUrl
from ..protocol.limits import MAX_REMOTE_CANDIDATES
from ..protocol.sdp import IceCandidate
from .gathering import COMPONENT, Gathering, told
from .ice_port import HostPort, IcePort, RelayPort, TurnServer
from .mdns import is_mdns_name, resolve_mdns
from .udp_port import Address

_logger = logging.getLogger("libp2p.transport.webrtc.ice")

PRIVATE_ATTRIBUTES: Final = (
    "_protocols",
    "_local_candidates",
    "_remote_candidates",
    "_add_remote_candidate",
    "_pair_remote_candidate",
    "_prune_components",
    "_early_checks",
    "_early_checks_done",
    "_check_periodic",
)
"""What of ``aioice.Connection`` is used although its name starts with an underscore."""

GATHERING_TIMEOUT: Final = 5.0
"""Seconds after which a STUN or TURN server that doesn't answer is left alone; nothing else waits for it."""

RELAY_HANDICAP: Final = 0.2
"""Seconds by which checks over a relay start later: the first pair that works wins, and direct ones are better."""

CONSENT_CHECKS: Final = 6
"""Consent checks per liveness timeout (RFC 7675, section 5.1: every 5 s of 30 s)."""


class IceEvents(ABC):
    """What an agent tells, on the event loop."""

    @abstractmethod
    def on_local_candidate(self, candidate: IceCandidate | None) -> None:
        """A local candidate was found; ``None`` ends them."""

    @abstractmethod
    def on_packet(self, data: bytes) -> None:
        """A packet that isn't STUN arrived."""

    @abstractmethod
    def on_consent(self, state: Literal["fresh", "missed", "expired"]) -> None:
        """The peer answers again, has missed a consent check, or has been silent for the whole timeout."""


class IceAgent(aioice.Connection):
    """One ICE session for data channels.

    :param controlling: the role (RFC 8445, section 6.1.1)
    :param stun_servers: asked from every host candidate
    :param turn_servers: the TURN servers, with their credentials
    :param relay_only: use and reveal nothing but TURN addresses
    :param bind_addresses: local addresses for host candidates; ``None`` takes all but loopback
    :param liveness_timeout: seconds of silence after which consent has expired
    """

    def __init__(
        self,
        events: IceEvents,
        *,
        controlling: bool,
        stun_servers: Sequence[IceUrl],
        turn_servers: Sequence[TurnServer],
        relay_only: bool,
        bind_addresses: Sequence[str] | None,
        liveness_timeout: float,
        ufrag: str,
        pwd: str,
    ) -> None:
        super().__init__(
            ice_controlling=controlling,
            local_username=ufrag,
            local_password=pwd,
            transport_policy=TransportPolicy.RELAY if relay_only else TransportPolicy.ALL,
        )
        self._events = events
        self._gathering = Gathering(
            self,
            stun_servers=stun_servers,
            turn_servers=turn_servers,
            relay_only=relay_only,
            bind_addresses=bind_addresses,
            on_reflexive=self._add_reflexive,
            on_relay=self._add_relay,
        )
        self._has_turn_servers = bool(turn_servers)
        self._relay_only = relay_only
        self._liveness_timeout = liveness_timeout
        self._selected: AioicePair | None = None
        self._consent_missed = False
        self._connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gathered: asyncio.Task[None] | None = None
        self._servers_asked = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._additions: list[asyncio.Task[None]] = []
        self._remote_ended = False
        self._peer_addresses: set[Address] = set()
        self._finished = False

    # --- candidates -----------------------------------------------------------------------------------------------

    def gather(self) -> None:
        """Begin to gather. Host candidates are told within one turn of the loop, the others as they come."""
        if self._gathered is None and not self._finished:
            self._gathered = self._spawn(self.gather_candidates())

    def add_remote(self, candidate: IceCandidate | None) -> None:
        """Take a candidate of the peer; ``None`` ends them. Those over the limit, and TCP ones, are ignored."""
        if self._finished or self._remote_ended:
            return
        if candidate is None:
            self._remote_ended = True
            self._spawn(self._end_remote())
        elif (candidate.transport, candidate.component) == ("udp", COMPONENT) and (
            len(self._additions) < MAX_REMOTE_CANDIDATES
        ):
            self._additions.append(self._spawn(self._add_remote(candidate)))

    async def _add_remote(self, candidate: IceCandidate) -> None:
        host: str | None = candidate.address
        if is_mdns_name(candidate.address):
            # Relaying to it would tell the TURN server what the name hides (section 3.3.2 of the draft).
            host = None if self._relay_only else await resolve_mdns(candidate.address)
        if host is None:
            _logger.debug("remote candidate %s is not usable", candidate.address)
            return
        self._peer_addresses.add((str(ipaddress.ip_address(host)), candidate.port))
        self._add_remote_candidate(_to_aioice(candidate), host)
        # connect() looks every 20 ms; a candidate that has just come needn't wait.
        if self._early_checks_done:
            self._check_periodic()

    async def _end_remote(self) -> None:
        if self._additions:
            await asyncio.wait(self._additions)
        # aioice gives up as soon as all pairs have failed, so it may not know before our own relays exist.
        await self._servers_asked.wait()
        await self.add_remote_candidate(None)

    def _prune_components(self) -> None:
        """Keep the one component even if the peer named no candidate: its checks may still come (called by aioice)."""

    async def get_component_candidates(
        self,
        component: int,  # noqa: ARG002 - aioice's signature
        addresses: list[str],  # noqa: ARG002 - aioice's signature
        timeout: float = GATHERING_TIMEOUT,  # noqa: ASYNC109
    ) -> list[aioice.Candidate]:
        """Bind the host candidates, and leave the servers to tasks of their own (called by aioice)."""
        hosts = self._gathering.bind_hosts()
        self._protocols.extend(cast("list[StunProtocol]", hosts))
        for port in hosts:
            self._events.on_local_candidate(told(port.local_candidate))
        self._spawn(self._ask_servers(hosts, timeout))
        return [port.local_candidate for port in hosts]

    async def _ask_servers(self, hosts: Sequence[HostPort], timeout: float) -> None:  # noqa: ASYNC109
        await self._gathering.ask_servers(hosts, timeout)
        self._servers_asked.set()
        self._events.on_local_candidate(None)
        if not self._protocols:
            self._fail()

    def _add_reflexive(self, candidate: aioice.Candidate) -> None:
        self._local_candidates.append(candidate)
        self._events.on_local_candidate(told(candidate))

    def _add_relay(self, port: RelayPort) -> None:
        self._protocols.append(cast("StunProtocol", port))
        self._local_candidates.append(port.local_candidate)
        self._events.on_local_candidate(told(port.local_candidate))
        if self._early_checks_done:
            for candidate in self._remote_candidates:
                self._pair_remote_candidate(candidate)
            self.sort_check_list()
            self._check_periodic()

    # --- checks ---------------------------------------------------------------------------------------------------

    async def establish(self, ufrag: str, pwd: str, *, is_lite: bool = False) -> None:
        """Run the checks against the peer with these credentials until a pair is nominated.

        :param is_lite: whether the peer only answers checks (RFC 8445, section 2.5), which makes us controlling
        :raises IceFailed: if every pair failed, or no candidate could be gathered
        """
        self.remote_username, self.remote_password = ufrag, pwd
        self.remote_is_lite = is_lite
        self.ice_controlling = self.ice_controlling or is_lite
        self.gather()
        assert self._gathered is not None
        await self._gathered
        self._spawn(self.connect()).add_done_callback(self._checks_ended)
        # Done at the first nomination; connect() returns up to 20 ms later.
        await self._connected

    def _checks_ended(self, checks: asyncio.Task[None]) -> None:
        if checks.cancelled():
            return
        error = checks.exception()
        if error is not None:
            self._fail(None if isinstance(error, ConnectionError) else error)

    def _fail(self, error: BaseException | None = None) -> None:
        if not self._connected.done():
            self._connected.set_exception(error or IceFailed(self.describe_failure()))

    async def check_start(self, pair: AioicePair) -> None:
        """Check one pair; over a relay a little later than a direct one (called by aioice)."""
        try:
            if not self._relay_only and "relay" in (pair.local_candidate.type, pair.remote_candidate.type):
                # In progress, so that it doesn't hold up the pairs behind it in the check list.
                self.check_state(pair, AioicePair.State.IN_PROGRESS)
                await asyncio.sleep(RELAY_HANDICAP)
            await super().check_start(pair)
        except asyncio.CancelledError:
            # connect() gives the others up at the first nomination. The peer may still prefer one of them.
            pair.task = None
            self.check_state(pair, AioicePair.State.FROZEN)
            raise

    def check_complete(self, pair: AioicePair) -> None:
        """Select among nominated pairs the one of the highest priority (RFC 8445, section 8.1.1; called by aioice)."""
        super().check_complete(pair)
        if pair.state is not AioicePair.State.SUCCEEDED or not pair.nominated:
            return
        # A peer whose old path has gone silent nominates another one: that isn't a matter of priority.
        if (
            self._selected is None
            or self._consent_missed
            or self._priority(pair) > self._priority(self._selected)
        ):
            self._selected = pair
        if not self._connected.done():
            self._connected.set_result(None)

    def _priority(self, pair: AioicePair) -> int:
        return candidate_pair_priority(pair.local_candidate, pair.remote_candidate, self.ice_controlling)

    def check_incoming(self, message: stun.Message, addr: Address, protocol: StunProtocol) -> None:
        """An authenticated check arrived at a port (called by aioice)."""
        # aioice remembers each address that an authenticated peer sends from, with the priority that it tells.
        if "PRIORITY" in message.attributes and (
            addr in self._peer_addresses or len(self._peer_addresses) < 2 * MAX_REMOTE_CANDIDATES
        ):
            self._peer_addresses.add(addr)
            super().check_incoming(message, addr, protocol)
            cast("IcePort", protocol).answer_with_check(addr)

    # --- after the checks -----------------------------------------------------------------------------------------

    @property
    def selected_pair(self) -> CandidatePair | None:
        """The pair in use."""
        if self._selected is None:
            return None
        return CandidatePair(
            local=told(self._selected.local_candidate),
            remote=told(self._selected.remote_candidate),
            remote_ip=self._selected.remote_addr[0],
        )

    def transmit(self, packets: Sequence[bytes], *, may_fragment: bool = False) -> bool:
        """Send packets on the selected pair; before there is one they are dropped. See :class:`.stack.SendPackets`."""
        pair = self._selected
        if pair is None:
            return True
        port = cast("IcePort", pair.protocol)
        return port.send_batch(packets, pair.remote_addr, may_fragment=may_fragment)

    def packet_received(self, data: bytes, address: Address) -> None:
        """A packet that isn't STUN arrived at a port. Anybody may send one: the peer's addresses are known."""
        # An answerer's first packets may come on the heels of its first check, before its answer.
        if address in self._peer_addresses or address in (source for _, source, _ in self._early_checks):
            self._events.on_packet(data)

    async def query_consent(self) -> None:
        """Ask for consent to send (RFC 7675) until it expires (started by aioice when the checks are done)."""
        loop = asyncio.get_running_loop()
        interval = self._liveness_timeout / CONSENT_CHECKS
        last_answer = loop.time()
        while True:
            await asyncio.sleep(interval * random.uniform(0.8, 1.0))  # noqa: S311 - spreads load, hides nothing
            answered = await self._check_consent(interval)
            if answered:
                last_answer = loop.time()
            elif loop.time() - last_answer >= self._liveness_timeout - interval:
                self._events.on_consent("expired")
                return
            if answered is self._consent_missed:
                self._consent_missed = not answered
                self._events.on_consent("fresh" if answered else "missed")

    async def _check_consent(self, timeout: float) -> bool:  # noqa: ASYNC109 - the deadline of a transaction
        pair = self._selected
        assert pair is not None
        assert self.remote_password is not None
        try:
            await cast("IcePort", pair.protocol).request(
                self.build_request(pair, nominate=False),
                pair.remote_addr,
                integrity_key=self.remote_password.encode(),
                timeout=timeout,
            )
        except stun.TransactionError:
            return False
        return True

    def describe_failure(self) -> str:
        """What was tried, and what could help."""
        local = sorted({candidate.type for candidate in self._local_candidates})
        remote = sorted({candidate.type for candidate in self._remote_candidates})
        if not local:
            tried = (
                "the policy is relay only and no TURN server gave a relay"
                if self._relay_only
                else "no local address could be bound; check bind_addresses"
            )
        elif not remote:
            tried = f"the peer sent no usable candidate; ours were {', '.join(local)}"
        else:
            tried = f"tried {', '.join(local)} to {', '.join(remote)}"
        if not self._has_turn_servers:
            cure = "no TURN server is configured"
        elif "relay" in local:
            cure = "the TURN server could not connect them either"
        else:
            cure = "check ice_servers"
        return "; ".join([f"no candidate pair worked: {tried}", cure, *self._gathering.failures])

    async def close(self) -> None:
        """End everything within a second. Safe to call twice."""
        self._finished = True
        for task in self._tasks:
            task.cancel()
        try:
            # Relays say good-bye to their server, side by side; the others only close a socket.
            await asyncio.gather(*(port.close() for port in self._protocols))
        finally:
            await super().close()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._connected.done() and not self._connected.cancelled():
            self._connected.exception()  # Nobody else may have looked, and an unseen exception is logged.

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _to_aioice(candidate: IceCandidate) -> aioice.Candidate:
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
