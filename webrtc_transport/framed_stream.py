"""The frames of a libp2p stream: what is sent in them, what has arrived, and how it ends. Nothing here waits."""

from __future__ import annotations

from typing import Final, NoReturn

import anyio

from .channel_port import ChannelPort
from .errors import (
    ConnectionEnded,
    FramingError,
    StreamError,
    StreamReset,
    StreamStalled,
    StreamStopped,
    StreamTimeout,
)
from .protocol.framing import SHORT_PREFIX, Flag, Frame, FrameDecoder, encode_frame
from .protocol.stream_state import ReceiveHalf, SendHalf, StreamInput, StreamState
from .receive_queue import ReceiveQueue
from .stream_owner import StreamOwner
from .wakeup import Wakeup

CHANNEL_LINGER: Final = 1.0
"""Seconds that the peer gets to close the channel first, after we have sent its last frame. Libraries drop a frame
that is followed by the close of its channel at once; whoever *receives* the last frame may close without a wait."""

_LIMIT_HINT: Final = " before it sent anything: it gave up, or has too many streams"
"""Which of them it was can't be known: a reset has no text."""


class FramedStream:
    """One end of a stream without what waits: :class:`~webrtc_transport.stream.Stream` has that."""

    def __init__(self, owner: StreamOwner, channel: ChannelPort, *, inbound: bool) -> None:
        # May run on the engine's loop: nothing here may need the caller's.
        self.is_inbound = inbound
        self._owner = owner
        self._portal = owner.portal
        self._channel = channel
        self._state = StreamState()
        self._decoder = FrameDecoder()
        self._received = ReceiveQueue()
        self._partial = 0
        """Bytes of a frame that isn't whole which count as unread."""
        self._frames = 0
        """Frames that have arrived whole."""
        self._credit = owner.send_window
        self._send_end: Exception | None = None
        """What sending raises, once it has ended."""
        self._receive_end: Exception | None = None
        """What receiving raises once the chunks are read; nothing is kept any more."""
        self._untold: StreamError | ConnectionEnded | None = None
        """What may have cost sent bytes, until the user is told of it."""
        self._has_sent = False
        """Whether there is something that the peer should acknowledge."""
        self._readable = Wakeup(self._portal.make_event)
        self._writable = Wakeup(self._portal.make_event)
        channel.message_arrived = self._message_arrived
        channel.bytes_sent = self._bytes_sent
        channel.channel_closed = self._channel_closed
        channel.connection_ended = self._connection_ended

    # --- sending --------------------------------------------------------------------------------------------------

    def _send_farewell(self, *, stops_reading: bool = False) -> None:
        """Send FIN and, if asked for, STOP_SENDING in one message, unless they were sent or are moot."""
        frames = b""
        if self._state.send in (SendHalf.OPEN, SendHalf.STOPPED):
            self._apply(StreamInput.SEND_FIN)
            self._has_sent = True
            frames = encode_frame(flag=Flag.FIN)
            self._owner.stream_draining(self)
        if stops_reading and self._state.receive is ReceiveHalf.OPEN:
            self._apply(StreamInput.SEND_STOP)
            frames += encode_frame(flag=Flag.STOP_SENDING)
        if frames:
            self._send_frame(frames)

    def _send_frame(self, frame: bytes) -> None:
        self._credit -= len(frame)
        self._portal.post(self._channel.send, frame)

    # --- what has arrived -----------------------------------------------------------------------------------------

    @property
    def unread(self) -> tuple[int, int]:
        """Bytes that wait to be read, and how often something was read so far."""
        return self._received.size, self._received.reads

    @property
    def incomplete(self) -> tuple[int, int]:
        """Bytes of a frame that isn't whole, and how many frames came before it."""
        return self._partial, self._frames

    # --- the end --------------------------------------------------------------------------------------------------

    @property
    def _is_closing(self) -> bool:
        return isinstance(self._receive_end, anyio.ClosedResourceError)

    def _apply(self, what: StreamInput) -> None:
        was_finished = self._state.is_finished
        self._state.apply(what)
        if self._state.is_finished and not was_finished:
            self._owner.stream_finished(self)

    def _close_ends(self) -> None:
        self._send_end = self._receive_end = anyio.ClosedResourceError("the stream was closed by aclose()")
        self._discard_unread()
        self._wake()

    def stalled(self, why: str) -> None:
        """Give the stream up because what it has received stays where it is."""
        self._give_up(StreamStalled(why))

    def timed_out(self, why: str) -> None:
        """Give the stream up because its FIN_ACK doesn't come."""
        self._fail(StreamTimeout(why))

    def _give_up(self, error: StreamError) -> None:
        # What is thrown away here must not look like the end of what the peer sent.
        if self._received.chunks:
            self._receive_end = error
        self._discard_unread()
        self._fail(error)

    def _fail(self, error: StreamError) -> None:
        """End the stream with ``error``, and tell the peer by a reset."""
        if not self._state.is_finished:
            self._apply(StreamInput.SEND_RESET)
            self._send_frame(encode_frame(flag=Flag.RESET))
            self._portal.post(self._channel.close, CHANNEL_LINGER)
            self._discard_incomplete()
            self._end(error)
        self._wake()

    def _end(self, error: StreamError | ConnectionEnded) -> None:
        """Both directions are over. What ended well before stays as it is."""
        if not self._is_closing:
            self._send_end = error
        self._receive_end = self._receive_end or error
        if self._has_sent and self._state.send is SendHalf.RESET:
            self._untold = error
        self._owner.stream_drained(self)
        self._wake()

    def _tell(self) -> None:
        """Raise what the user doesn't know of yet."""
        if self._untold is not None:
            self._raise(self._untold)

    def _raise(self, end: Exception) -> NoReturn:
        if end is self._untold:
            self._untold = None
        # A fresh one: each raise has its own traceback.
        raise type(end)(*end.args)

    def _discard_incomplete(self) -> None:
        # After the peer's FIN nothing is missing: what it sent can still be read.
        if self._state.receive is not ReceiveHalf.FIN_RECEIVED:
            self._discard_unread()
        self._discard_partial()

    def _discard_unread(self) -> None:
        self._owner.stream_consumed(self._received.clear())

    def _discard_partial(self) -> None:
        self._owner.stream_consumed(self._partial)
        self._partial = 0

    def _wake(self) -> None:
        self._readable.notify()
        self._writable.notify()

    # --- what the channel tells, in the caller's loop ---------------------------------------------------------------

    def _message_arrived(self, data: bytes) -> None:
        payload = self._decoder.short_payload(data)
        if payload is not None and self._receive_end is None and self._state.receive is ReceiveHalf.OPEN:
            self._frames += 1
            self._received.append(payload)
            self._readable.notify()
            self._owner.stream_consumed(SHORT_PREFIX)
            return
        kept = 0
        try:
            for frame in self._decoder.feed(data):
                self._frames += 1
                kept += self._take(frame)
        except FramingError as exc:
            self._fail(exc)
            # A reset that discards what had been kept counts it too.
        consumed = len(data) - kept
        if self._decoder.buffered != self._partial:
            before, self._partial = self._partial, 0 if self._state.is_finished else self._decoder.buffered
            consumed += before - self._partial
        self._owner.stream_consumed(consumed)

    def _take(self, frame: Frame) -> int:
        """Act on one frame; return how many of its bytes wait to be read."""
        kept = 0
        if frame.payload:
            if self._state.receive is not ReceiveHalf.OPEN:
                self._apply(StreamInput.RECEIVE_DATA)
            if self._receive_end is None:
                self._received.append(frame.payload)
                kept = len(frame.payload)
                self._readable.notify()
        if frame.flag is not None:
            self._act_on(frame.flag)
        return kept

    def _act_on(self, flag: Flag) -> None:
        was_finished = self._state.is_finished
        if flag is Flag.FIN:
            is_first = self._state.receive is not ReceiveHalf.FIN_RECEIVED
            self._apply(StreamInput.RECEIVE_FIN)
            # Nothing that we send is lost. An answer to each would let a peer that reads nothing fill our memory.
            if is_first and not self._state.is_reset:
                self._send_frame(encode_frame(flag=Flag.FIN_ACK))
            self._receive_end = self._receive_end or anyio.EndOfStream()
            self._readable.notify()
        elif flag is Flag.FIN_ACK:
            self._apply(StreamInput.RECEIVE_FIN_ACK)
            self._writable.notify()
            self._owner.stream_drained(self)
        elif flag is Flag.STOP_SENDING:
            self._apply(StreamInput.RECEIVE_STOP)
            self._send_end = self._send_end or StreamStopped("the peer does not read this stream any more")
            self._writable.notify()
        elif not was_finished:
            self._apply(StreamInput.RECEIVE_RESET)
            error = StreamReset("the peer reset the stream" + self._hint(""))
            self._discard_incomplete()
            self._end(error)
        if self._state.is_finished:
            self._portal.post(self._channel.close, CHANNEL_LINGER if flag is Flag.FIN else 0.0)

    def _hint(self, otherwise: str) -> str:
        return otherwise if self.is_inbound or self._received.reads or self._received.chunks else _LIMIT_HINT

    def _bytes_sent(self, size: int) -> None:
        self._credit += size
        if self._credit > 0:
            self._writable.notify()

    def _channel_closed(self) -> None:
        was_reset = self._state.is_reset
        self._apply(StreamInput.CHANNEL_CLOSED)
        self._discard_partial()
        if self._state.is_reset and not was_reset:
            why = self._hint(" before the end of the stream")
            self._end(StreamReset(f"the peer closed the channel{why}"))
        self._wake()
        self._owner.stream_closed(self)

    def _connection_ended(self, reason: ConnectionEnded) -> None:
        # What has arrived can still be read.
        if not self._state.is_finished:
            self._apply(StreamInput.SEND_RESET)
            self._end(reason)
        self._wake()
