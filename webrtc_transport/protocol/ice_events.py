"""What an ICE agent has to tell."""

from __future__ import annotations

from dataclasses import dataclass

from .stun_message import Address


@dataclass(frozen=True, slots=True)
class PathValidated:
    """An authentic message came from ``address``: DTLS is to be taken from there, nominated or not."""

    address: Address


@dataclass(frozen=True, slots=True)
class PathSelected:
    """From now on what is sent goes to ``address``: it was nominated, or the peer moved there."""

    address: Address


@dataclass(frozen=True, slots=True)
class ConsentExpired:
    """Nothing authentic came for too long (RFC 7675). The agent has ended; nothing more may be sent."""

    silence: float
    """Seconds."""


@dataclass(frozen=True, slots=True)
class ChecksFailed:
    """No path was found, or none was nominated. The agent has ended."""

    reason: str
    """For people: what was tried, what came back, and for how long."""


IceEvent = PathValidated | PathSelected | ConsentExpired | ChecksFailed
