"""The sending half of an association: chunks leave as windows allow, and stay until they are acknowledged.

Loss is found as QUIC finds it (RFC 9002, section 6.1): every transmission has its place in one order, so one that is
behind three others that arrived is lost, be it the first or a repetition.
"""

from __future__ import annotations

import struct
from collections import deque
from typing import Final

from .congestion import CongestionControl
from .outbound import OutboundQueue
from .packet import DATA_HEADER, TSN_HALF, TSN_MASK
from .ranges import Ranges
from .rto import RtoEstimator

REORDERING: Final = 3
"""Packets that may overtake another before that counts as lost (RFC 9260, section 7.2.4; RFC 9002, section 6.1.1)."""

MAX_TIMEOUTS: Final = 10
"""Timeouts in a row after which the peer counts as gone (RFC 9260, section 16: Association.Max.Retrans)."""

PROBE_MARGIN: Final = 0.05
"""Seconds added to two round trips before a tail that isn't acknowledged is probed: peers delay acknowledgements."""

_SACK_FIELDS: Final = struct.Struct("!IIHH")
_GAP: Final = struct.Struct("!HH")
_HEADER: Final = DATA_HEADER.size


class _Sent:
    """A chunk that isn't acknowledged for good."""

    __slots__ = ("chunk", "is_acked", "is_lost", "order", "sent_at", "size", "times")

    def __init__(self, chunk: bytes, size: int, order: int, now: float) -> None:
        self.chunk = chunk
        self.size = size
        self.order = order
        self.sent_at = now
        self.times = 1
        self.is_acked = False
        self.is_lost = False
        """It is to be sent again, and doesn't count as in flight."""


