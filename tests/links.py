"""Two associations over a modelled path, in virtual time: nothing sleeps, and a seed makes a run repeatable."""

import heapq
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from webrtc_transport.protocol.sctp.association import Association
from webrtc_transport.protocol.sctp.events import (
    Ended,
    Established,
    InboundStreamsReset,
    MessageReceived,
    OutboundStreamsReset,
)
from webrtc_transport.protocol.sctp.settings import AssociationSettings

NO_LIMIT = float("inf")


def blobs(count: int, size: int, seed: int = 3) -> list[bytes]:
    """So many messages of so many random bytes."""
    rng = random.Random(seed)
    return [rng.randbytes(size) for _ in range(count)]


def chunk_types(packet: bytes) -> list[int]:
    """The types of the chunks of a packet."""
    found, position = [], 12
    while position < len(packet):
        kind, _, length = struct.unpack_from("!BBH", packet, position)
        found.append(kind)
        position += length + -length % 4
    return found


@dataclass
class Path:
    """One direction of a link. Times are seconds, shares are probabilities."""

    delay: float = 0.005
    jitter: float = 0.0
    """At most so much is added to the delay of each packet, which lets packets overtake each other."""
    loss: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    rate: float = NO_LIMIT
    """Bytes per second."""
    queue: int = 256 * 1024
    """Bytes that wait for the link at most; what comes on top is lost."""
    max_size: int = 65536
    """Larger packets are lost, unless IP may fragment them."""
    blackouts: list[tuple[float, float]] = field(default_factory=list)
    drops: Callable[[bytes, int], bool] = lambda packet, number: False
    """Whether to drop a packet, from its bytes and its number on this path."""
    number: int = 0
    delivered: int = 0
    """Bytes that reached the other end."""
    free_at: float = 0.0

    def arrivals(
        self, packet: bytes, now: float, rng: random.Random, *, may_fragment: bool = False
    ) -> list[tuple[float, bytes]]:
        """When, and as what, a packet arrives."""
        number, self.number = self.number, self.number + 1
        is_too_large = len(packet) > self.max_size and not may_fragment
        lost = self.drops(packet, number) or rng.random() < self.loss or is_too_large
        if lost or any(start <= now < end for start, end in self.blackouts):
            return []
        begin = max(now, self.free_at)
        if self.rate < NO_LIMIT:
            if (begin - now) * self.rate > self.queue:
                return []
            self.free_at = begin = begin + len(packet) / self.rate
        copies = 2 if rng.random() < self.duplication else 1
        return [
            (begin + self.delay + rng.random() * self.jitter, self._corrupt(packet, rng))
            for _ in range(copies)
        ]

    def _corrupt(self, packet: bytes, rng: random.Random) -> bytes:
        if rng.random() >= self.corruption:
            return packet
        at = rng.randrange(len(packet))
        return packet[:at] + bytes([packet[at] ^ (1 + rng.randrange(255))]) + packet[at + 1 :]


class End:
    """An association with what its owner would keep: what was received, by stream and life of the stream."""

    def __init__(self, association: Association, path: Path) -> None:
        self.association = association
        self.path = path
        self.established: Established | None = None
        self.ended: Ended | None = None
        self.received: dict[int, list[bytes]] = {}
        self.finished: dict[int, list[list[bytes]]] = {}
        """Messages of lives of streams that the peer has ended."""
        self.confirmed: list[int] = []
        """Streams of ours whose end the peer has confirmed."""
        self.sent: dict[int, int] = {}
        self.reads = True
        """Whether the application reads; if not, ``unread`` grows."""
        self.log: list[object] = []

    @property
    def unread(self) -> int:
        return self.association.unread

    def dispatch(self, now: float) -> None:
        for stream_id, size in self.association.take_sent().items():
            self.sent[stream_id] = self.sent.get(stream_id, 0) + size
        events, self.association.events = self.association.events, []
        for event in events:
            assert self.ended is None, f"{event} after the end"
            self.log.append(event)
            match event:
                case Established():
                    assert self.established is None
                    self.established = event
                case MessageReceived(stream_id, _, data):
                    assert self.established is not None
                    self.received.setdefault(stream_id, []).append(data)
                    if self.reads:
                        self.association.consume(len(data), now)
                case InboundStreamsReset(stream_ids):
                    for stream_id in stream_ids:
                        self.finished.setdefault(stream_id, []).append(self.received.pop(stream_id, []))
                case OutboundStreamsReset(stream_ids):
                    self.confirmed += stream_ids
                case Ended():
                    self.ended = event

    def read_all(self, now: float) -> None:
        """Read what lies unread."""
        self.association.consume(self.unread, now)


