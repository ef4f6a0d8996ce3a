"""The receiving half of an association: which TSNs are here, what to acknowledge, and how much more may come.

The window that is announced is what neither waits for its other fragments nor for the application to read it, less
what the interpreter takes for each of them. So a slow reader stops the sender, however small its messages are, and
nothing is ever dropped for want of room but what the peer sent against the window.
"""

from __future__ import annotations

import struct
from heapq import heappop, heappush
from typing import Final

from .events import MessageReceived
from .packet import DATA_HEADER, SACK_HEADER, TSN_HALF, TSN_MASK, ChunkType, DataFlag
from .ranges import Ranges
from .reassembly import InboundStream

MAX_GAP_BLOCKS: Final = 128
"""Blocks in one SACK: they and the duplicates fit into the smallest packet."""

MAX_DUPLICATES: Final = 64

MAX_RANGES: Final = 4096
"""Ranges of TSNs above a gap that are remembered. A peer that leaves more gaps is not losing packets but playing;
what it sends beyond is dropped, and it may send it again."""

MAX_DISTANCE: Final = 0x7FFF
"""TSNs above the first gap that are taken. Gap blocks count them in 16 bits; and a stream's sequence numbers, of which
there are no more than TSNs, can't be told apart beyond half of their 16."""

MAX_SKIPPED_STREAMS: Final = 4096
"""Streams of which something is known, up to which FORWARD TSN may begin another one: it names a stream with 4 bytes,
and what is kept of one takes fifty times as many. A data channel begins with a message that the peer may not give up
(RFC 8832, section 6), so it doesn't depend on this."""

SACK_DELAY: Final = 0.02
"""Seconds that a lone packet waits for company before it is acknowledged. RFC 9260 (section 6.2) allows 200 ms, and
a sender's round-trip time includes them."""

UPDATES: Final = 8
"""Parts of the window: by one of them it grows, since the peer last heard of it, until the peer is told unasked. RFC
1122 has a receiver tell of two packets or half of its buffer, whichever is less; owners read in eighths. What it grows
by counts, not what it is: others may leave most of it unread for ever."""

OVERRUN: Final = 64 * 1024
"""Bytes that are taken beyond the window at most."""

FREE_OVERRUN: Final = OVERRUN // 4
"""Bytes of it for a peer that may not have heard yet that the window is shut. The others are for the patient."""

PATIENCE: Final = 4
"""Tries at a shut window that are in vain before one is taken. RFC 9260 (section 6.1) has a sender not count them as
errors as long as it hears of us; that of libdatachannel does, and after six it ends the association."""

MESSAGE_COST: Final = 64
"""Bytes that an unread message takes beside its payload: an object's header and its place in a queue."""

FREE_SHARE: Final = 4
"""Up to this part of the window unread messages count their payload alone: owners tell of many messages at once that
they were read, after so many bytes, and these must be able to come."""

COST_LIMIT: Final = 2
"""Windows that unread messages may cost beside their payload. Peers count payload alone against the window that we
announce, so what is under way when it shrinks may be within its rights and cost more than is left."""


# Global names are found faster than attributes, and these are looked up for each packet or chunk.
_HEADER: Final = DATA_HEADER.size
_SACK_HEADER: Final = SACK_HEADER.size
_unpack: Final = struct.Struct("!HHIHHI").unpack_from
"""The header of DATA, with its type and flags as one number."""
_pack_sack: Final = SACK_HEADER.pack
_SACK: Final = int(ChunkType.SACK)
_WHOLE_DATA: Final = ChunkType.DATA << 8 | DataFlag.BEGIN | DataFlag.END
_IMMEDIATE: Final = DataFlag.IMMEDIATE


