"""The engine's end of a stream, and what tells the stream across the portal."""

from __future__ import annotations

from collections.abc import Callable

from .abc import ChannelEvents, EngineChannel
from .errors import ConnectionEnded
from .portal import Portal


class ChannelPort(ChannelEvents):
    """The engine's end of a stream: runs on the engine's loop, and tells the stream across the portal.

    The stream sets what is to be called in the caller's loop: what the channel tells, and by the connection at its
    end ``connection_ended``.
    """

    message_arrived: Callable[[bytes], None]
    bytes_sent: Callable[[int], None]
    channel_closed: Callable[[], None]
    connection_ended: Callable[[ConnectionEnded], None]

    send: Callable[[bytes], None]
    """Sends a frame as one message. The channel's own, once it is attached: one call less for each message."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._channel: EngineChannel | None = None

    @property
    def id(self) -> int:
        """The SCTP stream id."""
        assert self._channel is not None
        return self._channel.id

    def attach(self, channel: EngineChannel) -> None:
        """Take the channel that the commands go to."""
        self._channel = channel
        self.send = channel.send

    def close(self, delay: float) -> None:
        """Close the channel, after ``delay`` seconds if the peer hasn't by then."""
        assert self._channel is not None
        self._channel.close(delay)

    def on_message(self, data: bytes) -> None:
        self._portal.deliver(self.message_arrived, data)

    def on_sent(self, size: int) -> None:
        self._portal.deliver(self.bytes_sent, size)

    def on_closed(self) -> None:
        self._portal.deliver(self.channel_closed)
