"""An SCTP association for data channels, without I/O (RFC 9260, over DTLS as RFC 8261 has it).

In come packets, messages to send, and the time; out go packets, events, and when to come again. One rule for every
driver: after each call that changes something, send what :meth:`Association.transmit` returns, act on
:attr:`Association.events` and empty it, and call :meth:`Association.handle_timer` when :attr:`Association.timer`
says so. A driver that drains a socket calls ``receive`` for each packet and ``transmit`` once: that makes one
acknowledgement for all of them.

Both ends of a data-channel association send INIT, so the set-up knows no client and no server. The states, and what
leads from one to the next, are in :mod:`.states`.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping
from typing import Final

import google_crc32c

from .cookie import StaleCookie, make_cookie, open_cookie
from .events import BytesSent, Ended, Established, Event, InboundStreamsReset, OutboundStreamsReset
from .liveness import Liveness
from .pacing import Pacer
from .packet import (
    CHUNK_HEADER,
    COMMON_HEADER,
    DATA_HEADER,
    TAG_REFLECTED,
    CauseCode,
    ChunkType,
    Init,
    PacketError,
    PacketWriter,
    encode_cause,
    encode_chunk,
    parse_cause,
    split_packet,
)
from .path_mtu import BLACK_HOLE_TIMEOUTS, PathMtu
from .reassembly import ReassemblyError
from .receiver import Receiver
from .repeater import Repeater
from .sender import MAX_TIMEOUTS, Sender
from .settings import AssociationSettings
from .states import SENDING, SETTING_UP, TRANSITIONS, State
from .stream_reset import StreamResetter

MAX_INIT_TRIES: Final = 8
"""Times that INIT and COOKIE ECHO are sent (RFC 9260, section 16: Max.Init.Retransmits)."""

MAX_SHUTDOWN_TRIES: Final = 2
"""Times that SHUTDOWN and SHUTDOWN ACK are sent: who shuts down is about to go, and DTLS ends the rest."""

BURST: Final = 64
"""Packets per call of ``transmit``: as many as fit into the socket buffer of a peer that left it at its default."""

MAX_CONTROL_CHUNKS: Final = 32
"""Answers that wait to be sent: whoever asks faster gets no answer to the rest."""

_DATA: Final = int(ChunkType.DATA)
_DATA_SIZE: Final = DATA_HEADER.size
_HEADER_SIZE: Final = COMMON_HEADER.size
_EXTENSIONS: Final = frozenset({ChunkType.RE_CONFIG, ChunkType.FORWARD_TSN, ChunkType.PAD})
_COOKIE_ACK: Final = encode_chunk(ChunkType.COOKIE_ACK)
_SKIP_UNKNOWN: Final = 0x80
"""A chunk of unknown type with this bit is skipped; without, the rest of its packet is too (RFC 9260, section 3.2)."""
_REPORT_UNKNOWN: Final = 0x40


class Association:
    """One end of an association.

    :param random: gives random bytes
    """

    def __init__(self, settings: AssociationSettings, *, random: Callable[[int], bytes] = os.urandom) -> None:
        self.events: list[Event] = []
        self.state = State.CLOSED
        self.is_ended = False
        self._settings = settings
        self._random = random
        self._key = random(32)
        # Zero is no tag (RFC 9260, section 5.3.1).
        self._tag = int.from_bytes(random(4)) or 1
        self._tsn = int.from_bytes(random(4))
        start = COMMON_HEADER.pack(settings.peer_port, settings.port, self._tag, 0)
        self._start = start[:8]
        """How a packet for us starts, and the checksum of its header."""
        self._checksum = google_crc32c.value(start)
        self._sender = Sender(self._tsn, settings.congestion(settings.packet_size))
        self._receiver: Receiver | None = None
        self._resetter: StreamResetter | None = None
        self._liveness: Liveness | None = None
        self._peer: Init | None = None
        self._writer = PacketWriter(settings.port, settings.peer_port, 0)
        self._repeater = Repeater()
        self._outbox: list[bytes] = []
        """Packets to be sent as they are."""
        self._control: list[bytes] = []
        """Chunks to be sent with the next packet."""
        self._path_mtu = PathMtu(settings.packet_size, settings.max_packet_size, random)
        self._pacer = Pacer(settings.packet_size)
        self._send_at: float | None = None
        """When more may be sent than the last ``transmit`` gave."""

    # --- what the owner does --------------------------------------------------------------------------------------

    def connect(self, now: float) -> None:
        """Begin the set-up. Both ends do; one is enough."""
        if self.state is State.CLOSED:
            self._move(State.COOKIE_WAIT)
            self._repeat(self._make_init(ChunkType.INIT), MAX_INIT_TRIES, now)

    def send(self, stream_id: int, ppid: int, data: bytes) -> None:
        """Queue a message. It is sent once the association is established.

        After a shutdown has begun, by whichever end, nothing is taken any more: :class:`.Ended` follows.
        """
        assert data, "SCTP has no empty messages (RFC 9260, section 6.9); RFC 8831 puts a byte in their place"
        if self.state is State.ESTABLISHED or self.state in SETTING_UP:
            self._sender.queue.put(stream_id, ppid, data)

    def consume(self, size: int, now: float) -> None:
        """The application has read ``size`` bytes of messages: the peer may send as many more."""
        if self._receiver is not None:
            self._receiver.consume(size, now)

    def reset_stream(self, stream_id: int) -> None:
        """End one of our streams, after what is queued on it (RFC 6525).

        What is sent on it afterwards waits until the peer has confirmed, and belongs to the stream's next life.
        """
        self._sender.queue.end(stream_id)

    def shutdown(self, now: float) -> None:
        """End the association when everything has arrived (RFC 9260, section 9.2)."""
        if self.state is State.ESTABLISHED:
            self._move(State.SHUTDOWN_PENDING)
            self._advance_shutdown(now)
        elif self.state in SETTING_UP:
            self._end("closed before it was established", is_orderly=True)

    def abort(self, reason: str = "") -> None:
        """End the association at once; what is under way may be lost."""
        if not self.is_ended:
            self._abort(CauseCode.USER_INITIATED_ABORT, reason)
            self._end(reason or "aborted by this end", is_orderly=True)

    # --- what is known --------------------------------------------------------------------------------------------

    @property
    def unread(self) -> int:
        """Bytes of messages that the application hasn't read."""
        return self._receiver.unread if self._receiver is not None else 0

    @property
    def queued(self) -> int:
        """Bytes of messages that were never sent."""
        return self._sender.queue.size

    @property
    def smoothed_rtt(self) -> float | None:
        """Seconds."""
        return self._sender.rto.smoothed

    @property
    def timer(self) -> float | None:
        """When :meth:`handle_timer` is to be called; ``None`` if nothing is due."""
        if self.is_ended:
            return None
        times = [self._repeater.timer, self._sender.timer, self._send_at, self._path_mtu.timer]
        if self._receiver is not None:
            times.append(self._receiver.sack_at)
        if self._resetter is not None:
            times.append(self._resetter.timer)
        if self._liveness is not None:
            times.append(self._liveness.timer)
        return min([time for time in times if time is not None], default=None)

    # --- packets in -----------------------------------------------------------------------------------------------

    def receive(self, packet: bytes, now: float) -> None:
        """Take a packet. One that is malformed, or isn't for this association, is ignored."""
        if self.is_ended:
            return
        try:
            if packet.startswith(self._start) and len(packet) % 4 == 0:
                self._receive_own(packet, now)
            else:
                self._receive_foreign(packet, now)
        except PacketError:
            # What came before the malformed part has been acted on, as if the rest had been lost.
            pass
        except ReassemblyError as exc:
            self._fail(CauseCode.PROTOCOL_VIOLATION, f"the peer broke the protocol: {exc}")
        if not self.is_ended:
            self._settle(now)

    def _receive_own(self, packet: bytes, now: float) -> None:
        size = len(packet)
        position = _HEADER_SIZE
        if size < position or google_crc32c.extend(self._checksum, packet[position:]) != int.from_bytes(
            packet[8:12], "little"
        ):
            return
        if self._liveness is not None:
            self._liveness.heard(now)
        receiver = self._receiver
        while position + CHUNK_HEADER.size <= size:
            if packet[position] == _DATA and receiver is not None and size - position > _DATA_SIZE:
                if self.state is State.COOKIE_ECHOED:
                    # A peer that sends data has our cookie; only its COOKIE ACK got lost.
                    self._establish(now)
                _, flags, length, tsn, stream_id, ssn, ppid = DATA_HEADER.unpack_from(packet, position)
                end = position + length
                if length <= _DATA_SIZE or end > size:
                    self._refuse_data(length)
                receiver.receive(tsn, flags, stream_id, ssn, ppid, packet[position + _DATA_SIZE : end])
            else:
                kind, _, length = CHUNK_HEADER.unpack_from(packet, position)
                end = position + length
                if length < CHUNK_HEADER.size or end > size:
                    raise PacketError(f"a chunk of {length} bytes")
                if not self._receive_chunk(kind, memoryview(packet)[position + CHUNK_HEADER.size : end], now):
                    break
                receiver = self._receiver
            if self.is_ended:
                break
            position = end + -length % 4

    def _refuse_data(self, length: int) -> None:
        if length == _DATA_SIZE:
            self._fail(CauseCode.NO_USER_DATA, "the peer sent DATA without data")
        raise PacketError(f"a DATA chunk of {length} bytes")

    def _receive_foreign(self, packet: bytes, now: float) -> None:
        """A packet with another tag than ours: INIT has none, and two kinds may reflect the peer's."""
        ports, tag, view = split_packet(packet)
        if ports != (self._settings.peer_port, self._settings.port):
            return
        kind, flags, length = CHUNK_HEADER.unpack_from(view)
        if not CHUNK_HEADER.size <= length <= len(view):
            raise PacketError(f"a chunk of {length} bytes in {len(view)}")
        value = view[CHUNK_HEADER.size : length]
        if kind == ChunkType.INIT and tag == 0 and len(view) == length + -length % 4:
            self._receive_init(value, now)
        elif (
            kind in (ChunkType.ABORT, ChunkType.SHUTDOWN_COMPLETE)
            and flags & TAG_REFLECTED
            and self._peer is not None
            and tag == self._peer.tag
        ):
            self._receive_chunk(kind, value, now)

    def _receive_chunk(self, kind: int, value: memoryview, now: float) -> bool:
        """Act on a chunk; returns whether the next one in the packet is to be looked at."""
        handler = _HANDLERS.get(kind)
        if handler is not None:
            handler(self, value, now)
            return True
        if kind & _REPORT_UNKNOWN and self._peer is not None:
            unknown = encode_chunk(kind, bytes(value[:64]))
            self._answer(encode_cause(ChunkType.ERROR, CauseCode.UNRECOGNIZED_CHUNK, unknown))
        return bool(kind & _SKIP_UNKNOWN)

    def _settle(self, now: float) -> None:
        """A packet was read: decide on its acknowledgement, and tell what it brought."""
        receiver = self._receiver
        if receiver is None:
            return
        if receiver.end_packet(now) and self.state is State.SHUTDOWN_SENT:
            # The peer has more to say first (section 9.2).
            self._repeater.restart(now)
        if receiver.invalid_stream is not None:
            information = struct.pack("!HH", receiver.invalid_stream, 0)
            self._answer(encode_cause(ChunkType.ERROR, CauseCode.INVALID_STREAM, information))
            receiver.invalid_stream = None
        self._collect()

    def _collect(self) -> None:
        """Turn what the parts have to tell into events: messages first, as they precede the end of their stream."""
        receiver, resetter = self._receiver, self._resetter
        if receiver is None or resetter is None:
            return
        if receiver.messages:
            self.events += receiver.messages
            receiver.messages.clear()
        resetter.check_deferred()
        if resetter.inbound_reset:
            for stream_id in resetter.inbound_reset:
                receiver.reset_stream(stream_id)
            self.events.append(InboundStreamsReset(tuple(resetter.inbound_reset)))
            resetter.inbound_reset.clear()
        if resetter.outbound_reset:
            for stream_id in resetter.outbound_reset:
                self._sender.queue.restart(stream_id)
            self.events.append(OutboundStreamsReset(tuple(resetter.outbound_reset)))
            resetter.outbound_reset.clear()

    # --- set-up ---------------------------------------------------------------------------------------------------

    def _make_init(self, kind: ChunkType, cookie: bytes = b"", unrecognized: tuple[bytes, ...] = ()) -> bytes:
        settings = self._settings
        init = Init(
            self._tag,
            settings.window,
            settings.streams,
            settings.streams,
            self._tsn,
            cookie,
            _EXTENSIONS,
            unrecognized,
        )
        return init.encode(kind)

    def _receive_init(self, value: memoryview, now: float) -> None:
        init = Init.parse(value)
        if self._peer is not None and init.tag != self._peer.tag and self.state is not State.COOKIE_ECHOED:
            # An association over DTLS doesn't restart: the new one would have a DTLS association of its own.
            return
        cookie = make_cookie(self._key, init, now)
        self._answer_with_tag(init.tag, self._make_init(ChunkType.INIT_ACK, cookie, init.unrecognized))

    def _answer_with_tag(self, tag: int, chunk: bytes) -> None:
        """Answer a peer that isn't ours yet."""
        if len(self._outbox) < MAX_CONTROL_CHUNKS:
            writer = PacketWriter(self._settings.port, self._settings.peer_port, tag)
            self._outbox.append(writer.build([chunk]))

    def _receive_init_ack(self, value: memoryview, now: float) -> None:
        if self.state is not State.COOKIE_WAIT:
            return
        init = Init.parse(value)
        if not init.cookie:
            raise PacketError("an INIT ACK without a cookie")
        self._adopt(init)
        self._move(State.COOKIE_ECHOED)
        self._repeat(encode_chunk(ChunkType.COOKIE_ECHO, init.cookie), MAX_INIT_TRIES, now)

    def _receive_cookie_echo(self, value: memoryview, now: float) -> None:
        try:
            init = open_cookie(self._key, bytes(value), now)
        except StaleCookie as stale:
            chunk = encode_cause(ChunkType.ERROR, CauseCode.STALE_COOKIE, bytes(4))
            self._answer_with_tag(stale.tag, chunk)
            return
        if init is None:
            return
        if self.state in SETTING_UP:
            if self._peer is None or self._peer.tag != init.tag:
                self._adopt(init)
            self._establish(now)
        elif self._peer is None or init.tag != self._peer.tag:
            return
        if _COOKIE_ACK not in self._control:
            # First of all, so that the peer takes the data behind it.
            self._control.insert(0, _COOKIE_ACK)

    def _receive_cookie_ack(self, value: memoryview, now: float) -> None:  # noqa: ARG002
        if self.state is State.COOKIE_ECHOED:
            self._establish(now)

    def _receive_error(self, value: memoryview, now: float) -> None:  # noqa: ARG002
        if self.state is State.COOKIE_ECHOED and parse_cause(value)[0] == CauseCode.STALE_COOKIE:
            self._end("the peer's cookie reached it too late", is_orderly=False)

    def _adopt(self, peer: Init) -> None:
        """Take the peer's side from its INIT or INIT ACK."""
        settings = self._settings
        self._peer = peer
        self._writer = PacketWriter(settings.port, settings.peer_port, peer.tag)
        self._receiver = Receiver(
            peer.initial_tsn, settings.window, settings.max_message_size, settings.streams
        )
        self._resetter = StreamResetter(
            self._tsn, peer.initial_tsn, self._sender.rto, self._receiver.has_all_until
        )
        self._sender.peer_window = peer.window

    def _establish(self, now: float) -> None:
        assert self._peer is not None
        self._move(State.ESTABLISHED)
        self._repeater.stop()
        self._liveness = Liveness(self._random, now)
        self.events.append(Established(min(self._peer.inbound_streams, self._settings.streams)))

    # --- data and its control -------------------------------------------------------------------------------------

    def _receive_sack(self, value: memoryview, now: float) -> None:
        if self._peer is not None and self._sender.receive_sack(value, now):
            self._advance_shutdown(now)

    def _receive_heartbeat(self, value: memoryview, now: float) -> None:  # noqa: ARG002
        if self._peer is not None:
            self._answer(encode_chunk(ChunkType.HEARTBEAT_ACK, bytes(value)))

    def _receive_heartbeat_ack(self, value: memoryview, now: float) -> None:
        if self._liveness is None:
            return
        rtt = self._liveness.answered(bytes(value), now)
        if rtt is not None:
            self._sender.rto.measure(rtt)
        elif self._path_mtu.answered(bytes(value), now):
            self._sender.congestion.packet_size = self._path_mtu.size

    def _receive_reconfig(self, value: memoryview, now: float) -> None:
        if self._resetter is not None and self.state not in SETTING_UP:
            for answer in self._resetter.receive(value, now):
                self._answer(answer)

    def _receive_forward_tsn(self, value: memoryview, now: float) -> None:
        if self._receiver is None:
            return
        if len(value) < 4 or len(value) % 4:  # noqa: PLR2004 - the size of its fields
            raise PacketError(f"a FORWARD TSN of {len(value)} bytes")
        (tsn,) = struct.unpack_from("!I", value)
        self._receiver.forward(tsn, dict(struct.iter_unpack("!HH", value[4:])), now)

    def _answer(self, chunk: bytes) -> None:
        if (
            len(self._control) < MAX_CONTROL_CHUNKS
            and len(chunk) <= self._settings.packet_size - _HEADER_SIZE
        ):
            self._control.append(chunk)

    # --- the end --------------------------------------------------------------------------------------------------

    def _receive_abort(self, value: memoryview, now: float) -> None:  # noqa: ARG002
        code, information = parse_cause(value)
        reason = "the peer aborted the association"
        if code == CauseCode.USER_INITIATED_ABORT and information:
            reason += f": {information[:128].decode(errors='replace')}"
        elif code not in (0, CauseCode.USER_INITIATED_ABORT):
            reason += f" (cause {code})"
        self._end(reason, is_orderly=code in (0, CauseCode.USER_INITIATED_ABORT))

    def _receive_shutdown(self, value: memoryview, now: float) -> None:
        if self.state in SETTING_UP or len(value) < 4:  # noqa: PLR2004 - the cumulative TSN
            return
        if self.state in (State.ESTABLISHED, State.SHUTDOWN_PENDING):
            self._move(State.SHUTDOWN_RECEIVED)
            self._repeater.stop()
        elif self.state is State.SHUTDOWN_SENT:
            self._move(State.SHUTDOWN_ACK_SENT)
            self._repeat(encode_chunk(ChunkType.SHUTDOWN_ACK), MAX_SHUTDOWN_TRIES, now)
        (tsn,) = struct.unpack_from("!I", value)
        self._sender.acknowledge_until(tsn, now)
        self._advance_shutdown(now)

    def _receive_shutdown_ack(self, value: memoryview, now: float) -> None:  # noqa: ARG002
        if self.state in (State.SHUTDOWN_SENT, State.SHUTDOWN_ACK_SENT):
            self._outbox.append(self._writer.build([encode_chunk(ChunkType.SHUTDOWN_COMPLETE)]))
            self._end("the association was shut down", is_orderly=True)

    def _receive_shutdown_complete(self, value: memoryview, now: float) -> None:  # noqa: ARG002
        if self.state is State.SHUTDOWN_ACK_SENT:
            self._end("the association was shut down", is_orderly=True)

    def _advance_shutdown(self, now: float) -> None:
        """Go on with a shutdown that waited for what is under way."""
        if not self._sender.is_idle:
            return
        if self.state is State.SHUTDOWN_PENDING:
            assert self._receiver is not None
            self._move(State.SHUTDOWN_SENT)
            tsn = struct.pack("!I", self._receiver.cumulative_tsn)
            self._repeat(encode_chunk(ChunkType.SHUTDOWN, tsn), MAX_SHUTDOWN_TRIES, now)
        elif self.state is State.SHUTDOWN_RECEIVED:
            self._move(State.SHUTDOWN_ACK_SENT)
            self._repeat(encode_chunk(ChunkType.SHUTDOWN_ACK), MAX_SHUTDOWN_TRIES, now)

    def _abort(self, cause: CauseCode, reason: str) -> None:
        if self._peer is not None:
            information = reason[:128].encode(errors="replace")
            self._outbox.append(self._writer.build([encode_cause(ChunkType.ABORT, cause, information)]))

    def _fail(self, cause: CauseCode, reason: str) -> None:
        """End because of what the peer did, or didn't do."""
        self._abort(cause, reason)
        self._end(reason, is_orderly=False)

    def _end(self, reason: str, *, is_orderly: bool) -> None:
        self._collect()
        self._move(State.ENDED)
        self.is_ended = True
        self._repeater.stop()
        self.events.append(Ended(reason, is_orderly))

    def _move(self, state: State) -> None:
        assert state in TRANSITIONS[self.state], f"{self.state} to {state}"
        self.state = state

    # --- time -----------------------------------------------------------------------------------------------------

    def _repeat(self, chunk: bytes, limit: int, now: float) -> None:
        self._outbox.append(self._writer.build([self._repeater.start(chunk, limit, now)]))

    def handle_timer(self, now: float) -> None:
        """Do what is due."""
        if self.is_ended:
            return
        repeated = self._repeater.handle_timer(now)
        if repeated is not None:
            self._outbox.append(self._writer.build([repeated]))
        if self._sender.timer is not None and now >= self._sender.timer:
            self._sender.handle_timer(now)
        if self._resetter is not None:
            self._resetter.handle_timer(now)
        if self._liveness is not None:
            self._control += self._liveness.handle_timer(now)
            self._probe_path(now)
        self._give_up()

    def _probe_path(self, now: float) -> None:
        path = self._path_mtu
        if self._sender.timeouts >= BLACK_HOLE_TIMEOUTS and path.suspect(now):
            self._sender.congestion.packet_size = path.size
        probe = path.handle_timer(now)
        if probe:
            self._outbox.append(self._writer.build(probe))

    def _give_up(self) -> None:
        """End if something was tried for long enough."""
        resetter, liveness = self._resetter, self._liveness
        if self._repeater.is_exhausted and self.state is State.SHUTDOWN_ACK_SENT:
            # Both ends have everything; only the last word is missing.
            self._end("the association was shut down", is_orderly=True)
        elif self._repeater.is_exhausted:
            self._fail(CauseCode.USER_INITIATED_ABORT, f"the peer does not answer ({self.state.name})")
        elif self._sender.timeouts > MAX_TIMEOUTS:
            self._fail(CauseCode.USER_INITIATED_ABORT, "the peer does not acknowledge any more")
        elif liveness is not None and liveness.is_lost:
            self._fail(CauseCode.USER_INITIATED_ABORT, "the peer does not answer heartbeats")
        elif resetter is not None and resetter.failure is not None:
            self._fail(CauseCode.USER_INITIATED_ABORT, resetter.failure)

    # --- packets out ----------------------------------------------------------------------------------------------

    def transmit(self, now: float) -> list[bytes]:
        """The packets to be sent now."""
        packets, self._outbox = self._outbox, []
        receiver, sender = self._receiver, self._sender
        if receiver is None or self.is_ended:
            return packets
        is_sending = self.state in SENDING
        chunks, self._control = self._control, []
        if is_sending:
            chunks += self._reset_streams(now)
        room = self._path_mtu.size - _HEADER_SIZE
        if chunks or receiver.sack_at is not None:
            packets += self._transmit_control(chunks, room, now, is_sending=is_sending)
        self._send_at = None
        if is_sending:
            self._transmit_data(packets, room, now)
        if sender.queue.taken:
            taken, sender.queue.taken = sender.queue.taken, {}
            self.events += [BytesSent(stream_id, count) for stream_id, count in taken.items()]
        return packets

    def _reset_streams(self, now: float) -> list[bytes]:
        assert self._resetter is not None
        queue = self._sender.queue
        if queue.ended:
            self._resetter.request(queue.ended)
            queue.ended = []
        return self._resetter.output(self._sender.last_tsn, now)

    def _transmit_data(self, packets: list[bytes], room: int, now: float) -> None:
        """Fill packets with data, as many as windows, pace and :data:`BURST` allow."""
        sender, pacer, build = self._sender, self._pacer, self._writer.build
        rate = sender.congestion.pacing_rate(sender.rto.smoothed)
        pacer.refill(rate, now)
        while pacer.tokens > 0 and len(packets) < BURST:
            data = sender.fill(room, now, is_alone=True)
            if not data:
                return
            packet = build(data)
            pacer.tokens -= len(packet)
            packets.append(packet)
        if sender.has_more:
            self._path_mtu.begin(now)
            self._send_at = now + pacer.delay(rate)

    def _transmit_control(
        self, chunks: list[bytes], room: int, now: float, *, is_sending: bool
    ) -> list[bytes]:
        """Packets of control chunks and the acknowledgement, the last one filled up with data."""
        receiver = self._receiver
        assert receiver is not None
        packets: list[bytes] = []
        batch: list[bytes] = []
        space = room
        for chunk in chunks:
            if batch and len(chunk) > space:
                packets.append(self._writer.build(batch))
                batch, space = [], room
            batch.append(chunk)
            space -= len(chunk)
        sack_size = receiver.sack_size if receiver.sack_at is not None else 0
        if batch and sack_size > space:
            packets.append(self._writer.build(batch))
            batch, space = [], room
        data = self._sender.fill(space - sack_size, now, is_alone=False) if is_sending else []
        if receiver.sack_at is not None and (chunks or data or now >= receiver.sack_at):
            batch.append(receiver.sack())
        if batch or data:
            packets.append(self._writer.build(batch + data))
        return packets


