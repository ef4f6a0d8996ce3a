"""DTLS and SCTP by aiortc's public parts: ``RTCDtlsTransport`` and ``RTCSctpTransport``.

Each of the two talks to the object below it through a few methods. Both objects below are ours, and that is where
this stack bounds what aiortc leaves open:

- :class:`_PacketPipe` stands in for the ICE transport, below DTLS.
- :class:`_SctpPipe` stands between DTLS and SCTP. While the application doesn't read, it holds DATA packets back,
  so that their sender stops; what is left of a hostile packet after aiortc's parser ends the peer by name instead
  of in a traceback; and what aiortc's tasks send after the end goes nowhere instead of to the loop's exception
  handler.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import ClassVar, Final

from aiortc import (
    RTCCertificate,
    RTCDataChannel,
    RTCDataChannelParameters,
    RTCDtlsFingerprint,
    RTCDtlsParameters,
    RTCDtlsTransport,
    RTCSctpCapabilities,
    RTCSctpTransport,
)

from ..abc import ChannelEvents, Engine, EngineChannel, EnginePeer, PeerEvents, PeerSettings, PeerStatistics
from ..errors import ConnectionClosed, DtlsFailed, EngineError, SctpFailed, TooManyStreams
from ..protocol.limits import MAX_EARLY_MESSAGES, MAX_HELD_PACKETS_BYTES
from ..protocol.sdp import SessionDescription
from .peer import IcePeer, Stack

_logger = logging.getLogger("libp2p.transport.webrtc.engine")

SENTINEL_ID: Final = 65534
"""A negotiated channel that is never used: its ``open`` and ``close`` are those of the association, which has no
event of its own. The highest id, so that no peer will ever want it."""

SCTP_PORT: Final = 5000
"""Our SCTP port (RFC 8841, section 5: the value is arbitrary, and everyone uses this one)."""

DATA_CHUNK: Final = 0
"""Chunk type of DATA (RFC 9260, section 3.3.1), the first byte after the common header."""

COMMON_HEADER: Final = 12
"""Bytes of SCTP's common header (RFC 9260, section 3.1)."""


class AiortcEngine(Engine):
    """The reference stack. Select it with ``TransportConfig(engine="aiortc")``."""

    name: ClassVar[str] = "aiortc"

    def create_peer(self, settings: PeerSettings, events: PeerEvents) -> EnginePeer:
        return IcePeer(settings, events, AiortcStack)


