"""A libp2p stream: one data channel as an anyio byte stream, with half-close and reset."""

from __future__ import annotations

from typing import Final

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

from .abc import Attributes
from .arguments import check_max_bytes, sendable
from .channel_port import ChannelPort
from .errors import StreamReset
from .framed_stream import FramedStream
from .protocol.framing import encode_frame
from .protocol.stream_state import ReceiveHalf, SendHalf
from .stream_owner import StreamOwner

BYTES_PER_TURN: Final = 64 * 1024
"""Bytes sent or received between turns of the event loop: a turn costs more than a small message. What one turn sends
leaves at its end, so this is what the kernel takes as one batch (UDP GSO), and a third of a millisecond of work."""

TURN_PER_CALL: Final = 400
"""Bytes that a call counts for beside what it moves: in its two microseconds large ones move as much."""


class Stream(FramedStream, ByteStream):
    """A reliable, ordered byte stream in both directions.

    Leaving ``async with`` closes it; leaving it by an exception resets it.

    Beside what each method names, sending raises :exc:`~webrtc_transport.errors.StreamStopped` when the peer
    doesn't read any more, both directions raise :exc:`~webrtc_transport.errors.StreamReset` after a reset by
    either end, :exc:`~webrtc_transport.errors.StreamStalled` after a reset because this end didn't read, the
    connection's end reason (a :exc:`~webrtc_transport.errors.ConnectionEnded`) when it is over,
    ``anyio.ClosedResourceError`` after :meth:`aclose`, and ``anyio.BusyResourceError`` when another task is
    sending or receiving.

    A task that is cancelled by others, or by a deadline, notices that in its next call, before anything is sent or
    taken. One that cancels itself may notice it some kilobytes later, if its calls needn't wait.
    """

    def __init__(self, owner: StreamOwner, channel: ChannelPort, *, inbound: bool) -> None:
        super().__init__(owner, channel, inbound=inbound)
        self._since_turn = 0
        """Bytes sent and received since other tasks had their turn. While there are some, nobody but the task itself
        can have cancelled it, and to look for that costs half as much as a small message.
        """
        self._send_guard = anyio.ResourceGuard("sending to")
        self._receive_guard = anyio.ResourceGuard("receiving from")

    def __repr__(self) -> str:
        return f"<Stream {self.id} send={self._state.send.name} receive={self._state.receive.name}>"

    @property
    def id(self) -> int:
        """The SCTP stream id: unique among the open streams of the connection."""
        return self._channel.id

    @property
    def extra_attributes(self) -> Attributes:
        """The typed attributes of the connection."""
        return self._owner.stream_attributes()

    # --- sending --------------------------------------------------------------------------------------------------

    async def send(self, item: bytes) -> None:
        """Send bytes, waiting while the send buffer is full.

        :raises anyio.ClosedResourceError: after :meth:`send_eof` or :meth:`aclose`
        """
        with self._send_guard:
            if not self._since_turn:
                await anyio.lowlevel.checkpoint_if_cancelled()
            if self._send_end is not None:
                self._raise(self._send_end)
            limit = self._owner.payload_limit
            whole = item if type(item) is bytes else sendable(item)  # most often it needs no view
            size = len(whole)
            for start in range(0, size, limit):
                while self._credit <= 0:
                    await self._writable.wait()
                    if self._send_end is not None:
                        self._raise(self._send_end)
                payload = whole if size <= limit else memoryview(whole)[start : start + limit]
                self._has_sent = True
                self._owner.payload_sent += len(payload)
                self._send_frame(encode_frame(payload))
            self._since_turn += size + TURN_PER_CALL
            if self._since_turn >= BYTES_PER_TURN:
                await self._let_others()

    async def send_eof(self) -> None:
        """Send FIN: the peer reads the end of the stream, and can still answer. Does nothing the second time."""
        await anyio.lowlevel.checkpoint()
        if self._send_end is not None and (self._is_closing or self._state.send is SendHalf.RESET):
            self._raise(self._send_end)
        self._send_end = anyio.ClosedResourceError("nothing can be sent after send_eof()")
        self._send_farewell()

    # --- receiving ------------------------------------------------------------------------------------------------

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Receive at least one and at most ``max_bytes`` bytes.

        :raises anyio.EndOfStream: after the peer's FIN
        """
        check_max_bytes(max_bytes)
        with self._receive_guard:
            received = self._received
            if not self._since_turn and received.chunks:
                await anyio.lowlevel.checkpoint_if_cancelled()
            while not received.chunks:
                if self._receive_end is not None:
                    self._raise(self._receive_end)
                await self._readable.wait()
                self._since_turn = 0
            data = received.take(max_bytes)
            self._owner.payload_received += len(data)
            self._owner.stream_consumed(len(data))
            self._since_turn += len(data) + TURN_PER_CALL
            if self._since_turn >= BYTES_PER_TURN:
                await self._let_others()
            return data

    async def _let_others(self) -> None:
        """Let other tasks have their turn. The next call looks for a cancellation: what is done can't be undone."""
        self._since_turn = 0
        await anyio.lowlevel.cancel_shielded_checkpoint()

    # --- closing --------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close the stream: send FIN, tell the peer that nothing is read any more, and wait for its FIN_ACK.

        When it returns the peer has everything that was sent, or an error has said that it may not. When it is
        cancelled the stream is reset.

        :raises StreamTimeout: if the FIN_ACK doesn't come in time; the stream is reset then
        :raises StreamError: if the peer has reset the stream, and nothing has told so before
        :raises ConnectionEnded: if the connection has ended, likewise
        """
        if self._is_closing or self._state.is_reset:
            self._close_ends()
            await anyio.lowlevel.checkpoint()
            self._tell()
            return
        self._close_ends()
        self._send_farewell(stops_reading=True)
        try:
            await self._wait_fin_ack()
        except anyio.get_cancelled_exc_class():
            self.reset()
            raise
        if self._state.receive is ReceiveHalf.STOPPED:
            # The peer has been told, but needn't be quick about ending its half.
            self._portal.post(self._channel.close, self._owner.fin_ack_timeout)

    async def __aexit__(self, exc_type: type[BaseException] | None, *_: object) -> None:
        # What an exception has cut short must not look complete to the peer.
        if exc_type is not None:
            self.reset()
        await self.aclose()

    async def _wait_fin_ack(self) -> None:
        self._owner.stream_closing(self)
        if self._state.send is not SendHalf.FIN_SENT:
            await anyio.lowlevel.checkpoint()
        while self._state.send is SendHalf.FIN_SENT:
            await self._writable.wait()
        self._tell()

    def reset(self) -> None:
        """Give the stream up at once, in both directions. The peer gets ``StreamReset``; so does who waits here."""
        self._give_up(StreamReset("this end reset the stream"))
        # Who makes an error knows of it.
        self._untold = None
