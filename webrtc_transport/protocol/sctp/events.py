"""What an association tells its owner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True, slots=True)
class Established:
    """Messages can be exchanged."""

    outbound_streams: int
    """Streams that we may send on: ids below this."""


class MessageReceived(NamedTuple):
    """A message arrived whole. (A tuple, because there is one per message, and a frozen dataclass costs thrice.)"""

    stream_id: int
    ppid: int
    data: bytes


@dataclass(frozen=True, slots=True)
class InboundStreamsReset:
    """The peer has ended these of its streams; it will begin them anew, if at all (RFC 6525)."""

    stream_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OutboundStreamsReset:
    """The peer knows that we have ended these of our streams: their ids may be used again."""

    stream_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """The association is over; nothing follows."""

    reason: str
    is_orderly: bool
    """Whether the peer or this end closed it, rather than that something failed."""
    is_lost: bool = False
    """Whether it failed because the peer doesn't answer any more."""


Event = Established | MessageReceived | InboundStreamsReset | OutboundStreamsReset | Ended
