"""What leaves: control chunks, the acknowledgement and data, bundled into packets as path and pace allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .pacing import Pacer
from .packet import COMMON_HEADER, CauseCode, ChunkType, PacketWriter, encode_cause, encode_chunk
from .path_mtu import BLACK_HOLE_LOSSES, PathMtu
from .receiver import Receiver
from .sender import Sender
from .settings import AssociationSettings

BURST: Final = 64
"""Packets per call of ``transmit``: as many as fit into the socket buffer of a peer that left it at its default."""

MAX_CONTROL_CHUNKS: Final = 32
"""Answers that wait to be sent: whoever asks faster gets no answer to the rest."""

MAX_REASON: Final = 128
"""Bytes of the text of an ABORT: they fit into the smallest packet, and into a line of a log."""

_HEADER: Final = COMMON_HEADER.size
_COOKIE_ACK: Final = encode_chunk(ChunkType.COOKIE_ACK)


class Transmitter:
    """Collects what is to be sent, and makes packets of it.

    :param sender: has the data
    :param random: gives random bytes
    """

    def __init__(self, settings: AssociationSettings, sender: Sender, random: Callable[[int], bytes]) -> None:
        self.send_at: float | None = None
        """When more may be sent than the last :meth:`transmit` gave."""
        self.path_mtu = PathMtu(settings.packet_size, settings.max_packet_size, random)
        self.oversized: list[bytes] = []
        """Packets of the last :meth:`transmit` with a chunk that was cut for a wider path: IP has to fragment them. The
        owner takes them away."""
        self._settings = settings
        self._sender = sender
        self._pacer = Pacer(settings.packet_size)
        self._peer_tag = 0
        """Once it is known; no peer has 0."""
        self._writer = self._make_writer(0)
        self._packets: list[bytes] = []
        """To be sent as they are."""
        self._chunks: list[bytes] = []
        """To be sent with the next packet."""

    def address(self, tag: int) -> None:
        """From now on packets carry the peer's tag."""
        self._peer_tag = tag
        self._writer = self._make_writer(tag)

    def _make_writer(self, tag: int) -> PacketWriter:
        return PacketWriter(self._settings.port, self._settings.peer_port, tag)

    # --- what is to be sent ---------------------------------------------------------------------------------------

    def send(self, *chunks: bytes) -> None:
        """Send chunks in a packet of their own. Before the peer's tag is known that is INIT, which has none."""
        self._packets.append(self._writer.build(chunks))

    def bundle(self, chunks: list[bytes]) -> None:
        """Send chunks with the next packets."""
        self._chunks += chunks

    def answer(self, chunk: bytes) -> None:
        """Send a chunk that the peer has asked for with the next packet, if it hasn't asked for too many."""
        if (
            self._peer_tag
            and len(self._chunks) < MAX_CONTROL_CHUNKS
            and len(chunk) <= self._settings.packet_size - _HEADER
        ):
            self._chunks.append(chunk)

    def answer_with_tag(self, tag: int, chunk: bytes) -> None:
        """Answer a peer that isn't ours yet."""
        if len(self._packets) < MAX_CONTROL_CHUNKS:
            self._packets.append(self._make_writer(tag).build([chunk]))

    def acknowledge_cookie(self) -> None:
        """Send COOKIE ACK, first of all, so that the peer takes the data behind it."""
        if _COOKIE_ACK not in self._chunks:
            self._chunks.insert(0, _COOKIE_ACK)

    def send_latest(self, chunk: bytes) -> None:
        """Send a chunk with the next packet, instead of those of its type that wait."""
        self._chunks = [waiting for waiting in self._chunks if waiting[0] != chunk[0]]
        self._chunks.append(chunk)

    def abort(self, cause: CauseCode, reason: str) -> None:
        """Send ABORT, if there is anybody to hear it."""
        if self._peer_tag:
            information = reason.encode(errors="replace")[:MAX_REASON]
            self.send(encode_cause(ChunkType.ABORT, cause, information))

    # --- the path -------------------------------------------------------------------------------------------------

    def probe_path(self, now: float) -> None:
        """Send a probe of the path's MTU if one is due."""
        sender = self._sender
        probe = self.path_mtu.handle_timer(now, sender.rto.timeout, is_stalled=sender.timeouts > 0)
        if probe:
            self.send(*probe)

    def refused(self, size: int, now: float) -> None:
        """The interface takes no packets of ``size`` bytes, the largest of those that were sent last."""
        if size > self.path_mtu.size:
            self.path_mtu.refused(now)
        else:
            self._narrow(now)

    def _narrow(self, now: float) -> None:
        """Packets as large as now don't get through."""
        self._sender.large_losses = 0
        if self.path_mtu.narrowed(now):
            self._sender.congestion.packet_size = self.path_mtu.size

    def probe_answered(self, information: bytes, now: float) -> None:
        """A HEARTBEAT ACK came that may be a probe's."""
        if self.path_mtu.answered(information, now):
            self._sender.congestion.packet_size = self.path_mtu.size

    # --- packets --------------------------------------------------------------------------------------------------

    @property
    def has_control(self) -> bool:
        """Whether there is anything but data and acknowledgements to be sent."""
        return bool(self._chunks or self._packets)

    def take_packets(self) -> list[bytes]:
        """What is to be sent as it is."""
        packets, self._packets = self._packets, []
        return packets

    def transmit(self, receiver: Receiver, now: float, *, is_sending: bool) -> list[bytes]:
        """The packets to be sent now.

        :param is_sending: whether data may be sent
        """
        packets, self._packets = self._packets, []
        if self._sender.large_losses >= BLACK_HOLE_LOSSES:
            self._narrow(now)
        room = self.path_mtu.size - _HEADER
        if self._chunks or receiver.timer is not None:
            self._transmit_control(packets, receiver, room, now, is_sending=is_sending)
        self.send_at = None
        if is_sending and self._sender.has_more:
            self._transmit_data(packets, room, now)
        return packets

    def _transmit_control(
        self, packets: list[bytes], receiver: Receiver, room: int, now: float, *, is_sending: bool
    ) -> None:
        """Make packets of control chunks and the acknowledgement, the last one filled up with data."""
        build = self._writer.build
        chunks, self._chunks = self._chunks, []
        batch: list[bytes] = []
        space = room
        for chunk in chunks:
            if batch and len(chunk) > space:
                packets.append(build(batch))
                batch, space = [], room
            batch.append(chunk)
            space -= len(chunk)
        sack_size = receiver.sack_size if receiver.timer is not None else 0
        if batch and sack_size > space:
            packets.append(build(batch))
            batch, space = [], room
        data = self._sender.fill(space - sack_size, now, is_alone=False) if is_sending else b""
        if receiver.timer is not None and (chunks or data or now >= receiver.timer):
            batch.append(receiver.sack())
        if data:
            batch.append(data)
        if batch:
            packets.append(build(batch))

    def _transmit_data(self, packets: list[bytes], room: int, now: float) -> None:
        """Fill packets with data, as many as windows, pace and :data:`BURST` allow."""
        sender, pacer, build = self._sender, self._pacer, self._writer.build
        rate = sender.congestion.pacing_rate(sender.rto.smoothed)
        pacer.refill(rate, now)
        while pacer.tokens > 0 and len(packets) + len(self.oversized) < BURST:
            data = sender.fill(room, now, is_alone=True)
            if not data:
                return
            packet = build((data,))
            pacer.tokens -= len(packet)
            (packets if len(data) <= room else self.oversized).append(packet)
        if sender.has_more:
            self.path_mtu.begin(now)
            self.send_at = now + pacer.delay(rate)
