"""A peer as the hub knows it: a mailbox that outlives the connections by which its client empties it. Sans-IO."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from ..channel import ReliableChannel
from ..messages import Failure
from .admission import TokenBucket
from .signals import RoutedSignal, ToClient


class Link(Protocol):
    """The connection of a client, a WebSocket or polls. Its methods don't block, and may be called after its end."""

    def wake(self) -> None:
        """The registration's channel has something to transmit."""

    def close(self, farewell: Failure) -> None:
        """Transmit what the channel still has, and then ``farewell``, and close."""

    def drop(self) -> None:
        """Close at once, and leave the channel alone: another connection has it."""


class _Inward(Protocol):
    def settle(self, seq: int) -> None:
        """The message of this number was taken."""


class Source(Protocol):
    """Where messages come from: a client, or another server."""

    def wake(self) -> None:
        """It may be told what was taken."""


@dataclass(slots=True, eq=False)
class Registration:
    """A peer, as the hub knows it."""

    peer: str
    channel: ReliableChannel[ToClient]
    bucket: TokenBucket
    """For the messages that it sends, over all its connections."""
    instance: str | None
    """``None`` for a peer that isn't back yet after a restart of the server."""
    proven: bool = False
    token_expires_at: float = math.inf
    """When the token of its last connection does, in seconds since 1970; never if none is wanted."""
    link: Link | None = None
    expires_at: float = math.inf
    """When it ends; never while there is a link."""
    returned_at: float = -math.inf
    """When it came, if it was registered with a server before that has forgotten it."""
    sessions: dict[SessionKey, Session] = field(default_factory=dict)
    started: int = 0
    """How many of the sessions it has started."""
    awaited: int = 0
    """Peers that aren't back yet for which it has been made to wait."""
    is_remote: bool = False
    """Whether its client is connected to another server of the cluster, or is looked for there."""

    def wake(self) -> None:
        """Let the link transmit, if there is one."""
        if self.link is not None:
            self.link.wake()

    def undelivered(self) -> Counter[SessionKey]:
        """How many signals of each session the client has not acknowledged."""
        return Counter(
            SessionKey(message.sender, message.session)
            for message in self.channel.unacknowledged
            if isinstance(message, RoutedSignal)
        )


@dataclass(slots=True)
class Receipt:
    """What is called when a peer has taken a message: its sender may be told."""

    source: Source
    channel: _Inward
    """That the message came by. The source may have another by now."""
    seq: int

    def __call__(self) -> None:
        self.channel.settle(self.seq)
        self.source.wake()


@dataclass(slots=True, eq=False)
class Session:
    """One session, known at both ends."""

    starter: Registration
    answerer: Registration
    used_at: float

    def other(self, end: Registration) -> Registration:
        """The other end."""
        return self.answerer if end is self.starter else self.starter


class SessionKey(NamedTuple):
    """A session, as one of its ends knows it."""

    peer: str
    """The other end."""
    session: str