class AiortcStack(Stack):
    """One DTLS connection with one SCTP association on it."""

    def __init__(
        self,
        send_packet: Callable[[bytes], None],
        is_server: bool,
        remote: SessionDescription,
        settings: PeerSettings,
        events: PeerEvents,
    ) -> None:
        self._remote = remote
        self._events = events
        self._send_window = settings.config.send_buffer
        self._is_server = is_server
        self._pipe = _PacketPipe(send_packet, is_server=is_server)
        certificate = RTCCertificate(settings.certificate.private_key, settings.certificate.x509)
        # The pipe has what RTCDtlsTransport uses of an RTCIceTransport; a test holds both to it.
        self._dtls = RTCDtlsTransport(self._pipe, [certificate])  # type: ignore[arg-type]
        self._sctp_pipe = _SctpPipe(self._dtls, settings.config.receive_buffer, self._end)
        self._sctp = RTCSctpTransport(self._sctp_pipe, SCTP_PORT)  # type: ignore[arg-type]
        self._channels: dict[int, AiortcChannel] = {}
        self._next_id = 1 if is_server else 0
        self.ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        self._dtls.on("statechange", self._dtls_changed)

    def packet_received(self, data: bytes) -> None:
        self._pipe.feed(data)

    async def handshake(self) -> None:
        fingerprints = [RTCDtlsFingerprint(f.algorithm, f.value) for f in self._remote.fingerprints]
        await self._dtls.start(RTCDtlsParameters(fingerprints=fingerprints))
        if self._dtls.state != "connected":
            msg = "the DTLS handshake failed: the peer's certificate does not match its description, or it gave up"
            raise DtlsFailed(msg)

    async def associate(self) -> None:
        established = asyncio.Event()
        sentinel = RTCDataChannel(self._sctp, RTCDataChannelParameters(negotiated=True, id=SENTINEL_ID))
        sentinel.on("open", established.set)
        sentinel.on("close", lambda: self._end(ConnectionClosed("the peer closed the connection")))
        self._sctp.on("datachannel", self._channel_opened)
        await self._sctp.start(RTCSctpCapabilities(self._remote.max_message_size), self._remote.sctp_port)
        self.ended.add_done_callback(lambda _: established.set())
        await established.wait()
        if self.ended.done():
            msg = f"the SCTP association could not be set up: {self.ended.result()}"
            raise SctpFailed(msg)

    def open_channel(self, events: ChannelEvents, label: str, negotiated_id: int | None) -> EngineChannel:
        stream_id = self._free_id() if negotiated_id is None else negotiated_id
        parameters = RTCDataChannelParameters(label=label, id=stream_id, negotiated=negotiated_id is not None)
        channel = AiortcChannel(self, RTCDataChannel(self._sctp, parameters), stream_id)
        channel.bind(events)
        return channel

    def _free_id(self) -> int:
        """The next free id, round and round: a peer may still be busy closing the one that was freed last."""
        limit = min(self._sctp.maxChannels or SENTINEL_ID, SENTINEL_ID)
        parity = self._next_id & 1
        for _ in range(limit):
            stream_id, self._next_id = self._next_id, self._next_id + 2
            if self._next_id >= limit:
                self._next_id = parity
            if stream_id < limit and stream_id not in self._channels:
                return stream_id
        msg = f"all {limit // 2} stream ids of this end are in use"
        raise TooManyStreams(msg)

    def statistics(self) -> PeerStatistics:
        pipe, sctp_pipe = self._pipe, self._sctp_pipe
        return PeerStatistics(
            bytes_sent=pipe.bytes_sent,
            bytes_received=pipe.bytes_received,
            packets_sent=pipe.packets_sent,
            packets_received=pipe.packets_received,
            packets_dropped=pipe.packets_dropped + sctp_pipe.packets_dropped,
            unread=sctp_pipe.unread,
        )

    def grant(self, size: int) -> None:
        self._sctp_pipe.count_unread(-size)

    async def close(self) -> None:
        self._end(ConnectionClosed("closed"))
        self._sctp_pipe.release()
        await self._sctp.stop()
        self._sctp_pipe.cut()
        await self._dtls.stop()
        self._pipe.close()
        for channel in list(self._channels.values()):
            channel.closed()

    # --- events of aiortc -----------------------------------------------------------------------------------------

    def _dtls_changed(self) -> None:
        if self._dtls.state in ("closed", "failed"):
            self._end(ConnectionClosed("the peer closed the connection"))

    def _channel_opened(self, channel: RTCDataChannel) -> None:
        assert channel.id is not None
        self._events.on_channel(AiortcChannel(self, channel, channel.id))

    def _end(self, reason: Exception) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)

    # --- for the channels -----------------------------------------------------------------------------------------

    @property
    def send_window(self) -> int:
        """Bytes that a channel may have unsent."""
        return self._send_window

    def add_channel(self, channel: AiortcChannel) -> None:
        self._channels[channel.id] = channel

    def remove_channel(self, channel: AiortcChannel) -> None:
        if self._channels.get(channel.id) is channel:
            del self._channels[channel.id]

    def count_unread(self, size: int) -> None:
        """The application has ``size`` bytes more to read."""
        self._sctp_pipe.count_unread(size)


class AiortcChannel(EngineChannel):
    """An ``RTCDataChannel`` with credits."""

    def __init__(self, stack: AiortcStack, channel: RTCDataChannel, stream_id: int) -> None:
        self._stack = stack
        self._channel = channel
        self._id = stream_id
        self._events: ChannelEvents | None = None
        self._early: list[bytes] = []
        self._unsent = 0
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        channel.bufferedAmountLowThreshold = stack.send_window // 2
        channel.on("message", self._message_received)
        channel.on("bufferedamountlow", self._report_sent)
        channel.on("close", self.closed)
        stack.add_channel(self)

    @property
    def id(self) -> int:
        return self._id

    @property
    def label(self) -> str:
        return self._channel.label

    def bind(self, events: ChannelEvents) -> None:
        self._events = events
        early, self._early = self._early, []
        for data in early:
            events.on_message(data)

    def send(self, data: bytes) -> None:
        if self._channel.readyState not in ("connecting", "open"):
            return
        self._unsent += len(data)
        # Queued even while the DATA_CHANNEL_ACK is under way (RFC 8832, section 6), which send() would refuse.
        self._channel.transport._data_channel_send(self._channel, data)  # noqa: SLF001
        self._report_sent()

    def close(self, delay: float = 0.0) -> None:
        if self._is_closed:
            return
        if delay > 0:
            loop = asyncio.get_running_loop()
            self._timer = self._timer or loop.call_later(delay, self._channel.close)
        else:
            self._channel.close()

    def closed(self) -> None:
        """The channel is closed in both directions, or its association is gone."""
        if self._is_closed:
            return
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._stack.remove_channel(self)
        # aiortc closes all channels with the association; that is told by the peer's own on_closed.
        if self._events is not None and not self._stack.ended.done():
            self._events.on_closed()

    def _message_received(self, message: bytes | str) -> None:
        data = message.encode() if isinstance(message, str) else message
        self._stack.count_unread(len(data))
        if self._events is not None:
            self._events.on_message(data)
        elif len(self._early) < MAX_EARLY_MESSAGES:
            self._early.append(data)
        else:
            self._channel.close()

    def _report_sent(self) -> None:
        """Tell what has left the buffer: on aiortc's event at half the window, and with each send."""
        sent = self._unsent - self._channel.bufferedAmount
        if sent > 0 and self._events is not None:
            self._unsent -= sent
            self._events.on_sent(sent)


