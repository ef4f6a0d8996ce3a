"""The orderly end of an association: SHUTDOWN, SHUTDOWN ACK, SHUTDOWN COMPLETE (RFC 9260, section 9.2).

Each end first sends all that it has queued, and sees it acknowledged.
"""

from __future__ import annotations

import struct
from typing import Final

from .lifecycle import Lifecycle
from .packet import CauseCode, ChunkType, encode_chunk
from .receiver import Receiver
from .sender import Sender
from .states import State
from .transmitter import Transmitter

MAX_SHUTDOWN_TRIES: Final = 2
"""Times that SHUTDOWN and SHUTDOWN ACK are sent: who shuts down is about to go, and DTLS ends the rest."""

SHUTDOWN_GUARD: Final = 300.0
"""Seconds that a peer may go on sending after our first SHUTDOWN (RFC 9260, section 9.2: T5, five times RTO.Max)."""

_TSN: Final = struct.Struct("!I")


class Shutdown:
    """Ends an established association when everything has arrived."""

    def __init__(
        self, lifecycle: Lifecycle, transmitter: Transmitter, sender: Sender, receiver: Receiver
    ) -> None:
        self._lifecycle = lifecycle
        self._transmitter = transmitter
        self._sender = sender
        self._receiver = receiver
        self._begun_at = 0.0
        """When SHUTDOWN was sent first."""

    def begin(self, now: float) -> None:
        """This end wants to go."""
        if self._lifecycle.state is State.ESTABLISHED:
            self._lifecycle.move(State.SHUTDOWN_PENDING)
            self.advance(now)

    def advance(self, now: float) -> None:
        """Go on, if all that was under way has arrived."""
        if self._lifecycle.state is State.ESTABLISHED or not self._sender.is_idle:
            return
        if self._lifecycle.state is State.SHUTDOWN_PENDING:
            self._lifecycle.move(State.SHUTDOWN_SENT)
            self._begun_at = now
            self._lifecycle.repeat(self._encode(), MAX_SHUTDOWN_TRIES, now)
        elif self._lifecycle.state is State.SHUTDOWN_RECEIVED:
            self._acknowledge(now)

    def answer_data(self, now: float) -> None:
        """Data came although SHUTDOWN was sent: tell the peer again, and wait for the rest (RFC 9260, section 9.2)."""
        if now - self._begun_at >= SHUTDOWN_GUARD:
            self._lifecycle.fail(CauseCode.USER_INITIATED_ABORT, "the peer goes on sending after SHUTDOWN")
            return
        chunk = self._encode()
        self._lifecycle.restart_repeating(chunk, now)
        self._transmitter.send_latest(chunk)

    def _encode(self) -> bytes:
        return encode_chunk(ChunkType.SHUTDOWN, _TSN.pack(self._receiver.cumulative_tsn))

    def _acknowledge(self, now: float) -> None:
        self._lifecycle.move(State.SHUTDOWN_ACK_SENT)
        self._lifecycle.repeat(encode_chunk(ChunkType.SHUTDOWN_ACK), MAX_SHUTDOWN_TRIES, now)

    def receive(self, value: memoryview, now: float) -> None:
        """The peer wants to go; its SHUTDOWN acknowledges data, too."""
        if len(value) < _TSN.size:
            return
        state = self._lifecycle.state
        if state in (State.ESTABLISHED, State.SHUTDOWN_PENDING):
            self._lifecycle.move(State.SHUTDOWN_RECEIVED)
            self._lifecycle.stop_repeating()
        elif state is State.SHUTDOWN_SENT:
            self._acknowledge(now)
        (tsn,) = _TSN.unpack_from(value)
        self._sender.acknowledge_until(tsn, now)
        self.advance(now)

    def receive_ack(self) -> None:
        """The peer has nothing more to say either."""
        if self._lifecycle.state in (State.SHUTDOWN_SENT, State.SHUTDOWN_ACK_SENT):
            self._transmitter.send(encode_chunk(ChunkType.SHUTDOWN_COMPLETE))
            self._lifecycle.end("the association was shut down", is_orderly=True)

    def receive_complete(self) -> None:
        """That was the last word."""
        if self._lifecycle.state is State.SHUTDOWN_ACK_SENT:
            self._lifecycle.end("the association was shut down", is_orderly=True)