class Pair:
    """Two ends and the paths between them."""

    def __init__(
        self,
        forth: Path | None = None,
        back: Path | None = None,
        *,
        seed: int = 1,
        settings: tuple[AssociationSettings, AssociationSettings] | None = None,
        randoms: tuple[Callable[[int], bytes], Callable[[int], bytes]] | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.now = 0.0
        first, second = settings or (AssociationSettings(), AssociationSettings())
        one, other = randoms or (self.rng.randbytes, self.rng.randbytes)
        self.a = End(Association(first, random=one), forth or Path())
        self.b = End(Association(second, random=other), back or Path())
        self.ends = (self.a, self.b)
        self.packets: list[tuple[float, int, End, bytes]] = []
        """On their way: when they arrive, their number, and to whom."""
        self.observe: Callable[[End, bytes], None] = lambda end, packet: None
        """Is told of each packet that an end sends."""
        self._count = 0

    def other(self, end: End) -> End:
        return self.b if end is self.a else self.a

    def flush(self) -> None:
        """Have both ends send and tell what they have to."""
        for end in self.ends:
            for packet in end.association.transmit(self.now):
                self._send(end, packet)
            for packet in end.association.take_oversized():
                self._send(end, packet, may_fragment=True)
            end.dispatch(self.now)

    def _send(self, end: End, packet: bytes, *, may_fragment: bool = False) -> None:
        self.observe(end, packet)
        for at, arrived in end.path.arrivals(packet, self.now, self.rng, may_fragment=may_fragment):
            self._count += 1
            heapq.heappush(self.packets, (at, self._count, self.other(end), arrived))

    def next_at(self) -> float | None:
        """When something happens next."""
        times = [time for end in self.ends if (time := end.association.timer) is not None]
        times += [self.packets[0][0]] if self.packets else []
        return max(self.now, min(times)) if times else None

    def step(self, until: float = NO_LIMIT) -> bool:
        """Go on to the next thing that happens; returns whether there was one before ``until``."""
        at = self.next_at()
        if at is None or at > until:
            return False
        self.now = at
        while self.packets and self.packets[0][0] <= at:
            _, _, end, packet = heapq.heappop(self.packets)
            self.other(end).path.delivered += len(packet)
            end.association.receive(packet, at)
        for end in self.ends:
            timer = end.association.timer
            if timer is not None and timer <= at:
                end.association.handle_timer(at)
        self.flush()
        return True

    def run(self, until: Callable[[], bool], limit: float = 120.0, steps: int = 1_000_000) -> None:
        """Go on until a condition holds; fails if it doesn't within ``limit`` seconds."""
        end = self.now + limit
        self.flush()
        for _ in range(steps):
            if until():
                return
            # The condition may have had something sent.
            self.flush()
            if not self.step(end):
                break
        assert until(), f"not after {self.now:.3f} s: {self.a.ended} {self.b.ended}"

    def run_for(self, duration: float) -> None:
        """Go on for so many seconds."""
        end = self.now + duration
        self.flush()
        while self.step(end):
            pass
        self.now = end
        self.flush()

    def connect(self, *, both: bool = True) -> "Pair":
        """Set the association up."""
        self.a.association.connect(self.now)
        if both:
            self.b.association.connect(self.now)
        self.run(self.is_established)
        return self

    def is_established(self) -> bool:
        return self.a.established is not None and self.b.established is not None

    def send(self, sender: End, stream_id: int, messages: list[bytes], limit: float = 300.0) -> None:
        """Send messages, with at most 256 KiB queued; returns when all have arrived. Fails if the bytes are wrong."""
        receiver = self.other(sender)
        waiting = list(reversed(messages))
        before = len(receiver.received.get(stream_id, []))

        def is_done() -> bool:
            while waiting and sender.association.queued < 256 * 1024:
                sender.association.send(stream_id, 53, waiting.pop())
            return len(receiver.received.get(stream_id, [])) == before + len(messages)

        self.run(is_done, limit)
        assert receiver.received[stream_id][before:] == messages
