"""The data channels of the in-memory engine, with flow control for all of them together, as in SCTP."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from ..abc import ChannelEvents, EngineChannel, PeerEvents, PeerStatistics
from .memory_network import ChannelPacket, Grant, Message, Open, Reset
from .stream_ids import StreamIds


class MemoryChannels:
    """The channels of one peer connection.

    :param send: sends a packet to the peer; packets arrive in order
    :param is_server: the DTLS role, which gives the parity of the ids
    :param window: bytes that the peer takes before its application reads
    :param max_message_size: bytes of the largest message that it takes
    """

    def __init__(
        self,
        send: Callable[[ChannelPacket], None],
        events: PeerEvents,
        *,
        is_server: bool,
        window: int,
        max_message_size: int,
    ) -> None:
        self.max_message_size = max_message_size
        self._send = send
        self._events = events
        self._window = window
        self._loop = asyncio.get_running_loop()
        self._channels: dict[int, MemoryChannel] = {}
        self._ids = StreamIds(is_server=is_server, in_use=self._channels)
        self._early: dict[int, list[bytes]] = {}
        self._queue: deque[tuple[MemoryChannel, bytes | None]] = deque()
        self._is_flushing = False
        self._is_over = False
        self._unread = 0
        self._sent = self._received = 0
        self._packets_sent = self._packets_received = 0

    def open(self, events: ChannelEvents, label: str, negotiated_id: int | None) -> EngineChannel:
        """See :meth:`~webrtc_transport.abc.EnginePeer.open_channel`."""
        stream_id = self._ids.take() if negotiated_id is None else negotiated_id
        early = self._early.pop(stream_id, [])
        channel = self._channels[stream_id] = MemoryChannel(self, stream_id, label, early)
        channel.bind(events)
        if negotiated_id is None:
            self._send(Open(stream_id, label))
        return channel

    def grant(self, size: int) -> None:
        """See :meth:`~webrtc_transport.abc.EnginePeer.grant`."""
        self._unread -= size
        self._send(Grant(size))

    def statistics(self) -> PeerStatistics:
        """See :meth:`~webrtc_transport.abc.EnginePeer.statistics`. Sizes are those of the messages."""
        return PeerStatistics(
            bytes_sent=self._sent,
            bytes_received=self._received,
            packets_sent=self._packets_sent,
            packets_received=self._packets_received,
            packets_dropped=0,
            unread=self._unread,
        )

    def end(self) -> None:
        """The connection is over: forget everything, and tell nothing any more."""
        self._is_over = True
        self._queue.clear()
        for channel in self._channels.values():
            channel.end()

    def arrived(self, packet: ChannelPacket) -> None:
        """A packet of the peer arrived."""
        match packet:
            case Open(stream_id, label):
                channel = self._channels[stream_id] = MemoryChannel(self, stream_id, label)
                self._events.on_channel(channel)
            case Message(stream_id, data):
                self._message_arrived(stream_id, data)
            case Reset(stream_id):
                if stream_id in self._channels:
                    self._channels[stream_id].reset_arrived()
            case Grant(size):
                self._window += size
                self._flush_soon()

    def _message_arrived(self, stream_id: int, data: bytes) -> None:
        self._received += len(data)
        self._packets_received += 1
        self._unread += len(data)
        if stream_id in self._channels:
            self._channels[stream_id].message_arrived(data)
        else:
            # Both ends open a negotiated channel, and one of them is the first. The window bounds what the other sends.
            self._early.setdefault(stream_id, []).append(data)

    # --- for the channels -----------------------------------------------------------------------------------------

    def enqueue(self, channel: MemoryChannel, data: bytes | None) -> None:
        """Send a message when its turn has come; ``None`` ends the channel in this direction."""
        if not self._is_over:
            self._queue.append((channel, data))
            self._flush_soon()

    def remove(self, channel: MemoryChannel) -> None:
        """The id of a closed channel is free."""
        del self._channels[channel.id]

    def _flush_soon(self) -> None:
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        while self._queue:
            channel, data = self._queue[0]
            if data is None:
                self._queue.popleft()
                self._send(Reset(channel.id))
                channel.direction_ended()
            elif self._window > 0:
                self._queue.popleft()
                self._window -= len(data)
                self._sent += len(data)
                self._packets_sent += 1
                self._send(Message(channel.id, data))
                channel.message_sent(len(data))
            else:
                return


class MemoryChannel(EngineChannel):
    """One data channel. It is closed when each end has reset its direction (RFC 8831, section 6.7)."""

    def __init__(
        self, channels: MemoryChannels, stream_id: int, label: str, early: Sequence[bytes] = ()
    ) -> None:
        self._channels = channels
        self._id = stream_id
        self._label = label
        self._events: ChannelEvents | None = None
        self._is_closing = False
        self._directions = 2
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._early = list(early)
        if early:
            # Later, for who opens the channel doesn't know it yet.
            self._loop.call_soon(self._tell_early)

    @property
    def id(self) -> int:
        return self._id

    @property
    def label(self) -> str:
        return self._label

    def bind(self, events: ChannelEvents) -> None:
        self._events = events

    def send(self, data: bytes) -> None:
        if len(data) > self._channels.max_message_size:
            raise ValueError(f"the peer takes no message of {len(data)} bytes")
        if not self._is_closing:
            self._channels.enqueue(self, data)

    def close(self, delay: float = 0.0) -> None:
        if self._is_closing:
            return
        if delay > 0:
            self._timer = self._timer or self._loop.call_later(delay, self.close)
            return
        self._is_closing = True
        self._channels.enqueue(self, None)

    # --- what becomes of it ---------------------------------------------------------------------------------------

    def message_arrived(self, data: bytes) -> None:
        """The peer sent a message."""
        if self._events is None:
            # The channel was closed instead of bound: nobody will ever read it.
            self._channels.grant(len(data))
        elif self._early:
            self._early.append(data)
        else:
            self._events.on_message(data)

    def message_sent(self, size: int) -> None:
        """A message has left the queue."""
        if self._events is not None and size:
            self._events.on_sent(size)

    def reset_arrived(self) -> None:
        """The peer's direction has ended, so we end ours."""
        self.close()
        self.direction_ended()

    def direction_ended(self) -> None:
        """One of the two directions has ended."""
        self._directions -= 1
        if self._directions == 0:
            self._tell_early()
            self.end()
            self._channels.remove(self)
            if self._events is not None:
                self._events.on_closed()

    def end(self) -> None:
        """Nothing is told any more."""
        self._early.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _tell_early(self) -> None:
        early, self._early = self._early, []
        for data in early:
            assert self._events is not None
            self._events.on_message(data)
