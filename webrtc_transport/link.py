"""A peer connection, and its streams, as the caller's loop sees them.

Dialers and listeners set a link up; a :class:`~webrtc_transport.connection.Connection` is made of one that is
connected to a proven peer.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable
from itertools import takewhile

import anyio

from .abc import (
    Attributes,
    CandidatePair,
    EngineChannel,
    EnginePeer,
    PeerEvents,
    PeerStatistics,
)
from .channel_port import ChannelPort
from .config import TransportConfig
from .errors import (
    LOOP_ENDED,
    ConnectTimeout,
    EngineError,
    TooManyStreams,
    ended,
    set_up_failed,
)
from .framed_stream import FramedStream
from .portal import Portal
from .protocol.limits import FRAME_OVERHEAD, INBOUND_MARGIN, MAX_FRAME_LENGTH
from .stall_watch import StallWatch
from .stream import Stream
from .stream_owner import StreamOwner
from .wakeup import Wakeup

_logger = logging.getLogger("libp2p.transport.webrtc.connection")

MAX_CLOSING = 1024
"""Own streams that are over, and whose channels aren't closed yet, at which none is opened. To open one costs no round
trip, and to close one takes a few: they would pile up until the peer takes no more. The default of its limit is as high
(``max_inbound_streams``), and it takes :data:`~.protocol.limits.INBOUND_MARGIN` channels for each of these."""

GRANTS_PER_BUFFER = 8
"""Credits for read bytes are returned in parts of this many to a receive buffer: fewer calls across the portal."""


class PeerLink(PeerEvents, StreamOwner):
    """The caller's end of an :class:`~webrtc_transport.abc.EnginePeer`.

    :param remote: what logs call the other end
    :param first_phase: what is under way now
    """

    def __init__(
        self,
        portal: Portal,
        config: TransportConfig,
        remote: object,
        *,
        first_phase: str,
        on_end: Callable[[PeerLink], object],
    ) -> None:
        self.portal = portal
        self.send_window = config.send_buffer
        self.payload_limit = MAX_FRAME_LENGTH - FRAME_OVERHEAD
        self.fin_ack_timeout = config.fin_ack_timeout
        self.close_timeout = config.close_timeout
        self.payload_sent = self.payload_received = 0
        self.streams: dict[FramedStream, ChannelPort] = {}
        self.phase = first_phase
        self.phase_times: dict[str, float] = {first_phase: time.monotonic()}
        self.candidate_pair: CandidatePair | None = None
        self.end_reason: Exception | None = None
        self.changed = Wakeup(portal.make_event)
        """Notified after each change of ``phase`` and ``end_reason``, and with inbound streams."""
        self._closing_channels = 0
        """Of own streams that are over."""
        self._channel_closed = Wakeup(portal.make_event)
        """Notified when there is one less, and at the end."""
        self._stream_came = Wakeup(portal.make_event)
        """Notified with inbound streams, and at the end: who waits for one needn't wake up for others."""
        self._drained = Wakeup(portal.make_event)
        """Notified when no stream waits for the peer any more, and at the end."""
        self.attributes: Attributes = {}
        self._peer: EnginePeer | None = None
        self._on_end = on_end
        self._config = config
        self.remote = remote
        self._inbound: deque[Stream] = deque()
        self._inbound_open = 0
        """Streams of the peer whose channels are open."""
        self._inbound_unfinished = 0
        """Of these, those that aren't over in both directions."""
        self._has_refused = False
        """Whether a stream was refused because of a limit."""
        self._draining: set[FramedStream] = set()
        """Streams whose FIN the peer hasn't acknowledged."""
        self._closing: dict[FramedStream, float] = {}
        """Of these, those for which somebody waits, and until when: all do for equally long, so the first one is due
        first."""
        self._consumed = 0
        self._grant_size = config.receive_buffer // GRANTS_PER_BUFFER
        # After it, the engine can tell no end.
        portal.at_fault.add(self._loop_ended)
        self._stalls = (
            None
            if config.stalled_stream_timeout is None
            # Frames that aren't whole may keep half of the window, and what lies unread the other half.
            else StallWatch(
                config.stalled_stream_timeout,
                spare=config.receive_buffer // (2 * config.max_inbound_streams),
                share=config.receive_buffer // 2,
            )
        )

    @property
    def peer(self) -> EnginePeer:
        assert self._peer is not None
        return self._peer

    # --- setting up -----------------------------------------------------------------------------------------

    async def wait_connected(self) -> None:
        """Wait for the phase ``connected``.

        :raises ConnectError: if the peer connection failed before; the error tells the phase and the cure
        """
        while self.phase != "connected":
            if self.end_reason is not None:
                raise set_up_failed(self.end_reason)
            await self.changed.wait()
        self.candidate_pair = await self.portal.call(lambda: self.peer.candidate_pair)

    def timed_out(self, timeout: float) -> ConnectTimeout:
        """The error for a deadline that passed in the current phase."""
        cure = {
            "signaling": "the peer did not answer the offer; is it listening, and on the same signaling service?",
            "ice": "no candidate pair worked yet; configure a TURN server, or check that UDP is not blocked",
            "dtls": "the peer does not answer the DTLS handshake; does its address still belong to it?",
            "sctp": "the peer does not answer the SCTP handshake",
            "noise": "the peer does not prove who it is; does it speak webrtc-direct?",
        }.get(self.phase, "the peer connection came up too late")
        return ConnectTimeout(f"not connected after {timeout:g} s, in phase {self.phase!r}: {cure}")

    # --- streams --------------------------------------------------------------------------------------------

    async def open_stream(self) -> Stream:
        """Open a stream; it can be sent on at once.

        Waits while too many channels of own streams that are over aren't closed yet, or one of these has the id.

        :raises TooManyStreams: if no stream id is free, or the peer closes no channels
        :raises ConnectionEnded: if the connection is over
        """
        deadline = 0.0
        while True:
            self.check_alive()
            if self._closing_channels < MAX_CLOSING:
                try:
                    return await self._open_stream()
                except TooManyStreams:
                    if not self._closing_channels:
                        raise
            deadline = deadline or anyio.current_time() + self.fin_ack_timeout
            with anyio.CancelScope(deadline=deadline) as scope:
                await self._channel_closed.wait()
            if scope.cancelled_caught:
                raise TooManyStreams(
                    f"the channels of {self._closing_channels} streams that are over were not closed by the peer, "
                    f"and none could be opened for {self.fin_ack_timeout:g} s"
                )

    async def _open_stream(self) -> Stream:
        port = ChannelPort(self.portal)
        stream = Stream(self, port, inbound=False)
        self.streams[stream] = port

        def open_channel() -> None:
            port.attach(self.peer.open_channel(port))

        try:
            await self.portal.call(open_channel)
        except Exception:
            # The connection may have ended meanwhile, and forgotten the stream itself.
            self.streams.pop(stream, None)
            self.check_alive()
            raise
        return stream

    async def accept_stream(self) -> Stream:
        """Wait for a stream of the peer.

        Those that came before the peer ended the connection are still there: it may have had our FIN_ACK on them.

        :raises ConnectionEnded: if the connection is over
        """
        while not self._inbound:
            self.check_alive()
            await self._stream_came.wait()
        return self._inbound.popleft()

    @property
    def has_inbound(self) -> bool:
        """Whether a stream of the peer waits to be accepted."""
        return bool(self._inbound)

    def check_alive(self) -> None:
        """:raises ConnectionEnded: if the connection is over"""
        if self.end_reason is not None:
            raise ended(self.end_reason)

    def reset_stalled_streams(self, now: float) -> None:
        """Look for streams that nobody reads, if that is configured."""
        if self._stalls is not None:
            self._stalls.look(self.streams, now)

    def reset_unacknowledged_streams(self, now: float) -> float:
        """Give up the streams whose FIN_ACK didn't come in time; returns when the next one is due, or ``math.inf``."""
        late = list(takewhile(lambda waiting: waiting[1] <= now, self._closing.items()))
        for stream, _ in late:
            stream.timed_out(f"no FIN_ACK within {self.fin_ack_timeout:g} s; sent bytes may be lost")
        return next(iter(self._closing.values()), math.inf)

    async def statistics(self) -> PeerStatistics:
        return await self.portal.call(self.peer.statistics)

    # --- the end --------------------------------------------------------------------------------------------

    async def wait_ended(self) -> Exception:
        """Wait until the peer connection is over, and return why."""
        while self.end_reason is None:
            await self.changed.wait()
        return self.end_reason

    async def drain(self) -> None:
        """Wait until the peer has acknowledged every stream that was ended here."""
        while self.end_reason is None and self._draining:
            await self._drained.wait()

    async def close(self, reason: Exception) -> None:
        """End the peer connection. Returns when nothing of it is left; not cancellable, but bounded."""
        self._inbound.clear()
        if self._peer is None:
            self._closed(reason)
            return
        with anyio.CancelScope(shield=True):
            try:
                await self.portal.call(self._peer.close, reason)
            except anyio.ClosedResourceError:
                # The engine's loop is gone, and everything in it.
                self._closed(reason)
            await self.wait_ended()

    # --- what the engine tells, on its loop -----------------------------------------------------------------

    def on_phase(self, phase: str) -> None:
        self.portal.deliver(self._phase_changed, phase, time.monotonic())

    def on_channel(self, channel: EngineChannel) -> None:
        port = ChannelPort(self.portal)
        port.attach(channel)
        stream = Stream(self, port, inbound=True)
        self.portal.deliver(self._stream_arrived, stream, port)
        channel.bind(port)

    def on_closed(self, reason: Exception) -> None:
        self.portal.deliver(self._closed, reason)

    # --- the same, in the caller's loop ---------------------------------------------------------------------

    def _phase_changed(self, phase: str, at: float) -> None:
        self.phase = phase
        self.phase_times.setdefault(phase, at)
        self.changed.notify()

    def _stream_arrived(self, stream: Stream, port: ChannelPort) -> None:
        self._inbound_unfinished += 1
        if self.end_reason is not None:
            port.connection_ended(ended(self.end_reason))
            return
        self.streams[stream] = port
        self._inbound_open += 1
        limit = self._config.max_inbound_streams
        if len(self._inbound) >= limit:
            self._refuse(stream, f"{limit} wait to be accepted (max_inbound_streams)")
        elif self._inbound_unfinished > limit or self._inbound_open > INBOUND_MARGIN * limit:
            self._refuse(stream, f"it has {limit} open (max_inbound_streams)")
        else:
            self._inbound.append(stream)
            self._stream_came.notify()

    def _refuse(self, stream: Stream, why: str) -> None:
        # The first is said aloud; a peer that goes on fills no log.
        level = logging.DEBUG if self._has_refused else logging.WARNING
        self._has_refused = True
        _logger.log(level, "a stream of %s is reset: %s", self.remote, why)
        stream.reset()

    def _closed(self, reason: Exception) -> None:
        if self.end_reason is not None:
            return
        self.end_reason = reason
        self.portal.at_fault.discard(self._loop_ended)
        for port in self.streams.values():
            port.connection_ended(ended(reason))
        self.streams.clear()
        self.changed.notify()
        self._stream_came.notify()
        self._channel_closed.notify()
        self._drained.notify()
        self._on_end(self)

    def _loop_ended(self) -> None:
        self._closed(EngineError(LOOP_ENDED))

    # --- StreamOwner ----------------------------------------------------------------------------------------

    def stream_consumed(self, size: int) -> None:
        self._consumed += size
        if self._consumed >= self._grant_size:
            self.portal.post(self.peer.grant, self._consumed)
            self._consumed = 0

    def stream_draining(self, stream: FramedStream) -> None:
        self._draining.add(stream)

    def stream_closing(self, stream: FramedStream) -> None:
        if stream in self._draining:
            self._closing[stream] = time.monotonic() + self.fin_ack_timeout

    def stream_drained(self, stream: FramedStream) -> None:
        self._draining.discard(stream)
        self._closing.pop(stream, None)
        if not self._draining:
            self._drained.notify()

    def stream_finished(self, stream: FramedStream) -> None:
        if stream.is_inbound:
            self._inbound_unfinished -= 1
        else:
            self._closing_channels += 1

    def stream_closed(self, stream: FramedStream) -> None:
        if self.streams.pop(stream, None) is not None:
            if stream.is_inbound:
                self._inbound_open -= 1
            else:
                self._closing_channels -= 1
                self._channel_closed.notify()
            if self._stalls is not None:
                self._stalls.closed(stream)
        self.stream_drained(stream)

    def stream_attributes(self) -> Attributes:
        return self.attributes
