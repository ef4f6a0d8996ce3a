"""What was sent and isn't acknowledged for good, packet by packet.

The chunks of a packet arrive or get lost together, so they are kept together, too: an acknowledgement costs as much
as it covers packets, however small the messages are.

Loss is found as QUIC finds it (RFC 9002, section 6.1): every transmission has its place in one order, so one that is
behind three others that arrived is lost, be it the first or a repetition.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .ranges import Ranges

REORDERING: Final = 3
"""Packets that may overtake another before that counts as lost (RFC 9260, section 7.2.4; RFC 9002, section 6.1.1)."""


class SentPacket:
    """The DATA chunks of a packet; their TSNs follow each other."""

    __slots__ = (
        "chunks",
        "count",
        "is_acked",
        "is_lost",
        "last_tsn",
        "missing",
        "order",
        "sent_at",
        "size",
        "times",
    )

    def __init__(  # noqa: PLR0917 - one for each packet, on the hot path
        self, last_tsn: int, count: int, chunks: bytes, size: int, order: int, now: float
    ) -> None:
        self.last_tsn = last_tsn
        self.count = count
        self.missing = count
        """Chunks that no gap block has covered."""
        self.chunks = chunks
        self.size = size
        """Bytes of payload."""
        self.order = order
        self.sent_at = now
        self.times = 1
        self.is_acked = False
        self.is_lost = False
        """It is to be sent again, and doesn't count as in flight."""


class Flight:
    """Packets under way. TSNs are counted without wrapping around.

    :param initial_tsn: our first TSN
    """

    def __init__(self, initial_tsn: int) -> None:
        self.next_tsn = initial_tsn
        self.acked = initial_tsn - 1
        """Everything up to this TSN has arrived."""
        self.size = 0
        """Payload bytes under way."""
        self.kept = 0
        """Payload bytes that aren't acknowledged for good: a peer may take back what is only in gap blocks."""
        self.lost: deque[SentPacket] = deque()
        """To be sent again; what has arrived meanwhile is still among them."""
        self.order = 0
        """The place of the next packet to be sent."""
        self._packets: dict[int, SentPacket] = {}
        """By their first TSN, in its order and without a gap."""
        self._first = initial_tsn
        """The first packet's TSN: the one after ``acked``, if the peer hasn't taken a part of a packet."""
        self._by_order: deque[tuple[int, SentPacket]] = deque()
        self._scoreboard = Ranges()
        """TSNs that were ever in a gap block, above ``acked``."""
        self._reported: list[tuple[int, int]] = []
        """Gap blocks of the last SACK."""

    @property
    def is_empty(self) -> bool:
        """Whether everything is acknowledged for good."""
        return not self._packets

    # --- sending --------------------------------------------------------------------------------------------------

    def add(self, chunks: bytes, count: int, size: int, now: float) -> None:
        """New chunks, of consecutive TSNs, leave in one packet."""
        tsn = self.next_tsn
        order = self.order
        sent = SentPacket(tsn + count - 1, count, chunks, size, order, now)
        self._packets[tsn] = sent
        self._by_order.append((order, sent))
        self.next_tsn = tsn + count
        self.size += size
        self.kept += size
        self.order = order + 1

    def next_lost(self) -> SentPacket | None:
        """What is to be sent again next."""
        lost = self.lost
        while lost:
            if not lost[0].is_acked:
                return lost[0]
            lost.popleft()
        return None

    def repeat(self, now: float) -> None:
        """What :meth:`next_lost` gave leaves."""
        sent = self.lost.popleft()
        sent.is_lost = False
        sent.times += 1
        sent.order, sent.sent_at = self.order, now
        self.size += sent.size
        self._by_order.append((self.order, sent))
        self.order += 1

    # --- acknowledgements -----------------------------------------------------------------------------------------

    def acknowledge(self, cumulative: int, blocks: list[tuple[int, int]]) -> tuple[SentPacket | None, int]:
        """Everything up to a TSN has arrived, and the ranges ``blocks`` above it have.

        Returns the packet that was sent last of those that are new, and the payload of all of them.
        """
        arrived: list[SentPacket] = []
        packets, tsn = self._packets, self._first
        while tsn <= cumulative and (sent := packets[tsn]).last_tsn <= cumulative:
            del packets[tsn]
            self.kept -= sent.size
            tsn = sent.last_tsn + 1
            if not sent.is_acked:
                arrived.append(sent)
        self._first = tsn
        self.acked = cumulative
        self._reported = blocks
        if self._scoreboard.starts:
            self._scoreboard.absorb(cumulative)
        for block in blocks:
            for first, last in self._scoreboard.add(*block):
                arrived += self._cover(first, last)
        newest, total = None, 0
        for sent in arrived:
            sent.is_acked = True
            total += sent.size
            if not sent.is_lost:
                self.size -= sent.size
            if newest is None or sent.order > newest.order:
                newest = sent
        if not packets:
            self._by_order.clear()
        return newest, total

    def _cover(self, first: int, last: int) -> list[SentPacket]:
        """A range that no gap block had covered is covered; returns the packets that are whole by that."""
        packets = self._packets
        whole: list[SentPacket] = []
        tsn = first
        while tsn not in packets:
            # A receiver that had no room for all chunks of a packet.
            tsn -= 1
        while tsn <= last:
            sent = packets[tsn]
            sent.missing -= min(last, sent.last_tsn) - max(first, tsn) + 1
            if not sent.missing and not sent.is_acked:
                whole.append(sent)
            tsn = sent.last_tsn + 1
        return whole

    # --- losses ---------------------------------------------------------------------------------------------------

    def find_lost(self, newest: int) -> int | None:
        """Take for lost what was sent long enough before the packet in place ``newest``, which has arrived.

        Returns the place of the last one; ``None`` if nothing was lost.
        """
        by_order = self._by_order
        last: int | None = None
        while by_order:
            order, sent = by_order[0]
            if sent.is_acked or sent.order != order or sent.is_lost:
                by_order.popleft()
            elif order + REORDERING <= newest:
                by_order.popleft()
                self._lose(sent)
                last = order
            else:
                break
        return last

    def _lose(self, sent: SentPacket) -> None:
        sent.is_lost = True
        self.size -= sent.size
        self.lost.append(sent)

    def lose_tail(self) -> bool:
        """Take the last packet for lost, so that it is sent again: it asks the peer how far it has got.

        Returns whether there is one that hasn't arrived.
        """
        tail = next((sent for sent in reversed(self._packets.values()) if not sent.is_acked), None)
        if tail is not None and not tail.is_lost:
            self._lose(tail)
        return tail is not None

    def lose_all(self) -> None:
        """Take everything for lost but what the last SACK said: a receiver may take back what is only in gap
        blocks (RFC 9260, section 6.2).
        """
        self._by_order.clear()
        self._scoreboard.clear()
        for sent in self._packets.values():
            sent.missing, sent.is_acked = sent.count, False
        for first, last in self._reported:
            self._scoreboard.add(first, last)
            for sent in self._cover(first, last):
                sent.is_acked = True
        self.lost = deque(sent for sent in self._packets.values() if not sent.is_acked)
        for sent in self.lost:
            sent.is_lost = True
        self.size = 0
