"""The other servers of a cluster, for the hub of one. Sans-IO: a :class:`~.backplane.Backplane` carries.

A peer of another server has a registration here while there are sessions with it. Its link is a
:class:`~.flows.RemoteLink`, which sends what the registration's channel has to the server where the peer is. That is a
*flow*: numbered, and kept until the peer itself has taken it. So whatever ends or forgets on the way, the flow begins
anew, and nothing is lost; and what comes twice, the clients drop by the numbers of their sessions.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from itertools import islice
from typing import Final

from ..messages import Failure, Malformed, SessionFailure
from .backplane import Backplane, BackplaneEvents, Location
from .flows import Inflow, RemoteLink
from .frames import Delivery, Frame, Progress, Unknown
from .hub import Hub
from .registration import Receipt, Registration, SessionKey
from .roster import failure
from .signals import RoutedSignal, ToClient, parse_delivery

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")

_NOT_FOUND_AFTER: Final = 0.5
"""Seconds that a peer is looked for. It may have told another server who it is, and that not yet the directory."""

_MAX_LOCATES: Final = 500
"""Peers that are looked for at once; the others follow. The clients of a server that has ended may be thousands."""

_INSPECT_EVERY: Final = 1.0
"""Seconds between looks at all flows."""

_REPLACED: Final = "was replaced by another client with its peer id"


@dataclass(slots=True)
class _Search:
    """For a peer that has no server now."""

    since: float
    patient: bool
    """Whether it may come yet."""
    has_left: bool = False
    """Whether its server said that it isn't there."""


