"""What the two ICE agents of webrtc-direct have in common: no I/O, and one rule for every driver.

After each call, send what :meth:`IceAgent.transmit` returns, act on :attr:`IceAgent.events` and empty it, and call
:meth:`IceAgent.handle_timer` when :attr:`IceAgent.timer` says so.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from .ice_events import IceEvent
from .stun_message import Address, StunMessage
from .ufrag import Flow

CONSENT_INTERVAL: Final = 5.0
"""Seconds between consent checks, on average; each is from 0.8 to 1.2 times that (RFC 7675, section 5.1)."""

_CHECKS_PER_TIMEOUT: Final = 4
"""Consent checks that get lost before a timeout that is shorter than usual ends the connection."""

_SIGNS_MISSED: Final = 2.5
"""Consent intervals of silence that say more than that a packet got lost: two of them take 2.4 at most, and the last
answer its round trip."""


class IceAgent(ABC):
    """One end of one connection.

    :param flow: how the dialer told the credentials
    :param consent_timeout: seconds of silence after which consent has expired
    """

    def __init__(self, flow: Flow, now: float, consent_timeout: float) -> None:
        self.flow: Final = flow
        self.events: list[IceEvent] = []
        self.is_ended = False
        self.heard_at = now
        """When something authentic came from the peer."""
        self._consent_timeout = consent_timeout
        self._consent_interval = min(CONSENT_INTERVAL, consent_timeout / _CHECKS_PER_TIMEOUT)

    @property
    def silent_at(self) -> float:
        """When the peer counts as silent, if nothing comes until then: it has missed signs of life."""
        return self.heard_at + _SIGNS_MISSED * self._consent_interval

    @abstractmethod
    def receive(self, message: StunMessage, size: int, address: Address, now: float) -> None:
        """Take a STUN message from ``address``.

        :param size: bytes of the datagram
        """

    @abstractmethod
    def accepts(self, size: int, address: Address) -> bool:
        """Whether a datagram of ``size`` bytes that isn't STUN is to be looked at. It counts as received."""

    @abstractmethod
    def confirm(self, address: Address, now: float) -> None:
        """Tell that DTLS took something authentic from ``address``: the end of a handshake, or data."""

    @abstractmethod
    def destination(self, size: int) -> Address | None:
        """Where ``size`` bytes may be sent now, and count them as sent. None if nowhere."""

    @abstractmethod
    def ask_consent(self, now: float) -> None:
        """Tell that the peer is silent though it should answer: an agent that sends checks sends one at once."""

    @property
    @abstractmethod
    def selected(self) -> Address | None:
        """The peer's address on the path that was nominated, once there is one."""

    @abstractmethod
    def transmit(self) -> list[tuple[bytes, Address]]:
        """The datagrams that are due; they are given once."""

    @property
    @abstractmethod
    def timer(self) -> float | None:
        """When :meth:`handle_timer` is to be called, or None if not any more."""

    @abstractmethod
    def handle_timer(self, now: float) -> None:
        """Do what is due at ``now``."""
