"""DTLS and SCTP by aiortc's public parts: ``RTCDtlsTransport`` and ``RTCSctpTransport``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
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
from aiortc.rtcsctptransport import (
    DATA_CHANNEL_OPEN,
    WEBRTC_BINARY,
    WEBRTC_BINARY_EMPTY,
    WEBRTC_DCEP,
    WEBRTC_STRING_EMPTY,
)
from OpenSSL import SSL

from ..abc import (
    ChannelEvents,
    Engine,
    EngineChannel,
    PeerSettings,
    PeerStatistics,
    SignaledPeer,
    SignaledPeerEvents,
)
from ..errors import ConnectionClosed, DtlsFailed, EngineError, SctpFailed, WebRTCError
from ..portal import AsyncioPortal
from ..protocol.limits import MAX_EARLY_BYTES
from ..protocol.sdp import SessionDescription
from .aiortc_pipes import PacketPipe, SctpPipe
from .driver import AsyncioDriver
from .early_messages import EarlyMessages
from .peer import IcePeer
from .stack import SendPackets, Stack, StackEvents
from .stream_ids import MAX_STREAMS, StreamIds

_logger = logging.getLogger("libp2p.transport.webrtc.engine")

SENTINEL_ID: Final = MAX_STREAMS
"""A negotiated channel that is never used: its ``open`` and ``close`` are those of the association, which has no
event of its own. The highest id, so that no peer will ever want it."""

SCTP_PORT: Final = 5000
"""Our SCTP port (RFC 8841, section 5: the value is arbitrary, and everyone uses this one)."""

CLOSE_TIMEOUT: Final = 0.4
"""Seconds for saying good-bye and stopping aiortc's tasks. With ICE's part, a closed peer is gone in under one."""


class AiortcEngine(Engine):
    """The reference stack. Select it with ``TransportConfig(engine="aiortc")``."""

    name: ClassVar[str] = "aiortc"

    def create_peer(self, settings: PeerSettings, events: SignaledPeerEvents) -> SignaledPeer:
        return IcePeer(AsyncioDriver(), AsyncioPortal(), settings, events, AiortcStack)


class AiortcStack(Stack):
    """One DTLS connection with one SCTP association on it."""

    def __init__(
        self,
        send_packets: SendPackets,
        is_server: bool,
        remote: SessionDescription,
        settings: PeerSettings,
        events: StackEvents,
    ) -> None:
        self._remote = remote
        self._events = events
        # aiortc looks for no path MTU, and its packets are larger than some paths take.
        self._pipe = PacketPipe(lambda packet: send_packets([packet], may_fragment=True), is_server=is_server)
        certificate = RTCCertificate(settings.certificate.private_key, settings.certificate.x509)
        # The pipes have what aiortc's transports use of those below them; a test holds both to it.
        self._dtls = RTCDtlsTransport(self._pipe, [certificate])  # type: ignore[arg-type]
        self._sctp_pipe = SctpPipe(self._dtls, settings.config.receive_buffer, self._end)
        self._sctp = _SctpTransport(self._sctp_pipe, SCTP_PORT)  # type: ignore[arg-type]
        self._sctp.on("early_message", self._keep_early)
        self._early = EarlyMessages(MAX_EARLY_BYTES)
        self._channels: dict[int, AiortcChannel] = {}
        self._ids = StreamIds(is_server=is_server, in_use=self._channels)
        self.ended: asyncio.Future[Exception] = asyncio.get_running_loop().create_future()
        """Done when the association is over, with the reason."""
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False
        self._dtls.on("statechange", self._dtls_changed)

    def packet_received(self, data: bytes) -> None:
        self._pipe.feed(data)

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._set_up())

    async def _set_up(self) -> None:
        try:
            await self.handshake()
            self._events.on_secured()
            await self.associate()
        except WebRTCError as exc:
            self._fail(exc)
        except Exception as exc:
            _logger.exception("error in the engine")
            self._fail(EngineError(f"{type(exc).__name__}: {exc}"))
        else:
            self._events.on_established()
            self.ended.add_done_callback(lambda ended: self._fail(ended.result()))

    def _fail(self, reason: Exception) -> None:
        if not self._is_closing:
            self._events.on_ended(reason)

    async def handshake(self) -> None:
        """Do the DTLS handshake.

        :raises DtlsFailed: if it fails, or the peer's certificate has none of the fingerprints
        """
        fingerprints = [RTCDtlsFingerprint(f.algorithm, f.value) for f in self._remote.fingerprints]
        try:
            await self._dtls.start(RTCDtlsParameters(fingerprints=fingerprints))
        except SSL.Error as exc:
            raise DtlsFailed(f"the DTLS handshake failed: {exc}") from None
        if self._dtls.state != "connected":
            await self._refuse()
            msg = "the DTLS handshake failed: the peer's certificate does not match its description, or it gave up"
            raise DtlsFailed(msg)

    async def _refuse(self) -> None:
        """Tell the peer: aiortc would leave it waiting."""
        ssl = self._dtls._ssl  # noqa: SLF001
        assert ssl is not None
        # In the middle of a handshake nothing can be shut down; what goes out then is OpenSSL's alert.
        with suppress(SSL.Error):
            ssl.shutdown()
        await self._dtls._write_ssl()  # noqa: SLF001

    async def associate(self) -> None:
        """Set the SCTP association up.

        :raises SctpFailed: if it can't be
        """
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
        stream_id = negotiated_id
        if stream_id is None:
            stream_id = self._ids.take(self._sctp.maxChannels or MAX_STREAMS)
        parameters = RTCDataChannelParameters(label=label, id=stream_id, negotiated=negotiated_id is not None)
        early = [data for _, data in self._early.take(stream_id)]
        channel = AiortcChannel(self, RTCDataChannel(self._sctp, parameters), stream_id, early)
        channel.bind(events)
        return channel

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

    def close(self, done: Callable[[], object] = lambda: None) -> None:
        self._is_closing = True
        closing = asyncio.get_running_loop().create_task(self._close())
        closing.add_done_callback(lambda _: done())

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self.aclose()
        except TimeoutError:
            _logger.warning("aiortc took more than %s s to close a peer connection", CLOSE_TIMEOUT)
        except Exception:
            _logger.exception("error while a peer connection was closed")

    async def aclose(self) -> None:
        """As :meth:`close`, and wait for it."""
        self._is_closing = True
        if self._task is not None:
            self._task.cancel()
        self._end(ConnectionClosed("closed"))
        self._sctp_pipe.release()
        await self._sctp.stop()
        self._sctp_pipe.cut()
        # A task of aiortc that was about to run may start a timer: it gets its turn, and the timer is stopped too.
        await asyncio.sleep(0)
        await self._sctp.stop()
        await self._dtls.stop()
        self._pipe.close()
        for channel in list(self._channels.values()):
            channel.closed()
        if self._task is not None:
            # Python 3.11's wait_for() can lose a cancellation: then it is what was closed here that ends it.
            await asyncio.wait([self._task])

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

    # --- messages for a channel that the peer has opened by agreement, and we have not yet ----------------------

    def _keep_early(self, stream_id: int, data: bytes) -> None:
        self.count_unread(len(data))
        if not self._early.keep(stream_id, WEBRTC_BINARY, data):
            self._end(
                EngineError(
                    f"the peer sent more than {MAX_EARLY_BYTES} bytes on channels that nobody has opened"
                )
            )

    # --- for the channels -----------------------------------------------------------------------------------------

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

    def __init__(
        self, stack: AiortcStack, channel: RTCDataChannel, stream_id: int, early: Sequence[bytes] = ()
    ) -> None:
        self._stack = stack
        self._channel = channel
        self._id = stream_id
        self._events: ChannelEvents | None = None
        self._unsent = 0
        self._is_closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._early = list(early)
        if early:
            # Later, for who opens the channel doesn't know it yet.
            asyncio.get_running_loop().call_soon(self._tell_early)
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

    def send(self, data: bytes) -> None:
        if self._channel.readyState not in ("connecting", "open"):
            return
        # Queued even while the DATA_CHANNEL_ACK is under way (RFC 8832, section 6), which send() would refuse.
        self._channel.transport._data_channel_send(self._channel, data)  # noqa: SLF001
        self._unsent += len(data)
        self._expect_sent()

    def close(self, delay: float = 0.0) -> None:
        if self._is_closed:
            return
        if delay > 0:
            self._close_at(asyncio.get_running_loop().time() + delay)
        else:
            self._channel.close()

    def _close_at(self, due: float) -> None:
        """The earliest time that was asked for counts."""
        if self._timer is not None:
            if due >= self._timer.when():
                return
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(due, self._channel.close)

    def closed(self) -> None:
        """The channel is closed in both directions, or its association is gone."""
        if self._is_closed:
            return
        self._tell_early()
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._stack.remove_channel(self)
        # aiortc closes all channels with the association; that is told by the peer's own on_closed.
        if self._events is not None and not self._stack.ended.done():
            self._events.on_closed()

    def _message_received(self, message: bytes | str) -> None:
        if self._events is None:
            # The channel was closed instead of bound: nobody will ever read it.
            return
        data = message.encode() if isinstance(message, str) else message
        self._stack.count_unread(len(data))
        if self._early:
            self._early.append(data)
        else:
            self._events.on_message(data)

    def _tell_early(self) -> None:
        early, self._early = self._early, []
        for data in early:
            assert self._events is not None
            self._events.on_message(data)

    def _report_sent(self) -> None:
        # An empty message counts as one byte in aiortc's buffer.
        sent = max(0, self._unsent - self._channel.bufferedAmount)
        self._unsent -= sent
        self._expect_sent()
        if sent and self._events is not None:
            self._events.on_sent(sent)

    def _expect_sent(self) -> None:
        """Have aiortc tell when half of the buffer has left, and then half of the rest, down to nothing."""
        self._channel.bufferedAmountLowThreshold = self._channel.bufferedAmount // 2


class _SctpTransport(RTCSctpTransport):
    """Tells by the event ``early_message`` of messages on streams without a channel, which aiortc drops.

    Both ends open a negotiated channel, and one of them is the first.
    """

    async def _data_channel_receive(self, stream_id: int, pp_id: int, data: bytes) -> None:
        if self.is_second_open(stream_id, pp_id, data):
            _logger.debug("stream %d is open, and the peer opens it again", stream_id)
        elif stream_id in self._data_channels or pp_id == WEBRTC_DCEP:
            await super()._data_channel_receive(stream_id, pp_id, data)
        else:
            # An empty message has one byte in its place (RFC 8831, section 6.6).
            is_empty = pp_id in (WEBRTC_BINARY_EMPTY, WEBRTC_STRING_EMPTY)
            self.emit("early_message", stream_id, b"" if is_empty else data)

    def is_second_open(self, stream_id: int, pp_id: int, data: bytes) -> bool:
        """Whether it opens what is open. libdatachannel does that to a channel that is made while the association comes
        up, and aiortc would end the connection. After a reset it is no second one, but opens the stream's next life."""
        is_open = stream_id in self._data_channels and stream_id not in self._data_channel_inbound_reset
        return is_open and pp_id == WEBRTC_DCEP and data[:1] == bytes([DATA_CHANNEL_OPEN])
