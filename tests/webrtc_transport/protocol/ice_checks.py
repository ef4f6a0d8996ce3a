"""Checks as a peer sends them, and two agents with a network between them, in a time of their own."""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Callable

from webrtc_transport.protocol.stun import Attribute
from webrtc_transport.protocol.stun_message import Address, StunMessage, binding_request, encode_message
from webrtc_transport.protocol.ufrag import DirectCredentials

SERVER: Address = ("192.0.2.1", 4001)
CLIENT: Address = ("198.51.100.7", 50000)
OTHER: Address = ("198.51.100.7", 50001)


def check(credentials: DirectCredentials, **changes) -> bytes:
    """A client's check; with ``from_server`` a server's."""
    from_server = changes.pop("from_server", False)
    receiver = credentials.client if from_server else credentials.server
    settings = {
        "username": credentials.answering_username if from_server else credentials.username,
        "password": receiver.password.encode(),
        "priority": 1853817087,
        "tie_breaker": 2**63,
        "controlling": not from_server,
    }
    transaction_id = changes.pop("transaction_id", None) or os.urandom(12)
    return binding_request(transaction_id, **(settings | changes))


def unknown_attribute(credentials: DirectCredentials) -> bytes:
    attributes = [(int(Attribute.USERNAME), credentials.username), (0x7ABC, b"?")]
    return encode_message(1, os.urandom(12), attributes, credentials.server.password.encode())


class Network:
    """Carries datagrams between a dialer and a listener, both of them agents.

    :param delay: seconds in each direction
    :param is_lost: told the direction (``"up"`` to the listener) and the number of each datagram
    """

    def __init__(
        self, dialer, listener, *, delay: float = 0.01, is_lost: Callable[[str, int], bool] = lambda *_: False
    ) -> None:
        self.now = 0.0
        self.dialer, self.listener = dialer, listener
        self.client_address = CLIENT
        self.sent = {"up": 0, "down": 0}
        self.events: list[tuple[float, str, object]] = []
        self._delay, self._is_lost = delay, is_lost
        self._numbers = itertools.count()
        self._flight: list[tuple[float, int, str, bytes, Address]] = []
        self._collect()

    def run(self, until: float) -> None:
        self._collect()
        while True:
            due = [agent.timer for agent in (self.dialer, self.listener) if agent.timer is not None]
            if self._flight:
                due.append(self._flight[0][0])
            if not due or min(due) > until:
                self.now = until
                return
            self.now = max(self.now, min(due))
            if self._flight and self._flight[0][0] <= self.now:
                self._deliver(*heapq.heappop(self._flight)[2:])
            self.dialer.handle_timer(self.now)
            self.listener.handle_timer(self.now)
            self._collect()

    def of(self, end: str) -> list[object]:
        return [event for _, who, event in self.events if who == end]

    def _deliver(self, direction: str, data: bytes, address: Address) -> None:
        if direction == "up":
            self.listener.receive(StunMessage(data), len(data), address, self.now)
        elif address == self.client_address:
            self.dialer.receive(StunMessage(data), len(data), SERVER, self.now)

    def _collect(self) -> None:
        for agent, name, direction in ((self.dialer, "dialer", "up"), (self.listener, "listener", "down")):
            self.events += [(self.now, name, event) for event in agent.events]
            agent.events.clear()
            for data, address in agent.transmit():
                number = self.sent[direction]
                self.sent[direction] += 1
                if not self._is_lost(direction, number) and (direction == "down" or address == SERVER):
                    # Up, the address is where it comes from; down, where it goes to.
                    place = self.client_address if direction == "up" else address
                    heapq.heappush(
                        self._flight, (self.now + self._delay, next(self._numbers), direction, data, place)
                    )
