"""Messages for one peer, from server to server: numbered, and kept until the peer has taken them. Sans-IO."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterator
from typing import Final, Never

from ..channel import ReliableChannel
from ..messages import Failure, Numbered
from .backplane import Backplane
from .frames import Delivery, Progress, deliveries
from .registration import Registration

_RESEND_AFTER: Final = 2.0
"""Seconds without progress after which a flow is sent again. Answers take half a second when all is well."""

_ASK_AFTER: Final = 5.0
"""The same when the other server has all, and the peer not: the answer may have been lost, or the peer is away."""


class RemoteLink:
    """The hub's :class:`~.registration.Link` to a peer on another server: it sends the flow."""

    def __init__(self, registration: Registration, server: str, now: float, backplane: Backplane) -> None:
        self.registration = registration
        self.server = server
        self.flow = secrets.token_urlsafe(16)
        self._received = 0
        """The last message that the other server has."""
        self._moved_at = now
        """When it got further for the last time, or had to go no further."""
        self._is_repeating = False
        """Whether the next frames begin with what was sent before. Until then, there may be progress of that."""
        self._backplane = backplane

    def wake(self) -> None:
        self._backplane.send_from(self.server, self)

    def frames(self) -> Iterator[Delivery]:
        """What the channel has that wasn't sent yet."""
        registration = self.registration
        # The peer may have gone elsewhere since it was woken.
        if registration.link is self:
            if self._is_repeating:
                self._is_repeating = False
                registration.channel.rewind(0)
            items = registration.channel.transmit(-math.inf)
            messages = [item for item in items if isinstance(item, Numbered)]
            yield from deliveries(registration.peer, self.flow, messages)

    def close(self, farewell: Failure) -> None:
        """Nothing: it is no matter of the peer's."""

    def drop(self) -> None:
        """Nothing: the other server doesn't hold on to it."""

    def progress(self, received: int, taken: int, now: float) -> None:
        """The other server has told how far it is.

        :raises InvalidSignal: if that can't be; it may speak of what was sent before the flow was sent again
        """
        channel = self.registration.channel
        kept_bytes = channel.kept_bytes
        channel.acknowledge(taken)
        if received > self._received or channel.kept_bytes != kept_bytes:
            self._received, self._moved_at = max(self._received, received), now

    def inspect(self, now: float) -> None:
        """Send again what should have arrived by now."""
        channel = self.registration.channel
        patience = _RESEND_AFTER if channel.sent > self._received else _ASK_AFTER
        if not channel.kept_bytes or not self._backplane.is_ready():
            self._moved_at = now
        elif now >= self._moved_at + patience:
            self._moved_at = now
            self.resend()

    def resend(self) -> None:
        """Send everything that the peer hasn't taken, once more."""
        self._is_repeating = True
        self.wake()


class Inflow:
    """The other end of a flow: where the peer is.

    :param changed: called when its progress is to be told
    """

    def __init__(self, server: str, peer: str, flow: str, changed: Callable[[Inflow], None]) -> None:
        self.server = server
        self.peer = peer
        self.flow = flow
        self.channel: ReliableChannel[Never] = ReliableChannel(max_messages=0, max_bytes=0)
        self._changed = changed

    def wake(self) -> None:
        self._changed(self)

    def progress(self) -> Progress:
        """What to tell the other server."""
        channel = self.channel
        return Progress(peer=self.peer, flow=self.flow, received=channel.received, taken=channel.settled)
