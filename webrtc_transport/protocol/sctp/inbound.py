"""What comes in: packets are checked and taken apart, and each chunk goes to the part that it is for."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Final

from .events import Established
from .handshake import Handshake
from .lifecycle import Lifecycle
from .liveness import Liveness
from .packet import (
    CHUNK_HEADER,
    COMMON_HEADER,
    DATA_HEADER,
    TAG_REFLECTED,
    CauseCode,
    ChunkType,
    DataFlag,
    Init,
    PacketError,
    PacketReader,
    encode_cause,
    encode_chunk,
    parse_cause,
    split_packet,
)
from .reassembly import ReassemblyError
from .receiver import Receiver
from .sender import Sender
from .settings import AssociationSettings
from .shutdown import Shutdown
from .states import State
from .stream_reset import StreamResetter
from .transmitter import MAX_REASON, Transmitter

_DATA: Final = int(ChunkType.DATA)
_DATA_SIZE: Final = DATA_HEADER.size
_WHOLE: Final = DataFlag.BEGIN | DataFlag.END
_HEADER_SIZE: Final = COMMON_HEADER.size
_CHUNK_HEADER_SIZE: Final = CHUNK_HEADER.size
_PLAIN_CLOSES: Final = frozenset({b"", b"Close called"})
"""What comes with a user's ABORT when an application simply closes: usrsctp and Pion give no reason, dcSCTP its own. An
end that says anything else has failed."""
_SKIP_UNKNOWN: Final = 0x80
"""A chunk of unknown type with this bit is skipped; without, the rest of its packet is too (RFC 9260, section 3.2)."""
_REPORT_UNKNOWN: Final = 0x40


class Inbound:
    """Acts on packets, and has the parts that know of the peer.

    :param random: gives random bytes
    """

    def __init__(
        self,
        settings: AssociationSettings,
        random: Callable[[int], bytes],
        lifecycle: Lifecycle,
        sender: Sender,
        transmitter: Transmitter,
    ) -> None:
        self._settings = settings
        self._random = random
        self._lifecycle = lifecycle
        self._sender = sender
        self._transmitter = transmitter
        self.handshake = Handshake(settings, sender.initial_tsn, random, lifecycle, transmitter)
        self._reader = PacketReader(settings.port, settings.peer_port, self.handshake.tag)
        self._peer: Init | None = None
        # Once the peer is known:
        self.receiver: Receiver | None = None
        self.resetter: StreamResetter | None = None
        # Once the association is established:
        self.established: Established | None = None
        """The event. The owner takes it away."""
        self.liveness: Liveness | None = None
        self.shutdown: Shutdown | None = None

    # --- packets --------------------------------------------------------------------------------------------------

    def receive(self, packet: bytes, now: float) -> None:
        """Take a packet. One that is malformed, or isn't for this association, is ignored."""
        reader = self._reader
        try:
            if not packet.startswith(reader.start):
                self._receive_foreign(packet, now)
            elif reader.is_intact(packet):
                self._receive_own(packet, now)
        except PacketError:
            # What came before the malformed part has been acted on, as if the rest had been lost.
            pass
        except ReassemblyError as exc:
            self._lifecycle.fail(CauseCode.PROTOCOL_VIOLATION, f"the peer broke the protocol: {exc}")
        receiver = self.receiver
        if receiver is not None and receiver.has_data:
            receiver.end_packet(now)
            if self.shutdown is not None and self._lifecycle.state is State.SHUTDOWN_SENT:
                self.shutdown.answer_data(now)
            if receiver.invalid_stream is not None:
                self._refuse_stream(receiver)

    def _receive_own(self, packet: bytes, now: float) -> None:
        size = len(packet)
        position = _HEADER_SIZE
        if size == position:
            return
        receiver, liveness = self.receiver, self.liveness
        if liveness is not None:
            liveness.heard(now)
        may_be_plain = receiver is not None and liveness is not None
        while size - position >= _CHUNK_HEADER_SIZE:
            kind = packet[position]
            if kind == _DATA and receiver is not None and size - position > _DATA_SIZE:
                if may_be_plain:
                    # Most often all data is behind the acknowledgement, and nothing is missing.
                    may_be_plain = False
                    if packet[position + 1] == _WHOLE:
                        position = receiver.receive_messages(packet, position)
                        continue
                if self.liveness is None:
                    # A peer that sends data has our cookie; only its COOKIE ACK got lost.
                    self._receive_cookie_ack(memoryview(b""), now)
                _, flags, length, tsn, stream_id, ssn, ppid = DATA_HEADER.unpack_from(packet, position)
                end = position + length
                if length <= _DATA_SIZE or end > size:
                    self._refuse_data(length)
                receiver.receive(tsn, flags, stream_id, ssn, ppid, packet[position + _DATA_SIZE : end])
            else:
                _, _, length = CHUNK_HEADER.unpack_from(packet, position)
                end = position + length
                if length < _CHUNK_HEADER_SIZE or end > size:
                    raise PacketError(f"a chunk of {length} bytes")
                value = memoryview(packet)[position + _CHUNK_HEADER_SIZE : end]
                if not self._receive_chunk(kind, value, now):
                    break
                receiver = self.receiver
                if self._lifecycle.ended is not None:
                    break
            position = end + -length % 4

    def _refuse_data(self, length: int) -> None:
        if length == _DATA_SIZE:
            self._lifecycle.fail(CauseCode.NO_USER_DATA, "the peer sent DATA without data")
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
            self.handshake.receive_init(value, now)
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
        if kind & _REPORT_UNKNOWN:
            unknown = encode_chunk(kind, bytes(value[:64]))
            self._transmitter.answer(encode_cause(ChunkType.ERROR, CauseCode.UNRECOGNIZED_CHUNK, unknown))
        return bool(kind & _SKIP_UNKNOWN)

    def _refuse_stream(self, receiver: Receiver) -> None:
        information = struct.pack("!HH", receiver.invalid_stream, 0)
        self._transmitter.answer(encode_cause(ChunkType.ERROR, CauseCode.INVALID_STREAM, information))
        receiver.invalid_stream = None

    # --- chunks of the set-up -------------------------------------------------------------------------------------

    def _receive_init_ack(self, value: memoryview, now: float) -> None:
        self.handshake.receive_init_ack(value, now)
        self._follow_handshake(now)

    def _receive_cookie_echo(self, value: memoryview, now: float) -> None:
        self.handshake.receive_cookie_echo(value, now)
        self._follow_handshake(now)

    def _receive_cookie_ack(self, value: memoryview, now: float) -> None:  # noqa: ARG002
        self.handshake.receive_cookie_ack()
        self._follow_handshake(now)

    def _receive_error(self, value: memoryview, now: float) -> None:  # noqa: ARG002
        self.handshake.receive_error(value)

    def _follow_handshake(self, now: float) -> None:
        """Make what an association needs of a peer that is known now, and of one that is there."""
        peer = self.handshake.peer
        if peer is None:
            return
        settings = self._settings
        if peer is not self._peer:
            self._peer = peer
            self.receiver = Receiver(
                peer.initial_tsn, settings.window, settings.max_message_size, settings.streams
            )
            self.resetter = StreamResetter(
                self._sender.initial_tsn,
                peer.initial_tsn,
                self._sender.rto,
                self.receiver.has_all_until,
                self._sender.is_acknowledged_until,
                is_supported=ChunkType.RE_CONFIG in peer.extensions,
            )
            self._sender.peer_window = peer.window
        if self.liveness is None and self._lifecycle.state is State.ESTABLISHED:
            assert self.receiver is not None
            self.liveness = Liveness(self._random, now, settings.liveness_timeout)
            self.shutdown = Shutdown(self._lifecycle, self._transmitter, self._sender, self.receiver)
            self.established = Established(min(peer.inbound_streams, settings.streams))

    # --- other chunks ---------------------------------------------------------------------------------------------

    def _receive_sack(self, value: memoryview, now: float) -> None:
        if (self._peer is not None and self._sender.receive_sack(value, now)) and (
            self.shutdown is not None and self._lifecycle.state is not State.ESTABLISHED
        ):
            self.shutdown.advance(now)

    def _receive_heartbeat(self, value: memoryview, now: float) -> None:  # noqa: ARG002
        self._transmitter.answer(encode_chunk(ChunkType.HEARTBEAT_ACK, bytes(value)))

    def _receive_heartbeat_ack(self, value: memoryview, now: float) -> None:
        if self.liveness is None:
            return
        rtt = self.liveness.answered(bytes(value), now)
        if rtt is not None:
            self._sender.rto.measure(rtt)
        else:
            self._transmitter.probe_answered(bytes(value), now)

    def _receive_reconfig(self, value: memoryview, now: float) -> None:
        if self.resetter is not None and self.liveness is not None:
            for answer in self.resetter.receive(value, now):
                self._transmitter.answer(answer)

    def _receive_forward_tsn(self, value: memoryview, now: float) -> None:
        if self.receiver is None:
            return
        if len(value) < 4 or len(value) % 4:  # noqa: PLR2004 - the size of its fields
            raise PacketError(f"a FORWARD TSN of {len(value)} bytes")
        (tsn,) = struct.unpack_from("!I", value)
        self.receiver.forward(tsn, dict(struct.iter_unpack("!HH", value[4:])), now)

    def _receive_abort(self, value: memoryview, now: float) -> None:  # noqa: ARG002
        code, information = parse_cause(value)
        is_orderly = code == 0 or (code == CauseCode.USER_INITIATED_ABORT and information in _PLAIN_CLOSES)
        reason = "the peer aborted the association"
        if code not in (0, CauseCode.USER_INITIATED_ABORT):
            reason += f" (cause {code})"
        if code in (CauseCode.USER_INITIATED_ABORT, CauseCode.PROTOCOL_VIOLATION) and information:
            text = information[:MAX_REASON].decode(errors="replace")
            reason += ": " + "".join([letter if letter.isprintable() else "?" for letter in text])
        self._lifecycle.end(reason, is_orderly=is_orderly)

    def _receive_shutdown(self, value: memoryview, now: float) -> None:
        if self.shutdown is not None:
            self.shutdown.receive(value, now)

    def _receive_shutdown_ack(self, value: memoryview, now: float) -> None:  # noqa: ARG002
        if self.shutdown is not None:
            self.shutdown.receive_ack()

    def _receive_shutdown_complete(self, value: memoryview, now: float) -> None:  # noqa: ARG002
        if self.shutdown is not None:
            self.shutdown.receive_complete()


