"""DTLS by OpenSSL and SCTP of our own, driven without a task, queue or timer per packet.

A packet goes from the socket through DTLS and SCTP to its channel in one call. What there is to send after a batch of
packets, or after calls of the application, is sent once, at the end of the event loop's turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import ClassVar

from OpenSSL import SSL

from ..abc import ChannelEvents, Engine, EngineChannel, EnginePeer, PeerEvents, PeerSettings, PeerStatistics
from ..errors import ConnectionClosed, DtlsFailed, EngineError, SctpFailed
from ..protocol.certificate import Certificate
from ..protocol.limits import MAX_EARLY_MESSAGES
from ..protocol.sctp.association import Association
from ..protocol.sctp.data_channel import ACK, DcepError, Open, PayloadProtocol, decode_message
from ..protocol.sctp.events import (
    BytesSent,
    Ended,
    Established,
    InboundStreamsReset,
    MessageReceived,
    OutboundStreamsReset,
)
from ..protocol.sctp.settings import CONGESTION_CONTROLS, AssociationSettings, packet_size_in
from ..protocol.sdp import DEFAULT_MAX_MESSAGE_SIZE, SessionDescription
from .dtls import (
    FIRST_RETRANSMISSION,
    DtlsClosed,
    DtlsConnection,
    DtlsError,
    is_handshake,
    make_context,
)
from .native_channel import ChannelOwner, NativeChannel
from .peer import IcePeer, Stack
from .stream_ids import MAX_STREAMS, StreamIds


class NativeEngine(Engine):
    """The fast stack. Select it with ``TransportConfig(engine="native")``."""

    name: ClassVar[str] = "native"

    def __init__(self) -> None:
        self._context: tuple[Certificate, SSL.Context] | None = None

    def create_peer(self, settings: PeerSettings, events: PeerEvents) -> EnginePeer:
        return IcePeer(settings, events, self._make_stack)

    def _make_stack(
        self,
        send_packet: Callable[[bytes], None],
        is_server: bool,
        remote: SessionDescription,
        settings: PeerSettings,
        events: PeerEvents,
    ) -> Stack:
        # A context costs more than all the rest of a stack, and a transport has one certificate.
        if self._context is None or self._context[0] is not settings.certificate:
            self._context = (settings.certificate, make_context(settings.certificate))
        dtls = DtlsConnection(self._context[1], is_server=is_server, fingerprints=remote.fingerprints)
        return NativeStack(dtls, send_packet, remote, settings, events, is_server=is_server)


class NativeStack(Stack, ChannelOwner):
    """One DTLS connection with one SCTP association on it."""

    def __init__(
        self,
        dtls: DtlsConnection,
        send_packet: Callable[[bytes], None],
        remote: SessionDescription,
        settings: PeerSettings,
        events: PeerEvents,
        *,
        is_server: bool,
    ) -> None:
        self.max_message_size = remote.max_message_size
        """Bytes of a message that the peer takes."""
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[Exception] = self._loop.create_future()
        self._dtls = dtls
        self._send_packet = send_packet
        self._events = events
        window = settings.config.receive_buffer
        self._association = Association(
            AssociationSettings(
                window=window,
                max_message_size=min(DEFAULT_MAX_MESSAGE_SIZE, window // 2),
                max_packet_size=packet_size_in(settings.config.max_packet_size),
                congestion=CONGESTION_CONTROLS[settings.config.congestion_control],
            )
        )
        self._channels: dict[int, NativeChannel] = {}
        self._early: list[tuple[int, int, bytes]] = []
        """Messages on streams that nobody has opened: stream id, ppid, data."""
        self._ids = StreamIds(is_server=is_server, in_use=self._channels)
        self._id_limit = MAX_STREAMS
        self._handshaken: asyncio.Future[None] = self._loop.create_future()
        self._established: asyncio.Future[None] = self._loop.create_future()
        self._is_server = is_server
        self._retransmission: asyncio.TimerHandle | None = None
        self._retransmission_delay = FIRST_RETRANSMISSION
        self._timer: asyncio.TimerHandle | None = None
        self._timer_due = 0.0
        self._is_flushing = False
        self._is_closed = False
        self._bytes_sent = self._bytes_received = self._packets_sent = self._packets_received = 0

    # --- Stack ----------------------------------------------------------------------------------------------------

    def packet_received(self, data: bytes) -> None:
        if self._is_closed:
            return
        self._packets_received += 1
        self._bytes_received += len(data)
        if not self._dtls.is_connected:
            self._advance_handshake(data)
            return
        try:
            content = self._dtls.receive(data)
        except DtlsClosed:
            self._end(ConnectionClosed("the peer closed the connection"))
            return
        if content:
            self._association.receive(content, self._loop.time())
            self._wake()
        elif is_handshake(data):
            # The peer is still at its last flight, and so lacks ours.
            self._output(self._dtls.repeat_flight())

    async def handshake(self) -> None:
        if not self._is_server:
            self._advance_handshake(None)
        self._arm_retransmission()
        try:
            await self._handshaken
        finally:
            if self._retransmission is not None:
                self._retransmission.cancel()

    async def associate(self) -> None:
        self._association.connect(self._loop.time())
        self._wake()
        await self._established

    def open_channel(self, events: ChannelEvents, label: str, negotiated_id: int | None) -> EngineChannel:
        is_negotiated = negotiated_id is not None
        stream_id = self._ids.take(self._id_limit) if negotiated_id is None else negotiated_id
        channel = NativeChannel(self, stream_id, label)
        channel.bind(events)
        self._channels[stream_id] = channel
        if is_negotiated:
            self._loop.call_soon(self._replay_early)
        else:
            channel.send_control(Open(label).encode())
        return channel

    def _replay_early(self) -> None:
        early, self._early = self._early, []
        for stream_id, ppid, data in early:
            self._message_received(stream_id, ppid, data)

    def grant(self, size: int) -> None:
        self._association.consume(size, self._loop.time())
        self._wake()

    def statistics(self) -> PeerStatistics:
        return PeerStatistics(
            bytes_sent=self._bytes_sent,
            bytes_received=self._bytes_received,
            packets_sent=self._packets_sent,
            packets_received=self._packets_received,
            packets_dropped=0,
            unread=self._association.unread,
        )

    async def close(self) -> None:
        if self._is_closed:
            return
        self._association.abort()
        self._flush()
        self._output(self._dtls.close())
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._end(ConnectionClosed("closed"))
        for channel in list(self._channels.values()):
            channel.closed()

    # --- DTLS -----------------------------------------------------------------------------------------------------

    def _advance_handshake(self, datagram: bytes | None) -> None:
        if self._handshaken.done():
            return
        if datagram is not None:
            self._dtls.feed(datagram)
        try:
            flight = self._dtls.handshake()
        except DtlsError as exc:
            self._output(self._dtls.last_words())
            self._handshaken.set_exception(DtlsFailed(f"the DTLS handshake failed: {exc}"))
            return
        if flight:
            self._retransmission_delay = FIRST_RETRANSMISSION
            self._output(flight)
        if self._dtls.is_connected:
            self._handshaken.set_result(None)

    def _arm_retransmission(self) -> None:
        self._retransmission = self._loop.call_later(self._retransmission_delay, self._retransmit)

    def _retransmit(self) -> None:
        self._output(self._dtls.repeat_flight())
        self._retransmission_delay *= 2
        self._arm_retransmission()

    def _output(self, datagrams: list[bytes]) -> None:
        for datagram in datagrams:
            self._packets_sent += 1
            self._bytes_sent += len(datagram)
            self._send_packet(datagram)

    # --- SCTP -----------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Have everything sent at the end of this turn of the loop."""
        if not self._is_flushing:
            self._is_flushing = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flushing = False
        if self._is_closed or not self._dtls.is_connected:
            return
        association = self._association
        encrypt, send = self._dtls.send, self._send_packet
        packets = association.transmit(self._loop.time())
        try:
            for packet in packets:
                datagram = encrypt(packet)
                self._bytes_sent += len(datagram)
                send(datagram)
        except DtlsError as exc:
            self._end(EngineError(f"DTLS can't send any more: {exc}"))
            return
        self._packets_sent += len(packets)
        if association.events:
            self._dispatch()
        self._arm_timer()

    def _arm_timer(self) -> None:
        due = self._association.timer
        if due is None:
            return
        # A timer that fires too early costs one look; one that is moved with each packet costs more.
        if self._timer is None or due < self._timer_due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_due = self._loop.call_at(due, self._timer_fired), due

    def _timer_fired(self) -> None:
        self._timer = None
        now = self._loop.time()
        due = self._association.timer
        if due is not None and now >= due:
            self._association.handle_timer(now)
            self._flush()
        else:
            self._arm_timer()

    def _dispatch(self) -> None:
        events, self._association.events = self._association.events, []
        channels = self._channels
        for event in events:
            if isinstance(event, MessageReceived):
                stream_id, ppid, data = event
                channel = channels.get(stream_id)
                if channel is not None and ppid == PayloadProtocol.BINARY and channel.is_open:
                    channel.message_received(data)
                else:
                    self._message_received(stream_id, ppid, data)
            elif isinstance(event, BytesSent):
                if event.stream_id in channels:
                    channels[event.stream_id].bytes_sent(event.size)
            else:
                self._dispatch_rare(event)
        # Handlers may have queued more.
        self._wake()

    def _dispatch_rare(self, event: Established | InboundStreamsReset | OutboundStreamsReset | Ended) -> None:
        match event:
            case InboundStreamsReset(stream_ids=stream_ids):
                for channel in self._channels_of(stream_ids):
                    channel.inbound_reset()
            case OutboundStreamsReset(stream_ids=stream_ids):
                for channel in self._channels_of(stream_ids):
                    channel.outbound_reset()
            case Established(outbound_streams=count):
                self._id_limit = min(count, MAX_STREAMS)
                if not self._established.done():
                    self._established.set_result(None)
            case Ended():
                self._association_ended(event)

    def _channels_of(self, stream_ids: Sequence[int]) -> list[NativeChannel]:
        return [self._channels[stream_id] for stream_id in stream_ids if stream_id in self._channels]

    def _message_received(self, stream_id: int, ppid: int, data: bytes) -> None:
        """A message that isn't plain data of an open channel."""
        channel = self._channels.get(stream_id)
        if channel is not None and not channel.is_open:
            channel.keep(ppid, data)
            return
        if ppid == PayloadProtocol.DCEP:
            self._association.consume(len(data), self._loop.time())
            if data != ACK and channel is None:
                self._open_inbound(stream_id, data)
            return
        message = decode_message(ppid, data)
        if channel is None and message is not None and len(self._early) < MAX_EARLY_MESSAGES:
            # Both ends open a negotiated channel, and the peer was first.
            self._early.append((stream_id, ppid, data))
            return
        if channel is None or message is None:
            self._association.consume(len(data), self._loop.time())
            return
        if not message:
            self._association.consume(len(data), self._loop.time())
        channel.message_received(message)

    def _open_inbound(self, stream_id: int, data: bytes) -> None:
        try:
            opening = Open.parse(data)
        except DcepError as exc:
            self._association.abort(f"DCEP: {exc}")
            self._end(EngineError(f"the peer sent a malformed DATA_CHANNEL_OPEN: {exc}"))
            return
        channel = NativeChannel(self, stream_id, opening.label)
        self._channels[stream_id] = channel
        channel.send_control(ACK)
        self._events.on_channel(channel)

    def _association_ended(self, event: Ended) -> None:
        if not self._established.done():
            self._established.set_exception(
                SctpFailed(f"the SCTP association could not be set up: {event.reason}")
            )
        if event.is_orderly:
            self._end(ConnectionClosed("the peer closed the connection"))
        else:
            self._end(EngineError(event.reason))

    def _end(self, reason: Exception) -> None:
        if not self._established.done():
            self._established.set_exception(
                SctpFailed(f"the peer connection ended during its set-up: {reason}")
            )
            # Nobody may be waiting for it yet.
            self._established.exception()
        if not self.ended.done():
            self.ended.set_result(reason)

    # --- for the channels -----------------------------------------------------------------------------------------

    def queue(self, stream_id: int, ppid: int, data: bytes) -> None:
        """Send a message."""
        self._association.send(stream_id, ppid, data)
        self._wake()

    def reset(self, stream_id: int) -> None:
        """End our direction of a stream, after what is queued."""
        self._association.reset_stream(stream_id)
        self._wake()

    def remove(self, channel: NativeChannel) -> None:
        """The channel is closed; its id is free."""
        del self._channels[channel.id]

    def replay(self, stream_id: int, messages: list[tuple[int, bytes]]) -> None:
        """Act on what came for the next channel of this id."""
        for ppid, data in messages:
            self._message_received(stream_id, ppid, data)

    def consume(self, size: int) -> None:
        """``size`` bytes will not be read by anybody."""
        self._association.consume(size, self._loop.time())
