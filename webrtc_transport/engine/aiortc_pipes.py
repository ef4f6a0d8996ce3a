"""What aiortc's transports stand on: objects of ours, below DTLS and between DTLS and SCTP.

Each of aiortc's two transports talks to the object below it through a few methods, named in the classes here and
held to them by a test. This is where the stack bounds what aiortc leaves open:

- While the application doesn't read, DATA stops at a valve, so that its sender stops.
- A hostile packet ends its own connection by name: not in a traceback, and not in an endless loop.
- What aiortc's tasks send after the end goes nowhere, instead of to the event loop's exception handler.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Final

from aiortc import RTCDtlsTransport, RTCSctpTransport
from OpenSSL import SSL

from ..errors import ConnectionClosed, ConnectionEnded, EngineError
from ..protocol.limits import MAX_HELD_PACKETS_BYTES
from . import sctp_packet
from .sctp_packet import COMMON_HEADER, Chunk

_logger = logging.getLogger("libp2p.transport.webrtc.engine")

QUEUE_LIMIT: Final = 2048
"""Packets that wait for DTLS. It takes them without waiting, so they only gather while the loop is busy."""

FEED_BATCH: Final = 32
"""Held packets that are passed up before others have their turn: some 2 ms of work."""

WINDOW_OVERRUN: Final = 4 * 1024 * 1024
"""Bytes of incomplete messages over the announced window. Stacks that don't look at the window (aiortc is one) go
over it when a packet is lost in a fast transfer; a peer that goes further is filling our memory."""

MAX_MISORDERED: Final = 4096
"""Packets received beyond one that is missing. aiortc sorts them for each packet; a 100 Mbit/s path of 200 ms has
2,000 packets under way."""


class PacketPipe:
    """What ``RTCDtlsTransport`` needs of the ICE transport below it: ``_recv``, ``_send`` and ``role``."""

    def __init__(self, send_packet: Callable[[bytes], object], *, is_server: bool) -> None:
        # RTCDtlsTransport takes its own role from this one: the controlling end is server.
        self.role = "controlling" if is_server else "controlled"
        self.bytes_sent = self.bytes_received = 0
        self.packets_sent = self.packets_received = self.packets_dropped = 0
        self._send_packet = send_packet
        self._queue: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._is_closed = False

    def feed(self, data: bytes) -> None:
        """A packet arrived."""
        if self._is_closed or len(self._queue) >= QUEUE_LIMIT:
            self.packets_dropped += 1
            return
        self.packets_received += 1
        self.bytes_received += len(data)
        self._queue.append(data)
        self._wake()

    def close(self) -> None:
        """Forget what waits, and let DTLS read the end."""
        self._is_closed = True
        self._queue.clear()
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _recv(self) -> bytes:
        while not self._queue:
            if self._is_closed:
                raise ConnectionError
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return self._queue.popleft()

    async def _send(self, data: bytes) -> None:
        self.packets_sent += 1
        self.bytes_sent += len(data)
        self._send_packet(data)


class SctpPipe:
    """What ``RTCSctpTransport`` needs of the DTLS transport below it, with a valve in the way up.

    The valve is shut while ``limit`` bytes are unread. Only DATA stops at it: acknowledgements of what we send go on.
    ``on_end`` is told that the peer shuts the association down, or did what aiortc can't handle.
    """

    def __init__(self, dtls: RTCDtlsTransport, limit: int, on_end: Callable[[ConnectionEnded], None]) -> None:
        self.unread = 0
        self.packets_dropped = 0
        self._dtls = dtls
        self._limit = limit
        self._on_end = on_end
        self._receiver: RTCSctpTransport | None = None
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._feeding: asyncio.Task[None] | None = None
        self._is_cut = False

    def count_unread(self, size: int) -> None:
        """The application has ``size`` bytes more to read, or less."""
        self.unread += size
        if self._held and self._feeding is None and self.unread <= self._limit // 2:
            self._feeding = asyncio.get_running_loop().create_task(self._feed_held())

    def release(self) -> None:
        """Forget what is held."""
        self._held.clear()
        self._held_bytes = 0

    def cut(self) -> None:
        """Send nothing any more."""
        self._is_cut = True

    # --- what RTCSctpTransport uses -------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        return self._dtls.state

    @property
    def _role(self) -> str:
        return "server" if self._dtls.transport.role == "controlling" else "client"

    def _register_data_receiver(self, receiver: RTCSctpTransport) -> None:
        self._receiver = receiver
        self._dtls._register_data_receiver(self)  # noqa: SLF001

    def _unregister_data_receiver(self, receiver: RTCSctpTransport) -> None:  # noqa: ARG002 - aiortc's signature
        self._receiver = None
        self._dtls._unregister_data_receiver(self)  # noqa: SLF001

    async def _send_data(self, data: bytes) -> None:
        # After the end, tasks and timers of aiortc still send; an exception would go to the loop's handler.
        if self._is_cut or self._dtls.state != "connected":
            return
        if data[COMMON_HEADER] == Chunk.INIT:
            # aiortc repeats an INIT with the tag that it has learned meanwhile, and so in vain (RFC 9260, 8.5.1).
            data = sctp_packet.without_tag(data)
        try:
            await self._dtls._send_data(data)  # noqa: SLF001
        except SSL.Error as exc:
            # The peer has sent a fatal alert, which aiortc passes over.
            self._fail(f"DTLS has ended: {exc}", exc)

    # --- what RTCDtlsTransport uses -------------------------------------------------------------------------------

    async def _handle_data(self, data: bytes) -> None:
        try:
            kinds = sctp_packet.chunk_types(data)
            if Chunk.DATA not in kinds or not (self._is_shut or self._held):
                await self._pass_up(data)
            elif len(kinds) == 1:
                self._hold(data)
            else:
                control, held = sctp_packet.split(data)
                for part in control:
                    await self._pass_up(part)
                for part in held:
                    self._hold(part)
            if Chunk.SHUTDOWN in kinds:
                # aiortc would wait for the end of it, and pass nothing on meanwhile.
                self._on_end(ConnectionClosed("the peer closed the connection"))
        except ValueError as exc:
            self._fail(f"the peer sent a malformed SCTP packet: {exc}", exc)

    # --- the valve ------------------------------------------------------------------------------------------------

    @property
    def _is_shut(self) -> bool:
        return self.unread >= self._limit

    def _hold(self, data: bytes) -> None:
        if self._held_bytes + len(data) > MAX_HELD_PACKETS_BYTES:
            # To SCTP this is loss: the sender sends it again when we read again.
            self.packets_dropped += 1
            return
        self._held.append(data)
        self._held_bytes += len(data)

    async def _feed_held(self) -> None:
        fed = 0
        while self._held and not self._is_shut:
            data = self._held.popleft()
            self._held_bytes -= len(data)
            await self._pass_up(data)
            fed += 1
            if fed % FEED_BATCH == 0:
                await asyncio.sleep(0)
        self._feeding = None

    async def _pass_up(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None:
            return
        try:
            await receiver._handle_data(data)  # noqa: SLF001
        except Exception as exc:  # noqa: BLE001 - aiortc asserts what a peer should do, and unpacks what it should send
            self._fail(f"the peer sent what aiortc can't handle: {type(exc).__name__} {exc}".rstrip(), exc)
            return
        overrun = -receiver._advertised_rwnd > WINDOW_OVERRUN  # noqa: SLF001
        if overrun or len(receiver._sack_misordered) > MAX_MISORDERED:  # noqa: SLF001
            self._fail("the peer sent far more than the announced window takes")

    def _fail(self, message: str, cause: Exception | None = None) -> None:
        _logger.debug("%s", message, exc_info=cause)
        self._receiver = None
        self._on_end(EngineError(message))
