"""What peers of the in-memory engine send to each other."""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.certificate import Certificate
from ..protocol.sdp import IceCandidate


@dataclass(frozen=True, slots=True)
class Check:
    """An ICE check: proves by the password that its sender knows the description."""

    ufrag: str
    pwd: str
    candidate: IceCandidate


@dataclass(frozen=True, slots=True)
class CheckAnswer:
    """The response to a check."""

    candidate: IceCandidate


@dataclass(frozen=True, slots=True)
class Hello:
    """The DTLS handshake."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class Init:
    """The SCTP handshake: how many bytes the sender takes before it reads."""

    window: int


@dataclass(frozen=True, slots=True)
class ConsentCheck:
    """Asks for a sign of life."""


@dataclass(frozen=True, slots=True)
class ConsentAnswer:
    """A sign of life."""


@dataclass(frozen=True, slots=True)
class GoodBye:
    """The sender closes the connection."""


@dataclass(frozen=True, slots=True)
class Open:
    """The sender opened a channel."""

    stream_id: int
    label: str


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a channel."""

    stream_id: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Reset:
    """The sender sends nothing more on a channel."""

    stream_id: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The receiver has read ``size`` bytes."""

    size: int


SetupPacket = Check | CheckAnswer | Hello | Init | ConsentCheck | ConsentAnswer | GoodBye
ChannelPacket = Open | Message | Reset | Grant
Packet = SetupPacket | ChannelPacket
