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
from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Final, cast

import aioice
from aioice import stun
from aioice.ice import CandidatePair as AioicePair
from aioice.ice import StunProtocol, TransportPolicy, candidate_pair_priority

from ..abc import CandidatePair
from ..errors import IceFailed
from ..portal import Portal
from ..protocol.ice_url import IceUrl
from ..protocol.limits import MAX_REMOTE_CANDIDATES
from ..protocol.sdp import IceCandidate
from .consent import CONSENT_RETRANSMISSION, Consent
from .driver import Driver
from .gathering import COMPONENT, Gathering, to_aioice, told
from .ice_port import IcePort, RelayPort
from .mdns import is_mdns_name, resolve_mdns
from .turn_client import TurnServer
from .udp_port import Address

if TYPE_CHECKING:
    from .ice_session import IceEvents

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


class IceAgent(aioice.Connection):
    """The agent of one ICE session for data channels.

    It runs on the engine's loop, but for :meth:`gather`, :meth:`transmit`, :meth:`packet_received` and :meth:`release`,
    which are called in the caller's: packets of a host candidate needn't cross the portal.

    :param driver: of the caller's loop
    :param portal: between the two; on asyncio they are one
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
        driver: Driver,
        portal: Portal,
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
        self.portal = portal
        self._events = events
        self._gathering = Gathering(
            self,
            driver,
            stun_servers=stun_servers,
            turn_servers=turn_servers,
            relay_only=relay_only,
            bind_addresses=bind_addresses,
            on_reflexive=self._add_reflexive,
            on_relay=self._add_relay,
        )
        self._relay_only = relay_only
        self._consent = Consent(
            liveness_timeout,
            self._check_consent,
            lambda state: portal.deliver(events.on_consent, state),
        )
        self._selected: AioicePair | None = None
        self._failure: BaseException | None = None
        self._is_settled = asyncio.Event()
        """Whether a pair was nominated, or none can be: then ``_failure`` says why."""
        self._is_gathering = False
        self._gathered: asyncio.Task[None] | None = None
        self._servers_asked = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._additions: list[asyncio.Task[None]] = []
        self._remote_ended = False
        self._peer_addresses: set[Address] = set()
        self.is_finished = False
        """Whether the sockets may be closed at any time: nothing is sent on the engine's loop any more."""

    # --- candidates -----------------------------------------------------------------------------------------------

    def gather(self) -> None:
        """Begin to gather, once, in the caller's loop. Host candidates are told within a turn, the others as they come.

        What it raises is the system's: it can't tell its addresses, or watch a socket.
        """
        if not self._is_gathering and not self.is_finished:
            self._is_gathering = True
            self._gathering.bind_hosts()
            self.portal.post(self._begin_gathering)

    def _begin_gathering(self) -> None:
        self._gathered = self._spawn(self.gather_candidates())

    def add_remote(self, candidate: IceCandidate | None) -> None:
        """Take a candidate of the peer; ``None`` ends them. Those over the limit, and TCP ones, are ignored."""
        if self.is_finished or self._remote_ended:
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
        self._add_remote_candidate(to_aioice(candidate), host)
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
        """Take the host candidates, and leave the servers to tasks of their own (called by aioice)."""
        hosts = self._gathering.hosts
        self._protocols.extend(cast("list[StunProtocol]", hosts))
        for port in hosts:
            self._found(told(port.local_candidate))
        self._spawn(self._ask_servers(timeout))
        return [port.local_candidate for port in hosts]

    async def _ask_servers(self, timeout: float) -> None:  # noqa: ASYNC109 - of each server
        await self._gathering.ask_servers(timeout)
        self._servers_asked.set()
        self._found(None)
        if not self._protocols:
            self._fail()

    def _add_reflexive(self, candidate: aioice.Candidate) -> None:
        self._local_candidates.append(candidate)
        self._found(told(candidate))

    def _add_relay(self, port: RelayPort) -> None:
        self._protocols.append(cast("StunProtocol", port))
        self._local_candidates.append(port.local_candidate)
        self._found(told(port.local_candidate))
        if self._early_checks_done:
            for candidate in self._remote_candidates:
                self._pair_remote_candidate(candidate)
            self.sort_check_list()
            self._check_periodic()

    def _found(self, candidate: IceCandidate | None) -> None:
        self.portal.deliver(self._events.on_local_candidate, candidate)

    # --- checks ---------------------------------------------------------------------------------------------------

    async def establish(self, ufrag: str, pwd: str, *, is_lite: bool = False) -> None:
        """Run the checks against the peer with these credentials until a pair is nominated; :meth:`gather` comes first.

        :param is_lite: whether the peer only answers checks (RFC 8445, section 2.5), which makes us controlling
        :raises IceFailed: if every pair failed, or no candidate could be gathered
        """
        self.remote_username, self.remote_password = ufrag, pwd
        self.remote_is_lite = is_lite
        self.ice_controlling = self.ice_controlling or is_lite
        assert self._gathered is not None
        await self._gathered
        self._spawn(self.connect()).add_done_callback(self._checks_ended)
        # Set at the first nomination; connect() returns up to 20 ms later.
        await self._is_settled.wait()
        if self._failure is not None:
            raise self._failure

    def _checks_ended(self, checks: asyncio.Task[None]) -> None:
        if checks.cancelled():
            return
        error = checks.exception()
        if error is not None:
            self._fail(None if isinstance(error, ConnectionError) else error)

    def _fail(self, error: BaseException | None = None) -> None:
        if not self._is_settled.is_set():
            self._failure = error or IceFailed(self._gathering.describe_failure())
            self._is_settled.set()

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
            or self._consent.is_missed
            or self._priority(pair) > self._priority(self._selected)
        ):
            self._selected = pair
        self._is_settled.set()

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
        # An answerer's first packets may come on the heels of its first check, before its answer. Asked is a copy, for
        # the engine's loop may add to them meanwhile.
        if address in self._peer_addresses or any(address == check[1] for check in self._early_checks.copy()):
            self._events.on_packet(data)

    async def query_consent(self) -> None:
        """Ask for consent to send until it expires (started by aioice when the checks are done)."""
        await self._consent.ask_until_it_expires()

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
                first_retransmission=CONSENT_RETRANSMISSION,
            )
        except stun.TransactionError:
            return False
        return True

    def abandon(self) -> None:
        """End what needs no wait, on the engine's loop, which shuts down: relays are left to expire."""
        self._stop()
        for port in self._protocols:
            cast("IcePort", port).abort()

    def _stop(self) -> None:
        """Nothing is sent any more, and nothing new begins."""
        self.is_finished = True
        for task in self._tasks:
            task.cancel()

    async def close(self) -> None:
        """End everything on the engine's loop. Safe to call twice, and to cancel."""
        self._stop()
        try:
            # Relays say good-bye to their server, side by side.
            await asyncio.gather(*(port.close() for port in self._protocols))
        finally:
            await super().close()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def release(self) -> None:
        """Close the sockets that are read in the caller's loop. Safe to call twice."""
        for port in self._gathering.hosts:
            port.close_socket()

    def _spawn(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
