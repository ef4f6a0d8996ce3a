"""Sending a file, over as many connections as it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import anyio
from anyio import to_thread

from ...connection import Connection
from ...errors import (
    ConnectError,
    ConnectionAborted,
    ConnectionEnded,
    ConnectionLost,
    PeerUnreachable,
    StreamError,
    describe,
)
from ...identity import PeerId
from ...task_group import bare_task_group
from ...transport import WebRTCTransport
from .display import Display
from .exchange import Exchange, Refused
from .messages import Digest, Done, InvalidMessage, Offer, Resume, Start
from .source_file import SourceFile

_FIRST_PAUSE: Final = 0.5
_LAST_PAUSE: Final = 5.0
"""Seconds between attempts to reach the peer again; the pauses double from the first to the second."""

_LOST: Final = (ConnectionEnded, StreamError, anyio.EndOfStream)
"""How a transfer ends that may go on over another connection."""


_UNHEARD: Final = (ConnectionAborted, ConnectionLost)
"""Of these, those by which the peer's process and network may still be well, or come back."""


class GivenUp(Exception):
    """The peer was lost, and didn't come back in time; the text says so, and what helps."""


class Sender:
    """Sends one file to one peer.

    :param prove: makes the proof that we know the code, of our peer id; ``None`` without a code. A receiver with a
        code doesn't come back under it when it was stopped: then it isn't waited for
    :param retry_for: seconds without progress after which a lost peer is given up
    """

    def __init__(
        self,
        transport: WebRTCTransport,
        source: SourceFile,
        display: Display,
        *,
        prove: Callable[[PeerId], str] | None,
        retry_for: float,
    ) -> None:
        self._transport = transport
        self._source = source
        self._display = display
        self._proof = None if prove is None else prove(transport.peer_id)
        self._retry_for = retry_for
        self._last_progress = 0.0
        self._all_sent = False
        self._is_done = False

    async def send_to(self, peer: PeerId) -> None:
        """Send the file, and return when the peer has it. A lost connection is made again.

        :raises ConnectError: if the peer can't be reached at first
        :raises GivenUp: if it is lost
        :raises Refused: if it doesn't take the file
        :raises SourceError: if the file can't be read to its end
        :raises InvalidMessage: if the peer doesn't keep to the protocol
        """
        address = f"/webrtc/p2p/{peer}"
        connection = await self._transport.dial(address)
        pause = _FIRST_PAUSE
        while True:
            was_closed = False
            try:
                async with connection:
                    await self._transfer(connection)
                    return
            except _LOST as exc:
                if self._is_done:
                    # The receiver has all it wants, and may leave first.
                    return
                was_closed = not isinstance(exc, _UNHEARD)
                reason = describe(exc) if str(exc) else "the other end closed the stream"
            except Refused as exc:
                # Of a transfer that was begun, the other end may not have noticed yet that it is over.
                if exc.code != "busy" or not self._last_progress or self._is_stuck:
                    raise
                reason = str(exc)
            self._display.say(f"interrupted: {reason}; trying for {self._retry_for:g} s to go on")
            pause, connection = await self._dial_again(address, reason, pause, was_closed=was_closed)

    @property
    def _is_stuck(self) -> bool:
        return time.monotonic() >= self._last_progress + self._retry_for

    async def _dial_again(
        self, address: str, reason: str, pause: float, *, was_closed: bool
    ) -> tuple[float, Connection]:
        by_code = self._proof is not None
        deadline = max(self._last_progress, time.monotonic()) + self._retry_for
        while True:
            await anyio.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)
            try:
                return pause, await self._transport.dial(address)
            except ConnectError as exc:
                if by_code and was_closed and isinstance(exc, PeerUnreachable):
                    raise GivenUp(
                        "the receiver was stopped; run `receive` again there and send with its new code: it goes on "
                        "where it stopped"
                    ) from None
                if time.monotonic() >= deadline:
                    new_code = ", with its new code" if by_code else ""
                    cure = f"receive and send it again{new_code}: it goes on where it stopped"
                    raise GivenUp(f"{reason}; and then: {describe(exc)}; {cure}") from None

    async def _transfer(self, connection: Connection) -> None:
        source = self._source
        stream = await connection.open_stream()
        async with stream:
            exchange = Exchange(stream)
            await exchange.send(Offer(name=source.name, size=source.size, proof=self._proof))
            self._display.say(f"connected to {connection.remote_peer}; waiting until the file is accepted")
            await self._begin(await exchange.receive(Resume))
            await exchange.send(Start(offset=source.offset))
            with self._display.transfer(
                "sending", source.name, source.offset, source.size, connection
            ) as advance:
                async with bare_task_group() as task_group:
                    # At any time the receiver may refuse: its disk may be full.
                    task_group.start_soon(self._send_rest, exchange, advance)
                    await exchange.receive(Done)
                    if not self._all_sent:
                        raise InvalidMessage("done: before everything was sent")
                    self._is_done = True

    async def _begin(self, resume: Resume) -> None:
        """Go to where the receiver stands, if what it has are our bytes; else to the beginning."""
        source = self._source
        self._all_sent = False
        source.rewind()
        if resume.offset <= source.size:
            while source.offset < resume.offset:
                await to_thread.run_sync(source.read, resume.offset)
            if source.sha256 == resume.sha256:
                return
        source.rewind()

    async def _send_rest(self, exchange: Exchange, advance: Callable[[int], None]) -> None:
        source = self._source
        try:
            while source.offset < source.size:
                block = await to_thread.run_sync(source.read, source.size)
                await exchange.send_data(block)
                advance(len(block))
                self._last_progress = time.monotonic()
            await to_thread.run_sync(source.check_ended)
            source.check_unchanged()
            self._all_sent = True
            await exchange.send(Digest(sha256=source.sha256))
        except _LOST:
            # Who waits for the receiver's answer hears why: it may be a refusal.
            return