class _PacketPipe:
    """What ``RTCDtlsTransport`` needs of the ICE transport below it: ``_recv``, ``_send`` and ``role``."""

    QUEUE_LIMIT: ClassVar[int] = 2048
    """Packets that wait for DTLS. It takes them without waiting, so they only gather while the loop is busy."""

    def __init__(self, send_packet: Callable[[bytes], None], *, is_server: bool) -> None:
        # RTCDtlsTransport takes its own role from this one: the controlling end is server.
        self.role = "controlling" if is_server else "controlled"
        self.bytes_sent = self.bytes_received = 0
        self.packets_sent = self.packets_received = self.packets_dropped = 0
        self._send_packet = send_packet
        self._queue: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._is_closed = False

    def feed(self, data: bytes) -> None:
        if len(self._queue) >= self.QUEUE_LIMIT:
            self.packets_dropped += 1
            return
        self.packets_received += 1
        self.bytes_received += len(data)
        self._queue.append(data)
        self._wake()

    def close(self) -> None:
        self._is_closed = True
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


class _SctpPipe:
    """What ``RTCSctpTransport`` needs of the DTLS transport below it, with a valve in the way up.

    The valve is shut while ``limit`` bytes are unread. Only packets that begin with a DATA chunk stop at it:
    acknowledgements of what we send go on.
    """

    def __init__(self, dtls: RTCDtlsTransport, limit: int, on_error: Callable[[EngineError], None]) -> None:
        self.unread = 0
        self.packets_dropped = 0
        self._dtls = dtls
        self._limit = limit
        self._on_error = on_error
        self._receiver: RTCSctpTransport | None = None
        self._held: deque[bytes] = deque()
        self._held_bytes = 0
        self._feeding: asyncio.Task[None] | None = None
        self._is_cut = False

    # What RTCSctpTransport uses:

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
        if not self._is_cut and self._dtls.state == "connected":
            await self._dtls._send_data(data)  # noqa: SLF001

    # What RTCDtlsTransport uses:

    async def _handle_data(self, data: bytes) -> None:
        if len(data) > COMMON_HEADER and data[COMMON_HEADER] == DATA_CHUNK and (self._is_shut or self._held):
            self._hold(data)
        else:
            await self._pass_up(data)

    # The valve:

    @property
    def _is_shut(self) -> bool:
        return self.unread >= self._limit

    def count_unread(self, size: int) -> None:
        self.unread += size
        if self._held and self._feeding is None and self.unread <= self._limit // 2:
            self._feeding = asyncio.get_running_loop().create_task(self._feed_held())

    def release(self) -> None:
        """Forget what is held."""
        self._held.clear()
        self._held_bytes = 0
        if self._feeding is not None:
            self._feeding.cancel()

    def cut(self) -> None:
        """Send nothing any more."""
        self._is_cut = True

    def _hold(self, data: bytes) -> None:
        if self._held_bytes + len(data) > MAX_HELD_PACKETS_BYTES:
            # To SCTP this is loss: the sender sends it again when we read again.
            self.packets_dropped += 1
            return
        self._held.append(data)
        self._held_bytes += len(data)

    async def _feed_held(self) -> None:
        try:
            while self._held and not self._is_shut:
                data = self._held.popleft()
                self._held_bytes -= len(data)
                await self._pass_up(data)
        finally:
            self._feeding = None

    async def _pass_up(self, data: bytes) -> None:
        if self._receiver is None:
            return
        try:
            await self._receiver._handle_data(data)  # noqa: SLF001
        except ConnectionError:
            raise
        except Exception as exc:
            # aiortc asserts what a peer should do. One that does otherwise ends its own connection, no more.
            _logger.debug("aiortc failed on a packet of %d bytes", len(data), exc_info=True)
            self._on_error(EngineError(f"the peer sent what aiortc can't handle: {type(exc).__name__} {exc}"))
