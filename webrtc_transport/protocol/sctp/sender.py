"""The sending half of an association: data leaves as windows allow, and stays until it is acknowledged."""

from __future__ import annotations

import struct
from typing import Final

from .congestion import CongestionControl
from .flight import Flight
from .outbound import OutboundQueue
from .packet import COMMON_HEADER, DATA_HEADER, TSN_HALF, TSN_MASK, split_chunks
from .rto import RtoEstimator

MAX_TIMEOUTS: Final = 10
"""Timeouts in a row after which the peer counts as gone (RFC 9260, section 16: Association.Max.Retrans)."""

PROBE_MARGIN: Final = 0.05
"""Seconds added to two round trips before a tail that isn't acknowledged is probed: peers delay acknowledgements."""

_SACK_FIELDS: Final = struct.Struct("!IIHH")
_SACK_SIZE: Final = _SACK_FIELDS.size
_GAP: Final = struct.Struct("!HH")
_HEADER: Final = DATA_HEADER.size


class Sender:
    """Fills packets with data, and acts on SACKs.

    :param initial_tsn: our first TSN
    :param max_in_flight: payload bytes that may be sent and not acknowledged for good, whatever the peer says
    """

    def __init__(self, initial_tsn: int, congestion: CongestionControl, max_in_flight: int) -> None:
        self.initial_tsn = initial_tsn
        self.congestion = congestion
        self.rto = RtoEstimator()
        self.queue = OutboundQueue()
        self.timer: float | None = None
        """When something in flight counts as lost, or is probed, or a shut window is."""
        self.timeouts = 0
        """In a row."""
        self.large_losses = 0
        """Times in a row that packets were lost that not every path carries, and none of that size arrived."""
        self.peer_window = 0
        self._max_in_flight = max_in_flight
        self._sure_size = congestion.packet_size - COMMON_HEADER.size
        """Bytes of chunks that every path carries."""
        self._flight = Flight(initial_tsn)
        self._rest = b""
        """Chunks of a packet that was sent when the path was wider: they follow in a packet of their own."""
        self._recovery_order = -1
        """What was sent up to here was sent before the last loss was known."""
        self._is_limited = False
        """Whether the congestion window, rather than the application or the peer, has kept us from sending more."""
        self._has_probed = False
        self._may_repeat = False
        """One packet may be sent again whatever the window says (RFC 9260, section 7.2.4)."""
        self._may_probe_window = False
        self._idle_since: float | None = None
        """When the last of what was sent was acknowledged."""

    @property
    def last_tsn(self) -> int:
        """The last TSN that was assigned."""
        return (self._flight.next_tsn - 1) & TSN_MASK

    def is_acknowledged_until(self, tsn: int) -> bool:
        """Whether the peer has told that everything up to ``tsn`` has arrived."""
        return (self._flight.acked - tsn) & TSN_MASK < TSN_HALF

    @property
    def flight_size(self) -> int:
        """Payload bytes under way."""
        return self._flight.size

    @property
    def is_idle(self) -> bool:
        """Whether everything was acknowledged, and nothing is queued."""
        return self._flight.is_empty and not self.queue.size

    @property
    def has_more(self) -> bool:
        """Whether there is anything to be sent, be it for the first time."""
        return bool(self.queue.size or self._flight.lost or self._rest)

    # --- what is to be sent ---------------------------------------------------------------------------------------

    def fill(self, room: int, now: float, *, is_alone: bool) -> bytes:
        """DATA chunks for one packet with ``room`` bytes for them; none if nothing may be sent.

        :param is_alone: whether nothing else is in the packet: then a chunk that was cut for a wider path may go too
        """
        chunks = b""
        if self._rest or self._flight.lost:
            chunks = self._repeat(room, now, is_alone=is_alone)
        if not chunks and not self._flight.lost and self.queue.size:
            chunks = self._fill_new(room, now)
        if chunks and self.timer is None:
            self._start_timer(now)
        return chunks

    def _repeat(self, room: int, now: float, *, is_alone: bool) -> bytes:
        """Send the chunks of a lost packet again."""
        if self._rest:
            if len(self._rest) > room and not is_alone:
                return b""
            chunks, self._rest = self._rest, b""
        else:
            sent = self._flight.next_lost()
            may_send = self._may_repeat or self._flight.size < self.congestion.window
            if sent is None or not may_send or (len(sent.chunks) > room and not is_alone):
                return b""
            self._may_repeat = False
            self._flight.repeat(now)
            chunks = sent.chunks
        if len(chunks) > room:
            chunks, self._rest = split_chunks(chunks, room)
        return chunks

    def _fill_new(self, room: int, now: float) -> bytes:
        flight, queue = self._flight, self.queue
        if not flight.size and flight.is_empty:
            self._resume(now)
        self._is_limited = flight.size >= self.congestion.window
        if self._is_limited:
            return b""
        allowance = min(self.peer_window - flight.size, self._max_in_flight - flight.kept)
        if self._may_probe_window:
            self._may_probe_window = False
            allowance = max(allowance, room)
        left = queue.size
        chunks, count = queue.take(flight.next_tsn, room, allowance)
        if count:
            flight.add(chunks, count, left - queue.size, now)
            # What stays behind waits for the window, or for a pace that follows from it.
            self._is_limited = queue.size > 0
        elif flight.is_empty and self.timer is None and queue.has_next:
            # The peer has no room: after a while it gets a chunk nevertheless, to tell whether it has by now (section
            # 6.1, rule A).
            self.timer = now + self.rto.timeout
        return chunks

    def _resume(self, now: float) -> None:
        """There is something to send, after a time in which nothing was under way."""
        if self._idle_since is not None:
            timeouts = int((now - self._idle_since) / self.rto.timeout)
            if timeouts:
                self.congestion.idled(timeouts)
            self._idle_since = None

    # --- what has arrived -----------------------------------------------------------------------------------------

    def receive_sack(self, value: memoryview, now: float) -> bool:
        """Act on the value of a SACK chunk; returns whether something new was acknowledged.

        A SACK that is malformed, or acknowledges what was never sent, is ignored as a whole.
        """
        if len(value) < _SACK_SIZE:
            return False
        cumulative, window, gaps, _ = _SACK_FIELDS.unpack_from(value)
        flight = self._flight
        distance = (cumulative - flight.acked) & TSN_MASK
        acked = flight.acked + distance
        if distance >= TSN_HALF or acked >= flight.next_tsn:
            return False
        blocks = self._parse_gaps(value, gaps, acked) if gaps else []
        if blocks is None:
            return False
        self._update_window(window)
        newest, size = flight.acknowledge(acked, blocks)
        if distance or newest is not None:
            self.timeouts = 0
        if newest is None:
            return False
        self._has_probed = False
        rtt = None
        if newest.times == 1:
            rtt = now - newest.sent_at
            self.rto.measure(rtt)
        else:
            self.rto.progress()
        is_large = len(newest.chunks) > self._sure_size
        if is_large:
            self.large_losses = 0
        if not flight.is_empty:
            self._find_losses(newest.order, now, may_be_size=not is_large)
        self.congestion.acknowledged(
            size,
            rtt,
            flight.size,
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
        if window > self.peer_window and self._flight.is_empty:
            # It was shut, and we waited for this.
            self.timer = None
        self.peer_window = window
        if window < self.congestion.packet_size:
            # A peer that says so is there (section 6.1, rule A).
            self.timeouts = 0

    @property
    def _is_shut(self) -> bool:
        return self.peer_window < self.congestion.packet_size

    def _parse_gaps(self, value: memoryview, count: int, acked: int) -> list[tuple[int, int]] | None:
        end = _SACK_SIZE + 4 * count
        if end > len(value):
            return None
        blocks: list[tuple[int, int]] = []
        # The first block can't touch the cumulative TSN, or that would be higher.
        previous = acked + 1
        for first, last in _GAP.iter_unpack(value[_SACK_SIZE:end]):
            if not previous < acked + first <= acked + last < self._flight.next_tsn:
                return None
            previous = acked + last
            blocks.append((acked + first, previous))
        return blocks

    def _find_losses(self, newest: int, now: float, *, may_be_size: bool) -> None:
        last = self._flight.find_lost(newest)
        if last is not None and last > self._recovery_order:
            # One reduction per flight: what was sent before it is known doesn't count again.
            self._recovery_order = self._flight.order - 1
            self._may_repeat = True
            self.congestion.lost(self._flight.size, now)
            if may_be_size:
                self._count_large_losses()

    def _count_large_losses(self) -> None:
        self.large_losses += any(len(sent.chunks) > self._sure_size for sent in self._flight.lost)

    # --- the timer ------------------------------------------------------------------------------------------------

    def _start_timer(self, now: float) -> None:
        if self._flight.is_empty:
            self.timer, self._idle_since = None, now
            return
        timeout = self.rto.timeout
        smoothed = self.rto.smoothed
        if smoothed is not None and not self._has_probed:
            timeout = min(timeout, 2 * smoothed + PROBE_MARGIN)
        self.timer = now + timeout

    def handle_timer(self, now: float) -> None:
        """The timer has expired: probe the window or the tail, or take everything in flight for lost."""
        if self._flight.is_empty:
            self.timer = None
            self._may_probe_window = True
            self.rto.back_off()
            return
        self._may_repeat = True
        is_probe = self.rto.smoothed is not None and not self._has_probed
        self._has_probed = True
        if not (is_probe and self._flight.lose_tail()):
            self.timeouts += 1
            self.rto.back_off()
            self._flight.lose_all()
            self._recovery_order = self._flight.order - 1
            if not self._is_shut:
                self.congestion.timed_out(now)
        self._count_large_losses()
        self._start_timer(now)
