"""The data channels of one association: which stream is whose, and what comes before its channel (RFC 8831, 8832)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from enum import Flag, auto
from typing import Final

from ..abc import ChannelEvents, EngineChannel
from ..errors import EngineError, TooManyStreams
from ..protocol.limits import INBOUND_MARGIN, MAX_EARLY_BYTES
from ..protocol.sctp.association import Association
from ..protocol.sctp.data_channel import ACK, DcepError, Open, PayloadProtocol, decode_message
from .driver import Driver
from .early_messages import EarlyMessages
from .native_channel import ChannelOwner, NativeChannel
from .stream_ids import MAX_STREAMS, StreamIds

_logger = logging.getLogger("libp2p.transport.webrtc.engine")

EARLY_SHARE: Final = 2
"""Windows that all early messages may take: a peer that uses an id again at once may have sent a whole window by the
time that we are ready, and in messages of 128 bytes these take as much again."""

MAX_EARLY_STREAMS: Final = 1024
"""Streams with early messages, above which none is kept on another one that nobody has opened. The channels that both
ends open are few, and what is kept of a stream takes more than a short message."""

MAX_REFUSED_STREAMS: Final = 4096
"""Refused streams whose end the peer hasn't confirmed: an entry of a table each. A request ends 512 of them in a round
trip; a peer that opens on without confirming is after memory."""


# Global names are found faster than the members of an Enum, and these are looked up for each message.
_BINARY: Final = int(PayloadProtocol.BINARY)
_DCEP: Final = int(PayloadProtocol.DCEP)


class _Halves(Flag):
    """Directions of a stream."""

    INBOUND = auto()
    OUTBOUND = auto()


class DataChannels(ChannelOwner):
    """Opens, finds and forgets channels.

    :param max_inbound_streams: streams of the peer that the application takes; more may be on their way out
    :param wake: told that a message is to be sent
    :param defer: told that something is to be sent that a message may follow soon
    :param on_channel: told of a channel that the peer has opened
    :param on_failed: told that the peer broke the protocol; the association is aborted then
    """

    def __init__(
        self,
        driver: Driver,
        association: Association,
        *,
        is_server: bool,
        max_message_size: int,
        max_inbound_streams: int,
        wake: Callable[[], None],
        defer: Callable[[], None],
        on_channel: Callable[[EngineChannel], None],
        on_failed: Callable[[Exception], None],
    ) -> None:
        self.driver = driver
        self.max_message_size = max_message_size
        self.is_ended = False
        self.id_limit = MAX_STREAMS
        """Ids that the peer takes are below this."""
        self._association = association
        self._wake = wake
        self._defer = defer
        self._on_channel = on_channel
        self._on_failed = on_failed
        self._channels: dict[int, NativeChannel] = {}
        self._inbound: set[int] = set()
        """Of these, those that the peer has opened."""
        self._max_inbound = INBOUND_MARGIN * max_inbound_streams
        self._refused: dict[int, _Halves] = {}
        """Streams that the peer has opened in vain: which halves haven't ended yet."""
        self._ids = StreamIds(is_server=is_server, in_use=self)
        self._early = EarlyMessages(EARLY_SHARE * association.window)
        """On streams that nobody has opened, whose channel isn't told of them yet, or whose last life isn't over."""

    def open(self, events: ChannelEvents, label: str, negotiated_id: int | None) -> EngineChannel:
        """See :meth:`~webrtc_transport.abc.EnginePeer.open_channel`."""
        if negotiated_id is None:
            stream_id = self._ids.take(self.id_limit)
        elif negotiated_id in self:
            raise TooManyStreams(f"stream id {negotiated_id} is in use")
        else:
            stream_id = negotiated_id
        channel = NativeChannel(self, stream_id, label)
        channel.bind(events)
        self._channels[stream_id] = channel
        if negotiated_id is None:
            channel.send_control(Open(label).encode())
        elif stream_id in self._early:
            channel.is_open = False
            self.driver.call_soon(self._early_due, stream_id)
        return channel

    def __contains__(self, stream_id: object) -> bool:
        """Whether a stream's last life isn't over."""
        return stream_id in self._channels or stream_id in self._refused

    def close_all(self) -> None:
        """The connection is over."""
        self.is_ended = True
        for channel in list(self._channels.values()):
            channel.closed()

    # --- what the association tells -------------------------------------------------------------------------------

    def message_received(self, stream_id: int, ppid: int, data: bytes) -> None:
        """A message arrived."""
        channel = self._channels.get(stream_id)
        if channel is not None and ppid == _BINARY and channel.is_open:
            channel.message_received(data)
        else:
            self._other_message_received(channel, stream_id, ppid, data)

    def _other_message_received(
        self, channel: NativeChannel | None, stream_id: int, ppid: int, data: bytes
    ) -> None:
        """A message that isn't plain data of an open channel."""
        if channel is not None and not channel.is_open:
            if not channel.is_inbound_reset:
                # It was opened in this turn of the loop. What came before goes first.
                channel.is_open = True
                self._replay_early(stream_id)
                self.message_received(stream_id, ppid, data)
            elif channel.is_next_ended:
                # Nothing can follow before we have ended that one too.
                self.consume(len(data))
            else:
                self._keep(stream_id, ppid, data)
            return
        if channel is None and stream_id in self._refused:
            self._refused_received(stream_id, ppid, data)
            return
        if channel is None:
            self._unopened_received(stream_id, ppid, data)
            return
        message = None if ppid == PayloadProtocol.DCEP else decode_message(ppid, data)
        if not message:
            # An empty message has a byte in its place, which nobody will read.
            self.consume(len(data))
        if message is not None:
            channel.message_received(message)

    def _unopened_received(self, stream_id: int, ppid: int, data: bytes) -> None:
        """A message on a stream that has no channel: it makes one, or waits for this end to do so."""
        if ppid == PayloadProtocol.DCEP and data != ACK:
            self.consume(len(data))
            self._open_inbound(stream_id, data)
        elif ppid == PayloadProtocol.DCEP or decode_message(ppid, data) is None:
            # Of each stream something is remembered until it ends, and a peer could send this on all of them.
            self.consume(len(data))
            self._refuse(stream_id, "nobody has opened it, and what came is of no use to a new channel")
        elif stream_id not in self._early and len(self._early) >= MAX_EARLY_STREAMS:
            self.consume(len(data))
            self._refuse(stream_id, f"nobody has opened it, and {MAX_EARLY_STREAMS} others wait")
        else:
            # Both ends open a negotiated channel, and the peer was first.
            self._keep(stream_id, ppid, data)
            if self._early.size_of(stream_id) > MAX_EARLY_BYTES:
                self._refuse(stream_id, f"nobody has opened it, and more than {MAX_EARLY_BYTES} bytes came")

    def bytes_sent(self, stream_id: int, size: int) -> None:
        """Queued bytes of a stream have left."""
        channel = self._channels.get(stream_id)
        if channel is not None:
            channel.bytes_sent(size)

    def inbound_reset(self, stream_ids: Sequence[int]) -> None:
        """The peer has ended its direction of these streams."""
        for stream_id in stream_ids:
            # Looked up one by one: the same stream may be there twice, and its channel is gone after the first.
            channel = self._channels.get(stream_id)
            if channel is not None:
                if not channel.is_inbound_reset:
                    self._replay_early(stream_id)
                # A second end after messages for the next channel of this id is that one's.
                channel.inbound_reset(is_next=stream_id in self._early)
            else:
                # Nobody will read what came on it; its next life is another stream.
                self._discard_early(stream_id)
                self._half_ended(stream_id, _Halves.INBOUND)

    def outbound_reset(self, stream_ids: Sequence[int]) -> None:
        """The peer knows that we have ended ours."""
        for stream_id in stream_ids:
            channel = self._channels.get(stream_id)
            if channel is not None:
                channel.outbound_reset()
            else:
                self._half_ended(stream_id, _Halves.OUTBOUND)

    def _open_inbound(self, stream_id: int, data: bytes) -> None:
        try:
            opening = Open.parse(data)
        except DcepError as exc:
            self._fail(f"the peer sent a malformed DATA_CHANNEL_OPEN: {exc}")
            return
        why = self._reason_to_refuse(stream_id, opening)
        if why is not None:
            self._refuse(stream_id, why)
            return
        channel = NativeChannel(self, stream_id, opening.label)
        self._channels[stream_id] = channel
        self._inbound.add(stream_id)
        channel.send_control(ACK)
        self._on_channel(channel)
        self._replay_early(stream_id)

    def _reason_to_refuse(self, stream_id: int, opening: Open) -> str | None:
        if self._ids.is_own(stream_id):
            return "its id is of those that this end gives (RFC 8832, section 6)"
        if not opening.is_ordered or opening.reliability:
            return "a stream of bytes needs order and reliability"
        if len(self._inbound) >= self._max_inbound:
            return f"the peer has {len(self._inbound)} that are not over (max_inbound_streams)"
        return None

    def _fail(self, reason: str) -> None:
        self._association.abort(reason)
        self._on_failed(EngineError(reason))

    # --- streams that are refused ---------------------------------------------------------------------------------

    def _refuse(self, stream_id: int, why: str) -> None:
        """End a stream of the peer before anything is made for it."""
        if len(self._refused) >= MAX_REFUSED_STREAMS:
            self._fail(
                f"the peer has not confirmed the end of {len(self._refused)} refused streams, and opens more"
            )
            return
        _logger.debug("stream %d is reset: %s", stream_id, why)
        self._discard_early(stream_id)
        self._refused[stream_id] = _Halves.INBOUND | _Halves.OUTBOUND
        self.reset(stream_id)

    def _refused_received(self, stream_id: int, ppid: int, data: bytes) -> None:
        if _Halves.INBOUND in self._refused[stream_id]:
            self.consume(len(data))
        else:
            # The peer knows of the end before us, and has begun the stream's next life.
            self._keep(stream_id, ppid, data)

    def _half_ended(self, stream_id: int, half: _Halves) -> None:
        left = self._refused.get(stream_id)
        if left is None:
            return
        self._refused[stream_id] = left & ~half
        if not left & ~half:
            del self._refused[stream_id]
            self.replay(stream_id)

    # --- messages that came before their channel -------------------------------------------------------------------

    def _keep(self, stream_id: int, ppid: int, data: bytes) -> None:
        if not self._early.keep(stream_id, ppid, data):
            self._fail(
                f"the peer sent messages of more than {self._early.limit} bytes, with what each takes, "
                "on channels that were not open"
            )

    def _discard_early(self, stream_id: int) -> None:
        self.consume(sum(len(data) for _, data in self._early.take(stream_id)))

    def _replay_early(self, stream_id: int) -> None:
        """Tell a channel what came before it, if that hasn't been told."""
        if stream_id in self._early:
            self._channels[stream_id].is_open = True
            self.replay(stream_id)

    def _early_due(self, stream_id: int) -> None:
        """The turn in which a negotiated channel was opened is over."""
        if not self.is_ended and stream_id in self._channels:
            self._replay_early(stream_id)
            # What nobody will read may call for an acknowledgement.
            self._defer()

    # --- for the channels -----------------------------------------------------------------------------------------

    def queue(self, stream_id: int, ppid: int, data: bytes) -> None:
        self._association.send(stream_id, ppid, data)
        if ppid == _DCEP:
            self._defer()
        else:
            self._wake()

    def reset(self, stream_id: int) -> None:
        self._association.reset_stream(stream_id)
        self._defer()

    def remove(self, channel: NativeChannel) -> None:
        del self._channels[channel.id]
        self._inbound.discard(channel.id)

    def replay(self, stream_id: int, *, is_ended: bool = False) -> None:
        for ppid, data in self._early.take(stream_id):
            self.message_received(stream_id, ppid, data)
        if is_ended:
            self.inbound_reset([stream_id])

    def consume(self, size: int) -> None:
        self._association.consume(size, self.driver.now())
