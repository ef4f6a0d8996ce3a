"""A peer that sends whatever it likes, with valid tags and checksums."""

import random
import struct

from tests.links import Pair
from webrtc_transport.protocol.sctp.packet import PacketWriter

_TYPES = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 130, 132, 192, 63, 127, 191, 255]
_DEADLY = {6, 7, 8, 14}
"""ABORT and the SHUTDOWNs: legal ends, which would end a run too soon."""


class Adversary:
    """Makes packets for end b of a pair."""

    def __init__(self, seed: int, *, may_end: bool = True) -> None:
        self.rng = random.Random(seed)
        self.types = [kind for kind in _TYPES if may_end or kind not in _DEADLY]
        self.pair = Pair(seed=seed).connect()
        self.victim = self.pair.b
        self.seen: list[bytes] = []
        """Packets of the true peer, to be mutated."""
        self.pair.observe = lambda end, packet: self.seen.append(packet) if end is self.pair.a else None
        for stream_id in range(4):
            self.pair.a.association.send(stream_id, 53, self.rng.randbytes(3000))
            self.pair.b.association.send(stream_id, 53, self.rng.randbytes(3000))
        self.pair.a.association.reset_stream(1)
        self.pair.run_for(0.2)
        self.tag = self.victim.association._inbound.handshake.tag
        self.writer = PacketWriter(5000, 5000, self.tag)

    def number(self, near: int) -> int:
        """A number near a meaningful one, or any."""
        rng = self.rng
        roll = rng.random()
        if roll < 0.7:
            return (near + rng.choice([-2, -1, 0, 1, 2, 3, 10, 100, 70000])) & 0xFFFFFFFF
        return rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1, rng.getrandbits(32)])

    def chunk(self) -> bytes:
        rng = self.rng
        kind = rng.choice(self.types)
        value = self._value(kind)
        if rng.random() < 0.2 and value:
            value = bytearray(value)
            for _ in range(rng.randint(1, 3)):
                value[rng.randrange(len(value))] = rng.getrandbits(8)
            value = bytes(value[: rng.randint(0, len(value))])
        length = 4 + len(value)
        if rng.random() < 0.05:
            length = rng.choice([0, 1, 3, 4, length - 1, length + 1, 65535])
        return (
            struct.pack("!BBH", kind, self._flags(), max(0, length) & 0xFFFF) + value + bytes(-len(value) % 4)
        )

    def _flags(self) -> int:
        return self.rng.choice([0, 1, 2, 3, 3, 3, 4, 7, 8, 11, self.rng.getrandbits(8)])

    def _value(self, kind: int) -> bytes:  # noqa: PLR0911 - one for each kind
        rng, victim, peer = self.rng, self.victim.association, self.pair.a.association
        tsn = self.number(victim._inbound.receiver.cumulative_tsn)
        if kind == 0:
            header = struct.pack("!IHHI", tsn, rng.choice([0, 1, 2, 65535]), rng.choice([0, 1, 2, 40000]), 53)
            return header + rng.randbytes(rng.choice([0, 1, 2, 100, 1100]))
        if kind in (1, 2):
            numbers = (
                rng.choice([0, 1, peer._inbound.handshake.tag]),
                self.number(0),
                rng.getrandbits(16),
                rng.getrandbits(16),
            )
            return struct.pack("!IIHHI", *numbers, self.number(0)) + rng.randbytes(rng.choice([0, 4, 20]))
        if kind == 3:
            acked = self.number(victim._sender._flight.acked)
            gaps = [(rng.randint(0, 20), rng.randint(0, 20)) for _ in range(rng.choice([0, 1, 3, 200]))]
            blocks = b"".join(struct.pack("!HH", *gap) for gap in gaps)
            window = rng.choice([0, 1, 1000, 2**20, 2**32 - 1])
            return struct.pack("!IIHH", acked, window, rng.choice([len(gaps), 0, 65535]), 0) + blocks
        if kind == 7:
            return struct.pack("!I", self.number(victim._sender._flight.acked))
        if kind == 130:
            parameter = rng.choice([13, 13, 14, 15, 16, 17, 18, 99])
            resetter = victim._inbound.resetter
            numbers = (self.number(resetter._next_peer_number), self.number(resetter._number), tsn)
            body = struct.pack("!III", *numbers) + rng.randbytes(rng.choice([0, 1, 2, 8, 500]))
            return struct.pack("!HH", parameter, 4 + len(body)) + body
        if kind == 192:
            skipped = [
                (rng.choice([0, 1, 65535]), rng.getrandbits(16)) for _ in range(rng.choice([0, 1, 300]))
            ]
            return struct.pack("!I", tsn) + b"".join(struct.pack("!HH", *pair) for pair in skipped)
        return rng.randbytes(rng.choice([0, 3, 4, 8, 60, 1000]))

    def packet(self) -> bytes:
        rng = self.rng
        roll = rng.random()
        if roll < 0.05:
            return rng.randbytes(rng.choice([0, 1, 11, 12, 16, 100, 1200]))
        if roll < 0.15 and self.seen:
            packet = bytearray(rng.choice(self.seen))
            packet[rng.randrange(12, len(packet))] = rng.getrandbits(8)
            return self.writer.build([bytes(packet[12:])])
        if roll < 0.2:
            return PacketWriter(
                5000, 5000, rng.choice([0, self.pair.a.association._inbound.handshake.tag])
            ).build([self.chunk()])
        return self.writer.build([self.chunk() for _ in range(rng.randint(1, 6))])

    def memory(self) -> int:
        """Things that the victim holds because of what came."""
        association = self.victim.association
        receiver, sender, resetter = (
            association._inbound.receiver,
            association._sender,
            association._inbound.resetter,
        )
        return (
            len(receiver._ranges)
            + len(receiver._duplicates)
            + len(receiver._streams)
            + receiver._held // 64
            + len(sender._flight._scoreboard)
            + len(resetter.deferred)
            + len(association._transmitter._packets)
            + len(association._transmitter._chunks)
            + len(association.events)
        )