_HANDLERS: Final[Mapping[int, Callable[[Inbound, memoryview, float], None]]] = {
    ChunkType.INIT_ACK: Inbound._receive_init_ack,  # noqa: SLF001 - the table of this class
    ChunkType.SACK: Inbound._receive_sack,  # noqa: SLF001
    ChunkType.HEARTBEAT: Inbound._receive_heartbeat,  # noqa: SLF001
    ChunkType.HEARTBEAT_ACK: Inbound._receive_heartbeat_ack,  # noqa: SLF001
    ChunkType.ABORT: Inbound._receive_abort,  # noqa: SLF001
    ChunkType.SHUTDOWN: Inbound._receive_shutdown,  # noqa: SLF001
    ChunkType.SHUTDOWN_ACK: Inbound._receive_shutdown_ack,  # noqa: SLF001
    ChunkType.ERROR: Inbound._receive_error,  # noqa: SLF001
    ChunkType.COOKIE_ECHO: Inbound._receive_cookie_echo,  # noqa: SLF001
    ChunkType.COOKIE_ACK: Inbound._receive_cookie_ack,  # noqa: SLF001
    ChunkType.SHUTDOWN_COMPLETE: Inbound._receive_shutdown_complete,  # noqa: SLF001
    ChunkType.RE_CONFIG: Inbound._receive_reconfig,  # noqa: SLF001
    ChunkType.FORWARD_TSN: Inbound._receive_forward_tsn,  # noqa: SLF001
    ChunkType.PAD: lambda inbound, value, now: None,  # noqa: ARG005
}