_HANDLERS: Final[Mapping[int, Callable[[Association, memoryview, float], None]]] = {
    ChunkType.INIT_ACK: Association._receive_init_ack,  # noqa: SLF001 - the table of this class
    ChunkType.SACK: Association._receive_sack,  # noqa: SLF001
    ChunkType.HEARTBEAT: Association._receive_heartbeat,  # noqa: SLF001
    ChunkType.HEARTBEAT_ACK: Association._receive_heartbeat_ack,  # noqa: SLF001
    ChunkType.ABORT: Association._receive_abort,  # noqa: SLF001
    ChunkType.SHUTDOWN: Association._receive_shutdown,  # noqa: SLF001
    ChunkType.SHUTDOWN_ACK: Association._receive_shutdown_ack,  # noqa: SLF001
    ChunkType.ERROR: Association._receive_error,  # noqa: SLF001
    ChunkType.COOKIE_ECHO: Association._receive_cookie_echo,  # noqa: SLF001
    ChunkType.COOKIE_ACK: Association._receive_cookie_ack,  # noqa: SLF001
    ChunkType.SHUTDOWN_COMPLETE: Association._receive_shutdown_complete,  # noqa: SLF001
    ChunkType.RE_CONFIG: Association._receive_reconfig,  # noqa: SLF001
    ChunkType.FORWARD_TSN: Association._receive_forward_tsn,  # noqa: SLF001
    ChunkType.PAD: lambda association, value, now: None,  # noqa: ARG005
}