class Neighbours(BackplaneEvents):
    """Joins ``hub`` with those of other servers; ``now`` is the clock."""

    def __init__(self, hub: Hub, backplane: Backplane, now: Callable[[], float]) -> None:
        self._hub = hub
        self._roster = hub.roster
        self._roster.cluster = self
        self._backplane = backplane
        self._now = now
        self._claims: dict[str, int | None] = {}
        """Since when our clients are ours; ``None`` while that isn't confirmed."""
        self._contested: dict[str, Location] = {}
        """Where those went that aren't confirmed, if later."""
        self._links: dict[str, RemoteLink] = {}
        self._searches: dict[str, _Search] = {}
        self._inflows: dict[tuple[str, str], Inflow] = {}
        self._changed: set[Inflow] = set()
        self._inspected_at = -math.inf

    # --- what the hub tells -------------------------------------------------------------------------------------------

    def registered(self, registration: Registration) -> None:
        self._links.pop(registration.peer, None)
        self._searches.pop(registration.peer, None)
        self._claims[registration.peer] = None
        self._claim(registration)

    def ended(self, registration: Registration) -> None:
        peer = registration.peer
        self._links.pop(peer, None)
        self._searches.pop(peer, None)
        if peer in self._claims:
            self._forget_claim(peer)
            self._backplane.release(peer)

    def look_for(self, registration: Registration, now: float, *, patiently: bool) -> None:
        self._searches[registration.peer] = _Search(now, patiently)
        self._backplane.locate(registration.peer)

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        """Call it a few times a second."""
        now = self._now()
        for peer in list(islice(self._searches, _MAX_LOCATES)):
            self._searches[peer] = self._searches.pop(peer)
            self._backplane.locate(peer)
        for inflow in self._changed:
            self._report(inflow)
        self._changed.clear()
        if now >= self._inspected_at + _INSPECT_EVERY:
            self._inspected_at = now
            for link in list(self._links.values()):
                self._inspect(link, now)

    def _inspect(self, link: RemoteLink, now: float) -> None:
        registration = link.registration
        if registration.channel.kept_bytes or registration.sessions:
            link.inspect(now)
        else:
            self._roster.end(registration, "is not needed")

    # --- where peers are ----------------------------------------------------------------------------------------------

    def on_claimed(self, peer: str, stamp: int) -> None:
        if peer in self._claims:
            self._claims[peer] = stamp
            later = self._contested.pop(peer, None)
            if later is not None:
                self.on_location(peer, later)

    def on_location(self, peer: str, location: Location) -> None:
        registration = self._roster.get(peer)
        if registration is None or location.server == self._backplane.server:
            return
        if registration.is_remote:
            self._go_to(registration, location)
        elif registration.proven and not location.proven:
            _logger.warning("%s is registered here with a proof, and elsewhere without one", peer)
        elif location.proven and not registration.proven:
            self._replace(registration, failure("invalid-proof", f"{peer} is registered with a proof"))
        elif (stamp := self._claims[peer]) is None:
            self._contested[peer] = location
        elif location.stamp > stamp:
            self._give_away(registration, location)

    def on_located(self, peer: str, location: Location | None, *, is_alive: bool) -> None:
        search, registration = self._searches.get(peer), self._roster.get(peer)
        if search is None or registration is None:
            return
        if location is not None and location.server == self._backplane.server:
            # It was here, and the directory hasn't heard yet that it has left.
            self._backplane.release(peer)
        elif location is not None and is_alive:
            self._go_to(registration, location)
        elif location is None and search.has_left:
            self._roster.end(registration, "has left")
        elif location is None and not search.patient and self._now() >= search.since + _NOT_FOUND_AFTER:
            self._roster.end(registration, "is not registered here", code="peer-not-found")

    def on_server_gone(self, server: str) -> None:
        for link in [link for link in self._links.values() if link.server == server]:
            self._lose(link, has_left=False)
        for key in [key for key in self._inflows if key[0] == server]:
            del self._inflows[key]

    def on_restored(self) -> None:
        self.claims_due()
        for link in self._links.values():
            link.resend()

    def claims_due(self) -> None:
        for peer in self._claims:
            registration = self._roster.get(peer)
            assert registration is not None, "the claims are those of our clients"
            self._claim(registration)

    def watched(self) -> Collection[str]:
        return {link.server for link in self._links.values()} | {server for server, _ in self._inflows}

    def _claim(self, registration: Registration) -> None:
        peer, instance = registration.peer, registration.instance
        assert instance is not None, "it is registered"
        self._backplane.claim(peer, instance, proven=registration.proven, stamp=self._claims[peer])

    def _forget_claim(self, peer: str) -> None:
        del self._claims[peer]
        self._contested.pop(peer, None)

    def _give_away(self, registration: Registration, location: Location) -> None:
        if registration.instance != location.instance:
            self._replace(registration, failure("replaced", "another client registered with this peer id"))
            return
        _logger.info("%s has gone to another server", registration.peer)
        self._forget_claim(registration.peer)
        self._roster.hand_over(registration)
        self._link(registration, location.server)

    def _replace(self, registration: Registration, farewell: Failure) -> None:
        self._roster.end(registration, _REPLACED, farewell)

    def _go_to(self, registration: Registration, location: Location) -> None:
        if registration.instance not in (None, location.instance):
            self._roster.end(registration, _REPLACED)
            return
        registration.instance, registration.proven = location.instance, location.proven
        present = self._links.get(registration.peer)
        if present is None or present.server != location.server:
            self._link(registration, location.server)

    def _link(self, registration: Registration, server: str) -> None:
        self._searches.pop(registration.peer, None)
        if registration.peer in self._links:
            # What the other server got is to come again, over a flow that begins at 1.
            registration.channel = registration.channel.renewed(_is_any)
        link = self._links[registration.peer] = RemoteLink(registration, server, self._now(), self._backplane)
        self._roster.set_link(registration, link)
        link.wake()

    def _lose(self, link: RemoteLink, *, has_left: bool) -> None:
        """The peer isn't where we took it to be."""
        now, registration = self._now(), link.registration
        del self._links[registration.peer]
        registration.channel = registration.channel.renewed(_is_any)
        self._roster.set_away(registration, now)
        self._searches[registration.peer] = _Search(now, patient=True, has_left=has_left)

    # --- what other servers say ---------------------------------------------------------------------------------------

    def on_frame(self, server: str, frame: Frame) -> None:
        match frame:
            case Delivery():
                self._receive(server, frame)
            case Progress(peer=peer, flow=flow, received=received, taken=taken):
                link = self._links.get(peer)
                if link is not None and (link.server, link.flow) == (server, flow):
                    link.progress(received, taken, self._now())
            case Unknown(peer=peer, flow=flow, is_here=is_here):
                link = self._links.get(peer)
                if link is not None and (link.server, link.flow) == (server, flow):
                    if is_here:
                        self._link(link.registration, server)
                    else:
                        self._lose(link, has_left=True)

    def _receive(self, server: str, frame: Delivery) -> None:
        """Messages came for a client of ours."""
        now = self._now()
        for body in frame.bodies:
            numbered = parse_delivery(body)
            client, inflow = self._roster.get(frame.peer), self._inflow(server, frame, numbered.seq)
            if client is None or client.is_remote or inflow is None:
                self._refuse(server, frame, client)
                return
            self._changed.add(inflow)
            if numbered.seq > inflow.channel.received + 1:
                # Something was lost on the way; it comes again.
                return
            if inflow.channel.accept(numbered.seq, now, hold=(frame.peer, frame.flow)):
                receipt = Receipt(inflow, inflow.channel, numbered.seq)
                self._deliver(server, client, numbered.message, now, receipt=receipt)

    def _inflow(self, server: str, frame: Delivery, seq: int) -> Inflow | None:
        """The flow that messages belong to; it begins with the first one."""
        inflow = self._inflows.get((server, frame.peer))
        if inflow is not None and inflow.flow == frame.flow:
            return inflow
        if seq > 1:
            return None
        inflow = self._inflows[server, frame.peer] = Inflow(server, frame.peer, frame.flow, self._changed.add)
        return inflow

    def _refuse(self, server: str, frame: Delivery, client: Registration | None) -> None:
        """The client isn't ours, or the flow not known."""
        self._inflows.pop((server, frame.peer), None)
        is_here = client is not None and not client.is_remote
        self._backplane.send(server, Unknown(peer=frame.peer, flow=frame.flow, is_here=is_here))
        if client is None:
            self._backplane.release(frame.peer)

    def _deliver(
        self,
        server: str,
        client: Registration,
        message: ToClient | Malformed,
        now: float,
        *,
        receipt: Receipt,
    ) -> None:
        # Signals first: to ask whether something is a pydantic model that it isn't takes long.
        if isinstance(message, (RoutedSignal, Malformed)):
            if message.recipient == client.peer != message.sender:
                sender, key = self._sender(message.sender, server), SessionKey(client.peer, message.session)
                self._hub.relay(sender, key, message, now, receipt=receipt)
                return
        elif isinstance(message, SessionFailure):
            self._hub.fail(client, message, receipt)
            return
        _logger.warning("server %s sends to %s what isn't for it", server, client.peer)
        receipt()

    def _sender(self, peer: str, server: str) -> Registration:
        """The registration of a peer whose message came from ``server``."""
        registration = self._roster.get(peer)
        if registration is None:
            registration = self._roster.add(peer, remote=True)
        if registration.is_remote and registration.link is None:
            self._link(registration, server)
        return registration

    def _report(self, inflow: Inflow) -> None:
        client = self._roster.get(inflow.peer)
        if client is None or client.is_remote:
            self._inflows.pop((inflow.server, inflow.peer), None)
        self._backplane.send(inflow.server, inflow.progress())


def _is_any(_message: ToClient) -> bool:
    return True