class Receiver:
    """Takes DATA chunks; gives messages and SACKs.

    :param initial_tsn: the first TSN of the peer
    :param window: bytes that may wait to be read
    :param max_message_size: bytes that a message may have
    :param streams: the peer's stream ids are below this
    """

    def __init__(self, initial_tsn: int, window: int, max_message_size: int, streams: int) -> None:
        self.messages: list[MessageReceived] = []
        """What arrived whole. The owner takes it away."""
        self.unread = 0
        """Bytes delivered in messages and not consumed yet."""
        self._cost = 0
        """What these messages take beside their payload."""
        self.timer: float | None = None
        """When a SACK is due."""
        self.invalid_stream: int | None = None
        """A stream that can't be, and that data came for. The owner tells the peer."""
        self._max_streams = streams
        self._window = window
        self._free_unread = window // FREE_SHARE
        """Unread bytes up to which messages cost nothing."""
        self._max_message_size = max_message_size
        self._cumulative = initial_tsn - 1
        """The last TSN before the first gap, counted without wrapping around."""
        self._ranges = Ranges()
        """The TSNs above the gap."""
        self._duplicates: list[int] = []
        self._streams: dict[int, InboundStream] = {}
        self._held = 0
        self._partial: set[int] = set()
        """Streams that may hold fragments from before the first gap, or did since the last :meth:`forward`."""
        self._early: list[tuple[int, int]] = []
        """A heap of TSNs that came above a gap and were held, each with its stream."""
        self._forwarded = initial_tsn - 1
        """The last TSN that the peer gave up; no fragments from before are held."""
        self._announced = window
        self.has_data = False
        """The packet that is being read has data."""
        self._is_urgent = False
        self._unacknowledged = 0
        """Packets."""
        self._refused = 0
        """Tries of the peer, in a row, for which there was no room."""

    @property
    def cumulative_tsn(self) -> int:
        """Everything up to this TSN has arrived."""
        return self._cumulative & TSN_MASK

    @property
    def window(self) -> int:
        """Bytes that the peer may have sent and not acknowledged."""
        room = self._window - self._held - self.unread
        if self.unread > self._free_unread:
            room -= self._cost
        return max(0, room)

    def receive_messages(self, packet: bytes, position: int) -> int:
        """Take DATA chunks of a packet from ``position`` on, as long as each is the next whole message of its stream.

        That is :meth:`receive` for many small messages on a path that loses nothing. Returns the position behind them.
        """
        size = len(packet)
        if self._ranges.starts or size > self._max_message_size:
            return position
        streams, messages = self._streams, self.messages
        before = cumulative = self._cumulative
        room = window = self.window
        while size - position > _HEADER:
            kind, length, tsn, stream_id, ssn, ppid = _unpack(packet, position)
            end = position + length
            stream = streams.get(stream_id)
            if (
                (kind != _WHOLE_DATA or tsn != (cumulative + 1) & TSN_MASK)
                or (end > size or length + MESSAGE_COST > room or length <= _HEADER)
                or (stream is None and (stream := self._begin_stream(stream_id)) is None)
                or not stream.skip(ssn)
            ):
                break
            messages.append(MessageReceived(stream_id, ppid, packet[position + _HEADER : end]))
            room -= length - _HEADER + MESSAGE_COST
            cumulative += 1
            position = end + -length % 4
        if cumulative != before:
            self.has_data = True
            self._refused = 0
            cost = MESSAGE_COST * (cumulative - before)
            self.unread += window - room - cost
            self._cost += cost
            self._cumulative = cumulative
        return position

    def receive(  # noqa: PLR0917 - the fields of a DATA chunk, on the hot path
        self, tsn: int, flags: int, stream_id: int, ssn: int, ppid: int, payload: bytes
    ) -> None:
        """Take a DATA chunk.

        :raises ReassemblyError: if it contradicts others, or makes a message too large
        """
        self.has_data = True
        distance = (tsn - self._cumulative) & TSN_MASK
        absolute = self._cumulative + distance
        size = len(payload)
        room = self._window + OVERRUN - self._held - self.unread
        if self._refused < PATIENCE:
            room -= OVERRUN - FREE_OVERRUN
        if self._cost > COST_LIMIT * self._window and self.unread > self._free_unread:
            room = min(room, 0)
        if distance == 1 and not self._ranges.starts and size <= room and not flags & _IMMEDIATE:
            # The path on which nothing is lost.
            self._cumulative = absolute
        else:
            # Something is missing, or came twice: the sender is waiting to hear of it (section 6.7).
            self._is_urgent = True
            if distance == 1 and self._ranges.starts:
                # What the others wait for is taken even when they, with their cost, have used up the window: until a
                # message is whole, or so much is read that owners tell of it.
                room += self._max_message_size + self._window // UPDATES
            if size > room:
                self._refused += distance == 1
                return
            if not self._mark(absolute, distance):
                return
        self._refused = 0
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._begin_stream(stream_id)
            if stream is None:
                # Acknowledged and dropped (section 6.5).
                self.invalid_stream = stream_id
                return
        messages = self.messages
        held, count = stream.held, len(messages)
        stream.add(absolute, flags, ssn, ppid, payload, messages)
        if stream.held != held:
            self._held += stream.held - held
            self._note_held(absolute, stream_id)
        if len(messages) > count:
            self._count(messages[count:])

    def _begin_stream(self, stream_id: int) -> InboundStream | None:
        """The first message of a stream came, if there may be such a stream."""
        if stream_id >= self._max_streams:
            return None
        stream = self._streams[stream_id] = InboundStream(stream_id, self._max_message_size)
        return stream

    def _note_held(self, tsn: int, stream_id: int) -> None:
        """A stream holds what came with this TSN."""
        if tsn <= self._cumulative:
            self._partial.add(stream_id)
        else:
            # Those whose gap has been closed meanwhile are early no more.
            self._find_partial(self._cumulative)
            heappush(self._early, (tsn, stream_id))

    def _find_partial(self, until: int) -> None:
        """Have the streams of all TSNs up to ``until`` among :attr:`_partial`."""
        early = self._early
        while early and early[0][0] <= until:
            self._partial.add(heappop(early)[1])

    def _count(self, messages: list[MessageReceived]) -> None:
        """These messages are unread from now on."""
        for message in messages:
            self.unread += len(message.data)
            self._cost += MESSAGE_COST

    def end_packet(self, now: float) -> None:
        """All chunks of a packet with data were given: decide when to acknowledge them (section 6.2)."""
        self.has_data = False
        self._unacknowledged += 1
        if self._is_urgent or self._unacknowledged > 1:
            self.timer = now
        elif self.timer is None:
            self.timer = now + SACK_DELAY

    def consume(self, size: int, now: float) -> None:
        """The application has read ``size`` bytes. That they are of one message in so many is all that is known."""
        self._cost -= self._cost * size // self.unread if self.unread > size else self._cost
        self.unread -= size
        # The peer is told when the window has grown enough to be worth the packet (RFC 1122, section 4.2.3.3), or when
        # it was all but shut and there is no more to be read that would open it further.
        step = self._window // UPDATES
        if self.window - self._announced >= step or (self._announced < step and not self.unread):
            self.timer = now

    def forward(self, tsn: int, skipped: dict[int, int], now: float) -> None:
        """The peer gave up everything up to ``tsn``; ``skipped`` has the last SSN by stream (RFC 3758)."""
        self.timer = now
        distance = (tsn - self._cumulative) & TSN_MASK
        if distance == 0 or distance >= TSN_HALF:
            return
        last = self._cumulative + distance
        self._cumulative = self._ranges.absorb(last)
        for stream_id in skipped:
            if stream_id not in self._streams and len(self._streams) < MAX_SKIPPED_STREAMS:
                self._begin_stream(stream_id)
        count = len(self.messages)
        # Only streams that lose something are visited: a packet may have a hundred of these chunks, and there may be
        # thousands of other streams.
        self._find_partial(last)
        for stream_id in self._partial | skipped.keys():
            stream = self._streams.get(stream_id)
            if stream is not None:
                held = stream.held
                stream.abandon(self._forwarded, last, skipped.get(stream_id), self.messages)
                self._held += stream.held - held
        self._partial.clear()
        self._forwarded = last
        self._count(self.messages[count:])

    def has_all_until(self, tsn: int) -> bool:
        """Whether everything up to ``tsn`` has arrived."""
        return (self._cumulative - tsn) & TSN_MASK < TSN_HALF

    def reset_stream(self, stream_id: int) -> None:
        """The peer begins the stream anew."""
        stream = self._streams.pop(stream_id, None)
        if stream is not None:
            self._held -= stream.held

    @property
    def sack_size(self) -> int:
        """Bytes of the chunk that :meth:`sack` gives."""
        if not self._ranges.starts and not self._duplicates:
            return _SACK_HEADER
        gaps = min(len(self._ranges.starts), MAX_GAP_BLOCKS)
        return _SACK_HEADER + 4 * (gaps + len(self._duplicates))

    def sack(self) -> bytes:
        """A SACK chunk, now."""
        duplicates = self._duplicates
        window = self._announced = self.window
        acked = self._cumulative & TSN_MASK
        self.timer = None
        self._unacknowledged = 0
        self._is_urgent = False
        if not self._ranges.starts and not duplicates:
            return _pack_sack(_SACK, 0, _SACK_HEADER, acked, window, 0, 0)
        gaps = min(len(self._ranges.starts), MAX_GAP_BLOCKS)
        header = _pack_sack(_SACK, 0, self.sack_size, acked, window, gaps, len(duplicates))
        blocks = bytearray(header)
        for number in range(gaps):
            for edge in (self._ranges.starts[number], self._ranges.ends[number]):
                blocks += min(edge - self._cumulative, MAX_DISTANCE).to_bytes(2)
        for tsn in duplicates:
            blocks += tsn.to_bytes(4)
        duplicates.clear()
        return bytes(blocks)

    def _mark(self, tsn: int, distance: int) -> bool:
        """Note that ``tsn`` is here; returns whether it is new, and can be remembered."""
        if distance == 1:
            self._cumulative = self._ranges.absorb(tsn)
            return True
        if distance == 0 or distance >= TSN_HALF or tsn in self._ranges:
            if len(self._duplicates) < MAX_DUPLICATES:
                self._duplicates.append(tsn & TSN_MASK)
            return False
        if distance > MAX_DISTANCE or len(self._ranges) >= MAX_RANGES:
            return False
        return bool(self._ranges.add(tsn, tsn))
