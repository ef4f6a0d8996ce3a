"""A libp2p stream over WebRTC, as py-libp2p wants one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self

import anyio
import trio
from libp2p.abc import IMuxedConn, IMuxedStream
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamError

from webrtc_transport import Stream
from webrtc_transport.errors import ConnectionEnded, StreamError

from .errors import reading, writing

if TYPE_CHECKING:
    from .connection import WebRTCConnection

_READ_SIZE: Final = 65536
"""Bytes that a read without a size returns at most: a few frames."""


class WebRTCStream(IMuxedStream):
    """One data channel, which is closed in each direction by itself.

    Tasks that read, or write, at the same time take turns.
    """

    muxed_conn: IMuxedConn

    def __init__(self, stream: Stream, muxed_conn: WebRTCConnection) -> None:
        self.muxed_conn = self._connection = muxed_conn
        self._stream = stream
        self._reading = trio.Lock()
        self._writing = trio.Lock()
        self._deadline: float | None = None
        self._end_was_told = False

    async def read(self, n: int | None = None) -> bytes:
        """Wait for data and return what is there, at most ``n`` bytes.

        Without a size (``None`` or -1) the end of the stream is told once by ``b""``, so that a loop which reads
        until nothing comes ends in peace.

        :raises MuxedStreamEOF: at the end of what the peer sends; the stream can still be written to
        :raises MuxedStreamReset: if either end has reset the stream, or the connection is over
        :raises TimeoutError: after the deadline
        :raises ValueError: if ``n`` is below -1
        """
        if n is not None and n < -1:
            raise ValueError(f"the number of bytes to read is positive, or -1 for what is there, not {n}")
        if n == 0:
            await trio.lowlevel.checkpoint()
            return b""
        has_size = n is not None and n > 0
        with self._until_deadline("read"):
            async with self._reading:
                try:
                    with reading():
                        return await self._stream.receive(n if n is not None and n > 0 else _READ_SIZE)
                except MuxedStreamEOF:
                    if has_size or self._end_was_told:
                        raise
                    self._end_was_told = True
                    return b""

    async def write(self, data: bytes) -> None:
        """Send all of ``data``; waits while the peer doesn't take it.

        :raises MuxedStreamClosed: after :meth:`close_write`, or if the peer doesn't read any more
        :raises MuxedStreamReset: if either end has reset the stream, or the connection is over
        :raises TimeoutError: after the deadline; a part may have been sent
        """
        with self._until_deadline("write"):
            async with self._writing:
                with writing():
                    await self._stream.send(data)

    async def close_write(self) -> None:
        """Send FIN: the peer reads the end, and can still answer. Does nothing on a stream that is over."""
        async with self._writing:
            # What has ended the stream has also ended this half of it.
            with suppress(StreamError, ConnectionEnded, anyio.ClosedResourceError):
                await self._stream.send_eof()

    async def close(self) -> None:
        """End what is sent, as in py-libp2p's other muxers: what the peer still sends can be read.

        A stream that isn't read after it is let go in :data:`~webrtc_libp2p.connection.READ_AFTER_CLOSE` seconds: the
        peer is told that nobody reads it any more.
        """
        await self.close_write()
        self._connection.let_go(self)

    async def reset(self) -> None:
        """Give the stream up at once, in both directions."""
        self._stream.reset()
        await trio.lowlevel.checkpoint()

    def set_deadline(self, ttl: int) -> None:
        """Let reads and writes fail from ``ttl`` seconds after now.

        :raises ValueError: if ``ttl`` is negative
        """
        if ttl < 0:
            raise ValueError(f"a deadline lies in the future, not {ttl} seconds from now")
        self._deadline = trio.current_time() + ttl

    def get_remote_address(self) -> tuple[str, int] | None:
        """The peer's IP address and UDP port."""
        return self._connection.get_remote_address()

    async def __aenter__(self) -> Self:
        return self

    @property
    def is_being_read(self) -> bool:
        """Whether a task waits for what the peer sends."""
        return self._reading.locked()

    async def release(self) -> None:
        """Tell the peer that nobody reads the stream any more, and free its channel."""
        try:
            await self._stream.aclose()
        except (StreamError, ConnectionEnded) as exc:
            raise MuxedStreamError(str(exc)) from exc

    @contextmanager
    def _until_deadline(self, what: str) -> Iterator[None]:
        if self._deadline is None:
            yield
            return
        with trio.move_on_at(self._deadline) as scope:
            yield
        if scope.cancelled_caught:
            raise TimeoutError(f"the deadline of the stream passed during a {what}")
