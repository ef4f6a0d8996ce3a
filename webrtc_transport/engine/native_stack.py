"""DTLS by OpenSSL and SCTP of our own, driven without a task, queue or timer per packet.

A packet goes from the socket through DTLS and SCTP to its channel in one call. What there is to send after a batch of
packets is sent once, at the end of the event loop's turn; :mod:`.flush_schedule` tells what is sent when.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import ClassVar

from OpenSSL import SSL

from ..abc import (
    ChannelEvents,
    EngineChannel,
    LoopNeutralEngine,
    PeerSettings,
    PeerStatistics,
    SignaledPeer,
    SignaledPeerEvents,
)
from ..config import TransportConfig
from ..errors import ConnectionClosed, ConnectionLost, DtlsFailed, EngineError, SctpFailed
from ..portal import AsyncioPortal, Portal
from ..protocol.certificate import Certificate
from ..protocol.sctp.association import Association
from ..protocol.sctp.events import (
    Ended,
    Established,
    InboundStreamsReset,
    MessageReceived,
    OutboundStreamsReset,
)
from ..protocol.sctp.receiver import SACK_DELAY
from ..protocol.sctp.sender import PROBE_MARGIN
from ..protocol.sctp.settings import CONGESTION_CONTROLS, AssociationSettings, packet_size_in
from ..protocol.sdp import DEFAULT_MAX_MESSAGE_SIZE, SessionDescription
from .data_channels import DataChannels
from .driver import AsyncioDriver, Driver, TimerHandle
from .dtls import DtlsClosed, DtlsConnection, DtlsError, is_finished, make_context, split_records
from .dtls_handshake import DtlsHandshake
from .flush_schedule import FlushSchedule
from .peer import IcePeer
from .stack import SendPackets, Stack, StackEvents
from .stream_ids import MAX_STREAMS

_logger = logging.getLogger("libp2p.transport.webrtc.engine")


class NativeEngine(LoopNeutralEngine):
    """The fast stack, and the default."""

    name: ClassVar[str] = "native"

    def __init__(self) -> None:
        self._context: tuple[Certificate, SSL.Context] | None = None

    def create_peer(self, settings: PeerSettings, events: SignaledPeerEvents) -> SignaledPeer:
        return self.create_peer_here(AsyncioDriver(), AsyncioPortal(), settings, events)

    def create_peer_here(
        self, driver: Driver, portal: Portal, settings: PeerSettings, events: SignaledPeerEvents
    ) -> SignaledPeer:
        def make_stack(
            send_packets: SendPackets,
            is_server: bool,
            remote: SessionDescription,
            settings: PeerSettings,
            events: StackEvents,
        ) -> Stack:
            context = self._context_for(settings.certificate)
            return NativeStack(
                driver,
                DtlsConnection(context, is_server=is_server, fingerprints=remote.fingerprints),
                send_packets,
                events,
                is_server=is_server,
                max_message_size=remote.max_message_size,
                config=settings.config,
            )

        return IcePeer(driver, portal, settings, events, make_stack)

    def _context_for(self, certificate: Certificate) -> SSL.Context:
        # A context costs more than all the rest of a stack, and a transport has one certificate.
        if self._context is None or self._context[0] is not certificate:
            self._context = (certificate, make_context(certificate))
        return self._context[1]


class NativeStack(Stack):
    """One DTLS connection with one SCTP association on it, on whichever event loop.

    :param is_server: whether we are DTLS server
    :param max_message_size: bytes of a message that the peer takes
    """

    def __init__(
        self,
        driver: Driver,
        dtls: DtlsConnection,
        send_packets: SendPackets,
        events: StackEvents,
        *,
        is_server: bool,
        max_message_size: int,
        config: TransportConfig,
    ) -> None:
        self._driver = driver
        self._now = driver.now
        self._dtls = dtls
        self._send_packets = send_packets
        self._events = events
        self._is_server = is_server
        self._handshake = DtlsHandshake(driver, dtls, self._output, self._secured, self._handshake_failed)
        self._association = Association(
            AssociationSettings(
                window=config.receive_buffer,
                max_message_size=min(DEFAULT_MAX_MESSAGE_SIZE, config.receive_buffer // 2),
                max_packet_size=packet_size_in(config.max_packet_size),
                max_in_flight=config.max_in_flight,
                congestion=CONGESTION_CONTROLS[config.congestion_control],
                liveness_timeout=config.liveness_timeout,
            )
        )
        self._schedule = FlushSchedule(driver, self._association, self._flush)
        self._channels = DataChannels(
            driver,
            self._association,
            is_server=is_server,
            max_message_size=max_message_size,
            max_inbound_streams=config.max_inbound_streams,
            wake=self._message_queued,
            defer=self._schedule.defer,
            on_channel=events.on_channel,
            on_failed=self._end,
        )
        self._is_established = self._is_closed = False
        self._is_dispatching = False
        """Whether what is queued answers the peer."""
        self._timer: TimerHandle | None = None
        self._timer_due = 0.0
        self._bytes_sent = self._bytes_received = self._packets_sent = self._packets_received = 0

    # --- Stack ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._handshake.start(is_server=self._is_server)

    def packet_received(self, data: bytes) -> None:
        if self._is_closed:
            return
        self._packets_received += 1
        self._bytes_received += len(data)
        try:
            if not self._dtls.is_connected:
                self._handshake.receive(data)
                return
            for record in split_records(data):
                content = self._dtls.receive(record)
                if content:
                    self._content_received(content)
                elif is_finished(record):
                    self._handshake.finished_again()
        except DtlsClosed:
            self._end(ConnectionClosed("the peer closed the connection"))
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is logged and ends this connection only
            self._broken(exc)

    def _content_received(self, content: bytes) -> None:
        association, now = self._association, self._now()
        association.receive(content, now)
        if association.events:
            self._is_dispatching = True
            try:
                self._dispatch()
            finally:
                self._is_dispatching = False
        if self._schedule.is_due:
            return
        if association.has_output(now):
            self._schedule.wake()
        elif self._timer is None or self._timer_due > now + SACK_DELAY:
            # A packet that calls for nothing now brings nothing that is due before that.
            self._arm_timer()

    def open_channel(self, events: ChannelEvents, label: str, negotiated_id: int | None) -> EngineChannel:
        return self._channels.open(events, label, negotiated_id)

    def grant(self, size: int) -> None:
        now = self._now()
        self._association.consume(size, now)
        if not self._schedule.is_due and self._association.has_output(now):
            self._schedule.wake()

    def statistics(self) -> PeerStatistics:
        return PeerStatistics(
            bytes_sent=self._bytes_sent,
            bytes_received=self._bytes_received,
            packets_sent=self._packets_sent,
            packets_received=self._packets_received,
            packets_dropped=0,
            unread=self._association.unread,
        )

    def close(self, done: Callable[[], object] = lambda: None) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._release()
        done()

    def _release(self) -> None:
        self._handshake.stop()
        if self._dtls.is_connected:
            try:
                if self._schedule.is_due:
                    self._transmit(self._now())  # it may be the message by which we prove who we are
                self._association.abort()
                self._transmit(self._now())
            except Exception:
                _logger.debug("the peer could not be told of the end", exc_info=True)
        self._output(self._dtls.close())
        if self._timer is not None:
            self._timer.cancel()
        self._channels.close_all()

    # --- DTLS -----------------------------------------------------------------------------------------------------

    def _secured(self) -> None:
        self._association.connect(self._now())
        self._schedule.wake()
        self._events.on_secured()
        try:
            for content in self._dtls.early_contents():
                if self._is_closed:
                    break
                self._content_received(content)
        except DtlsClosed:
            self._end(ConnectionClosed("the peer closed the connection"))

    def _handshake_failed(self, error: DtlsError) -> None:
        self._end(DtlsFailed(f"the DTLS handshake failed: {error}"))

    def _output(self, datagrams: Sequence[bytes], *, may_fragment: bool = False) -> bool:
        self._packets_sent += len(datagrams)
        self._bytes_sent += sum(map(len, datagrams))
        return self._send_packets(datagrams, may_fragment=may_fragment)

    # --- SCTP -----------------------------------------------------------------------------------------------------

    def _message_queued(self) -> None:
        if self._is_dispatching:
            self._schedule.defer()
        elif self._is_established:
            self._schedule.message_queued()
        else:
            self._schedule.wake()

    def _flush(self) -> None:
        self._schedule.begin_anew()
        if self._is_closed or not self._dtls.is_connected:
            return
        association, now = self._association, self._now()
        try:
            self._transmit(now)
            sent = association.take_sent()
            for stream_id, size in sent.items():
                self._channels.bytes_sent(stream_id, size)
            if association.events:
                self._dispatch()
            if sent and association.has_output(now):
                # The pace allows for more before a timer of the loop could say so, or a stream came to its end.
                self._schedule.wake()
        except DtlsError as exc:
            self._end(EngineError(f"DTLS can't send any more: {exc}"))
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is logged and ends this connection only
            self._broken(exc)
        else:
            # Most often what is armed is due before anything new.
            if self._timer is None or self._timer_due > now + PROBE_MARGIN or association.is_hurried:
                self._arm_timer()

    def _transmit(self, now: float) -> None:
        association, encrypt = self._association, self._dtls.send
        packets = association.transmit(now)
        if packets and not self._output([encrypt(packet) for packet in packets]):
            association.refused(max(map(len, packets)), now)
        if oversized := association.take_oversized():
            self._output([encrypt(packet) for packet in oversized], may_fragment=True)

    def _arm_timer(self) -> None:
        due = self._association.timer
        if due is None or self._is_closed:
            return
        # A timer that fires too early costs one look; one that is moved with each packet costs more.
        if self._timer is None or due < self._timer_due:
            if self._timer is not None:
                self._timer.cancel()
            self._timer, self._timer_due = self._driver.call_at(due, self._timer_fired), due

    def _timer_fired(self) -> None:
        self._timer = None
        now = self._now()
        due = self._association.timer
        if due is None or now < due:
            self._arm_timer()
            return
        try:
            self._association.handle_timer(now)
            self._flush()
        except Exception as exc:  # noqa: BLE001 - whatever it is, it is logged and ends this connection only
            self._broken(exc)

    def _dispatch(self) -> None:
        events, self._association.events = self._association.events, []
        channels = self._channels
        for event in events:
            if channels.is_ended:
                # What came in one packet with the reason for the end finds nobody.
                break
            if isinstance(event, MessageReceived):
                channels.message_received(event.stream_id, event.ppid, event.data)
            else:
                self._dispatch_rare(event)
                self._schedule.defer()

    def _dispatch_rare(self, event: Established | InboundStreamsReset | OutboundStreamsReset | Ended) -> None:
        match event:
            case InboundStreamsReset(stream_ids=stream_ids):
                self._channels.inbound_reset(stream_ids)
            case OutboundStreamsReset(stream_ids=stream_ids):
                self._channels.outbound_reset(stream_ids)
            case Established(outbound_streams=count):
                self._channels.id_limit = min(count, MAX_STREAMS)
                self._is_established = True
                self._handshake.stop()
                self._events.on_established()
            case Ended(reason=reason) if not self._is_established:
                self._end(SctpFailed(f"the SCTP association could not be set up: {reason}"))
            case Ended(is_orderly=True):
                self._end(ConnectionClosed("the peer closed the connection"))
            case Ended(reason=reason, is_lost=is_lost):
                self._end(ConnectionLost(reason) if is_lost else EngineError(reason))

    def _broken(self, error: Exception) -> None:
        """A fault of our own: it ends this connection, and neither its reader nor what else the loop runs."""
        if not self._channels.is_ended:
            _logger.error("the native engine failed; the connection is ended", exc_info=error)
            self._association.abort("internal error")
        self._end(EngineError(f"the native engine failed: {type(error).__name__}: {error}"))

    def _end(self, reason: Exception) -> None:
        if self._channels.is_ended:
            return
        self._channels.is_ended = True
        is_setting_up = self._dtls.is_connected and not self._is_established
        if is_setting_up and not isinstance(reason, SctpFailed | EngineError):
            reason = SctpFailed(f"the peer connection ended during its set-up: {reason}")
        self._events.on_ended(reason)