class Sender:
    """Fills packets with chunks, and acts on SACKs.

    :param initial_tsn: our first TSN
    """

    def __init__(self, initial_tsn: int, congestion: CongestionControl) -> None:
        self.initial_tsn = initial_tsn
        self.congestion = congestion
        self.rto = RtoEstimator()
        self.queue = OutboundQueue()
        self.timer: float | None = None
        """When something in flight counts as lost, or is probed, or a shut window is."""
        self.timeouts = 0
        """In a row."""
        self.peer_window = 0
        self.flight_size = 0
        """Payload bytes under way."""
        self._next_tsn = initial_tsn
        self._acked = initial_tsn - 1
        self._sent: dict[int, _Sent] = {}
        """By TSN, counted without wrapping around; from ``_acked + 1`` on without a gap."""
        self._by_order: deque[tuple[int, _Sent]] = deque()
        self._lost: deque[_Sent] = deque()
        self._order = 0
        self._recovery_order = -1
        self._scoreboard = Ranges()
        """TSNs that were ever in a gap block, above ``_acked``."""
        self._reported: list[tuple[int, int]] = []
        """Gap blocks of the last SACK."""
        self._is_limited = False
        """Whether the congestion window, rather than the application or the peer, has kept us from sending more."""
        self._has_probed = False
        self._may_repeat = False
        """One packet may be sent again whatever the window says (RFC 9260, section 7.2.4)."""
        self._may_probe_window = False

    @property
    def last_tsn(self) -> int:
        """The last TSN that was assigned."""
        return (self._next_tsn - 1) & TSN_MASK

    @property
    def is_idle(self) -> bool:
        """Whether everything was acknowledged, and nothing is queued."""
        return not self._sent and not self.queue.size

    @property
    def has_more(self) -> bool:
        """Whether there is anything to be sent, be it for the first time."""
        return bool(self._lost) or self.queue.size > 0

    # --- what is to be sent ---------------------------------------------------------------------------------------

    def fill(self, room: int, now: float, *, is_alone: bool) -> list[bytes]:
        """Chunks for one packet with ``room`` bytes for them; none if nothing may be sent.

        :param is_alone: whether nothing else is in the packet: then a chunk that was cut for a wider path may go too
        """
        chunks: list[bytes] = []
        was_quiet = not self._sent
        if self._lost:
            room = self._repeat(chunks, room, now, is_alone=is_alone)
        if not self._lost and self.queue.size:
            self._fill_new(chunks, room, now)
        if chunks:
            self._order += 1
            if was_quiet or self.timer is None:
                self._start_timer(now)
        return chunks

    def _repeat(self, chunks: list[bytes], room: int, now: float, *, is_alone: bool) -> int:
        """Send lost chunks again; returns the room that is left."""
        lost = self._lost
        may_send = self._may_repeat or self.flight_size < self.congestion.window
        while lost:
            sent = lost[0]
            if sent.is_acked:
                lost.popleft()
                continue
            if not may_send or (len(sent.chunk) > room and (chunks or not is_alone)):
                break
            lost.popleft()
            sent.is_lost = False
            sent.times += 1
            sent.order, sent.sent_at = self._order, now
            self.flight_size += sent.size
            self._by_order.append((self._order, sent))
            chunks.append(sent.chunk)
            room -= len(sent.chunk)
        if chunks:
            self._may_repeat = False
        return room

    def _fill_new(self, chunks: list[bytes], room: int, now: float) -> None:
        queue, order, window = self.queue, self._order, self.congestion.window
        allowance = self.peer_window - self.flight_size
        if self._may_probe_window:
            self._may_probe_window = False
            allowance = max(allowance, room)
        while room > _HEADER:
            self._is_limited = self.flight_size >= window
            if self._is_limited:
                return
            left = queue.size
            chunk = queue.take(self._next_tsn, room, allowance, is_first=not chunks)
            if chunk is None:
                break
            chunks.append(chunk)
            room -= len(chunk)
            size = left - queue.size
            allowance -= size
            self.flight_size += size
            sent = _Sent(chunk, size, order, now)
            self._sent[self._next_tsn] = sent
            self._by_order.append((order, sent))
            self._next_tsn += 1
        if not self._sent and self.timer is None and queue.has_next:
            # The peer has no room: after a while it gets a chunk nevertheless, to tell whether it has by now (section
            # 6.1, rule A).
            self.timer = now + self.rto.timeout

    # --- what has arrived -----------------------------------------------------------------------------------------

    def receive_sack(self, value: memoryview, now: float) -> bool:
        """Act on the value of a SACK chunk; returns whether something new was acknowledged.

        A SACK that is malformed, or acknowledges what was never sent, is ignored as a whole.
        """
        if len(value) < _SACK_FIELDS.size:
            return False
        cumulative, window, gaps, _ = _SACK_FIELDS.unpack_from(value)
        distance = (cumulative - self._acked) & TSN_MASK
        if distance >= TSN_HALF or self._acked + distance >= self._next_tsn:
            return False
        blocks = self._parse_gaps(value, gaps, self._acked + distance)
        if blocks is None:
            return False
        self._update_window(window)
        newest, size = self._acknowledge(self._acked + distance, blocks)
        if newest is None:
            return False
        self.timeouts = 0
        self._has_probed = False
        rtt = None
        if newest.times == 1:
            rtt = now - newest.sent_at
            self.rto.measure(rtt)
        else:
            self.rto.progress()
        self._find_losses(newest.order, now)
        self.congestion.acknowledged(
            size,
            rtt,
            self.flight_size,
            now,
            sent_at=newest.sent_at,
            is_limited=self._is_limited,
            is_recovering=newest.order <= self._recovery_order,
            has_more=self.has_more,
        )
        self._start_timer(now)
        return True

    def acknowledge_until(self, tsn: int, now: float) -> bool:
        """A SHUTDOWN chunk acknowledges too, but says nothing of the window (RFC 9260, section 9.2)."""
        fields = _SACK_FIELDS.pack(tsn, self.peer_window, 0, 0)
        return self.receive_sack(memoryview(fields), now)

    def _update_window(self, window: int) -> None:
        if window > self.peer_window and not self._sent:
            # It was shut, and we waited for this.
            self.timer = None
        self.peer_window = window
        if self._is_shut:
            # A peer that says so is there (section 6.1, rule A).
            self.timeouts = 0

    @property
    def _is_shut(self) -> bool:
        return self.peer_window < self.congestion.packet_size

    def _parse_gaps(self, value: memoryview, count: int, acked: int) -> list[tuple[int, int]] | None:
        end = _SACK_FIELDS.size + 4 * count
        if end > len(value):
            return None
        blocks: list[tuple[int, int]] = []
        # The first block can't touch the cumulative TSN, or that would be higher.
        previous = acked + 1
        for first, last in _GAP.iter_unpack(value[_SACK_FIELDS.size : end]):
            if not previous < acked + first <= acked + last < self._next_tsn:
                return None
            previous = acked + last
            blocks.append((acked + first, previous))
        return blocks

    def _acknowledge(self, cumulative: int, blocks: list[tuple[int, int]]) -> tuple[_Sent | None, int]:
        """Note what has arrived; returns the chunk of it that was sent last, and its bytes in all."""
        newest: _Sent | None = None
        total = 0
        sent_by_tsn = self._sent
        for tsn in range(self._acked + 1, cumulative + 1):
            sent = sent_by_tsn.pop(tsn)
            if not sent.is_acked:
                total += self._mark_acked(sent)
                if newest is None or sent.order > newest.order:
                    newest = sent
        self._acked = cumulative
        self._reported = blocks
        if self._scoreboard.starts:
            self._scoreboard.absorb(cumulative)
        for block in blocks:
            for first, last in self._scoreboard.add(*block):
                for tsn in range(first, last + 1):
                    sent = sent_by_tsn[tsn]
                    if not sent.is_acked:
                        total += self._mark_acked(sent)
                        if newest is None or sent.order > newest.order:
                            newest = sent
        return newest, total

    def _mark_acked(self, sent: _Sent) -> int:
        sent.is_acked = True
        if not sent.is_lost:
            self.flight_size -= sent.size
        return sent.size

    def _mark_lost(self, sent: _Sent) -> None:
        sent.is_lost = True
        self.flight_size -= sent.size
        self._lost.append(sent)

    def _find_losses(self, newest: int, now: float) -> None:
        by_order = self._by_order
        found = False
        while by_order:
            order, sent = by_order[0]
            if sent.is_acked or sent.order != order or sent.is_lost:
                by_order.popleft()
            elif order + REORDERING <= newest:
                by_order.popleft()
                self._mark_lost(sent)
                found = found or order > self._recovery_order
            else:
                break
        if found:
            # One reduction per flight: what was sent before it is known doesn't count again.
            self._recovery_order = self._order - 1
            self._may_repeat = True
            self.congestion.lost(self.flight_size, now)

    # --- the timer ------------------------------------------------------------------------------------------------

    def _start_timer(self, now: float) -> None:
        if not self._sent:
            self.timer = None
            return
        timeout = self.rto.timeout
        smoothed = self.rto.smoothed
        if smoothed is not None and not self._has_probed:
            timeout = min(timeout, 2 * smoothed + PROBE_MARGIN)
        self.timer = now + timeout

    def handle_timer(self, now: float) -> None:
        """The timer has expired: probe the window or the tail, or take everything in flight for lost."""
        if not self._sent:
            self.timer = None
            self._may_probe_window = True
            self.rto.back_off()
            return
        tail = next((sent for sent in reversed(self._sent.values()) if not sent.is_acked), None)
        if tail is not None and self.rto.smoothed is not None and not self._has_probed:
            self._has_probed = True
            if not tail.is_lost:
                self._mark_lost(tail)
            self._may_repeat = True
            self._start_timer(now)
            return
        self.timeouts += 1
        self.rto.back_off()
        self._has_probed = True
        self._lose_all()
        if not self._is_shut:
            self.congestion.timed_out(now)
        self._start_timer(now)

    def _lose_all(self) -> None:
        self._by_order.clear()
        self._lost.clear()
        self._scoreboard.clear()
        # A receiver may take back what is only in gap blocks (section 6.2): believed is what the last SACK said.
        for first, last in self._reported:
            self._scoreboard.add(first, last)
        blocks = iter([*self._reported, (self._next_tsn, self._next_tsn)])
        first, last = next(blocks)
        for tsn, sent in self._sent.items():
            while tsn > last:
                first, last = next(blocks)
            sent.is_acked = first <= tsn
            sent.is_lost = not sent.is_acked
            if sent.is_lost:
                self._lost.append(sent)
        self.flight_size = 0
        self._may_repeat = True
        self._recovery_order = self._order - 1
