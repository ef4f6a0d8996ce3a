"""Nothing that comes in raises, costs more than it should, or ends what it has no right to end."""

import random
import struct
import time
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.links import Pair, Path
from tests.webrtc_transport.protocol.sctp.hostile import Adversary
from webrtc_transport.protocol.sctp.association import Association
from webrtc_transport.protocol.sctp.packet import ChunkType, Init, PacketWriter, encode_chunk
from webrtc_transport.protocol.sctp.reassembly import FRAGMENT_COST
from webrtc_transport.protocol.sctp.receiver import FREE_SHARE, MAX_RANGES, OVERRUN
from webrtc_transport.protocol.sctp.settings import AssociationSettings
from webrtc_transport.protocol.sctp.states import State
from webrtc_transport.protocol.sctp.transmitter import MAX_CONTROL_CHUNKS

HOSTILE_LIMIT = 1024 * 1024 + 256 * 1024 + 128 * 1024 + OVERRUN + 1100 + FRAGMENT_COST
"""Bytes that a peer can have us hold: the window, one of the largest messages, what owners may not have told, and what
may come against the window."""


def attack(count, seed, *, may_end):
    """Send so many packets to associations, a new one whenever one has ended."""
    adversary = Adversary(seed, may_end=may_end)
    rng = adversary.rng
    for number in range(count):
        adversary.victim.association.receive(adversary.packet(), adversary.pair.now)
        if rng.random() < 0.3:
            adversary.pair.now += rng.choice([0.0, 0.01, 1.0])
            timer = adversary.victim.association.timer
            if timer is not None and timer <= adversary.pair.now:
                adversary.victim.association.handle_timer(adversary.pair.now)
            adversary.victim.association.transmit(adversary.pair.now)
            adversary.victim.dispatch(adversary.pair.now)
            # The true peer hears nothing of this: a victim that believes lies may be stuck, not broken.
            assert adversary.memory() < 100_000
        if adversary.victim.association.is_ended or number % 500 == 499:
            adversary = Adversary(rng.getrandbits(32), may_end=may_end)
            adversary.rng = rng


@pytest.mark.parametrize("may_end", [True, False])
@pytest.mark.parametrize("seed", range(5))
def test_anything_may_come(seed, may_end):
    attack(2000, seed, may_end=may_end)


@pytest.mark.soak
def test_a_million_inputs():
    for seed in range(100):
        attack(10_000, 1000 + seed, may_end=bool(seed % 2))


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_bytes_in_any_state(data):
    closed = Association(AssociationSettings())
    waiting = Association(AssociationSettings())
    waiting.connect(0.0)
    for association in (closed, waiting):
        association.receive(data, 0.0)
        padded = data + bytes(-len(data) % 4)
        for tag in (0, association._inbound.handshake.tag):
            association.receive(PacketWriter(5000, 5000, tag).build([padded]), 0.0)
        association.transmit(0.0)


@given(st.binary(max_size=300), st.integers(0, 255), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_any_chunk(data, kind, flags):
    pair = Pair().connect()
    chunk = encode_chunk(kind, data, flags=flags)
    pair.b.association.receive(
        PacketWriter(5000, 5000, pair.b.association._inbound.handshake.tag).build([chunk]), pair.now
    )
    pair.run_for(0.5)


class TestLiveAssociation:
    """What has the tag wrong, or the checksum, or both, doesn't disturb a transfer."""

    def test_forgeries_beside_a_transfer(self):
        rng = random.Random(4)
        pair = Pair(Path(loss=0.01)).connect()
        forged = PacketWriter(5000, 5000, 0xBAD)
        adversary = Adversary(4)
        for message in range(50):
            pair.a.association.send(1, 53, b"%d" % message * 3000)
        while len(pair.b.received.get(1, [])) < 50:
            pair.step()
            pair.b.association.receive(forged.build([adversary.chunk()]), pair.now)
            pair.b.association.receive(rng.randbytes(100), pair.now)
        assert pair.b.received[1] == [b"%d" % message * 3000 for message in range(50)]


def data_chunk(tsn, payload, *, flags=3, stream_id=1, ssn=0):
    return encode_chunk(ChunkType.DATA, struct.pack("!IHHI", tsn, stream_id, ssn, 53) + payload, flags=flags)


@pytest.fixture
def victim():
    """An end, a function that has chunks arrive at it, and the TSN that comes next."""
    pair = Pair().connect()
    writer = PacketWriter(5000, 5000, pair.b.association._inbound.handshake.tag)

    def arrive(*chunks):
        pair.b.association.receive(writer.build(chunks), pair.now)

    pair.arrive = arrive
    pair.tsn = pair.a.association._sender.initial_tsn
    return pair


class TestBounds:
    def test_a_message_that_never_ends(self, victim):
        for number in range(400):
            victim.arrive(
                data_chunk((victim.tsn + number) & 0xFFFFFFFF, bytes(1100), flags=2 if not number else 0)
            )
        victim.flush()
        assert "more than 262144 bytes" in victim.b.ended.reason
        assert not victim.b.ended.is_orderly

    @pytest.mark.parametrize("flags", [0, 4])
    def test_one_that_never_began(self, victim, flags):
        for number in range(1, 400):
            victim.arrive(data_chunk((victim.tsn + number) & 0xFFFFFFFF, bytes(1100), flags=flags))
        victim.flush()
        assert "more than 262144 bytes" in victim.b.ended.reason

    @pytest.mark.parametrize("flags", [0, 4])
    @pytest.mark.parametrize("step", [1, 2, 3])
    def test_fragments_of_one_byte(self, victim, flags, step):
        begin = time.process_time()
        for base in range(1, 60_000, 60):
            chunks = [
                data_chunk((victim.tsn + step * (base + n)) & 0xFFFFFFFF, b"x", flags=flags)
                for n in range(60)
            ]
            victim.arrive(*chunks)
        receiver = victim.b.association._inbound.receiver
        assert receiver._held <= 1024 * 1024 + OVERRUN + FRAGMENT_COST
        assert len(receiver._ranges) <= MAX_RANGES
        assert time.process_time() - begin < 5.0

    def test_a_flood_that_nobody_reads(self, victim):
        victim.b.reads = False
        for number in range(3000):
            chunk = data_chunk((victim.tsn + number) & 0xFFFFFFFF, bytes(1100), ssn=number & 0xFFFF)
            victim.arrive(chunk)
            victim.flush()
        assert victim.b.unread <= 1024 * 1024 + OVERRUN

    @pytest.mark.parametrize("size", [8, 32, 1100])
    @pytest.mark.parametrize("flags", [0, 2, 3])
    def test_what_fills_a_gap_is_bounded_too(self, victim, size, flags):
        """The gap is never closed: one chunk far ahead makes all that follow the ones that it waits for."""
        victim.b.reads = False
        tsn, ssn, most = victim.tsn, 0, 0
        # Whole messages, up to where they cost as much as they may.
        for _ in range(32_500 if size < 100 else 0):
            victim.arrive(data_chunk(tsn & 0xFFFFFFFF, bytes(size), ssn=ssn & 0xFFFF))
            tsn, ssn = tsn + 1, ssn + 1
            victim.b.dispatch(victim.now)
        victim.arrive(data_chunk((tsn + 30_000) & 0xFFFFFFFF, b"x", stream_id=2, flags=2))
        receiver = victim.b.association._inbound.receiver
        for number in range(20_000):
            stream_id = 3 + number if flags == 2 else 1
            chunk = data_chunk(
                tsn & 0xFFFFFFFF, bytes(1100), ssn=ssn & 0xFFFF, stream_id=stream_id, flags=flags
            )
            victim.arrive(chunk)
            victim.b.dispatch(victim.now)
            if victim.b.ended is not None:
                break
            tsn, ssn = tsn + 1, ssn + (flags == 3)
            most = max(most, receiver._held + receiver.unread)
        assert most <= HOSTILE_LIMIT

    def test_many_streams_with_a_fragment_each(self, victim):
        for number in range(30_000):
            chunk = data_chunk((victim.tsn + number) & 0xFFFFFFFF, b"x", flags=2, stream_id=number)
            victim.arrive(chunk)
        assert victim.b.association._inbound.receiver._held <= 1024 * 1024 + OVERRUN + FRAGMENT_COST
        assert len(victim.b.association._inbound.receiver._streams) < 18_000

    def test_sacks_for_data_never_sent(self, victim):
        sender = victim.b.association._sender
        before = sender.peer_window
        for cumulative in (sender.last_tsn + 1, sender.last_tsn + 2**31 - 2, sender.last_tsn - 5):
            value = struct.pack("!IIHH", cumulative & 0xFFFFFFFF, 7, 0, 0)
            victim.arrive(encode_chunk(ChunkType.SACK, value))
        for gap in ((1, 1), (2, 1), (0, 0), (5, 65535)):
            value = struct.pack("!IIHHHH", sender.last_tsn, 7, 1, 0, *gap)
            victim.arrive(encode_chunk(ChunkType.SACK, value))
        assert sender.peer_window == before
        victim.send(victim.b, 1, [b"x"])

    def test_gap_blocks_that_change_all_the_time(self):
        pair = Pair().connect()
        pair.b.path.loss = 1.0
        for _ in range(200):
            pair.b.association.send(1, 53, bytes(16384))
        sender = pair.b.association._sender
        sender.congestion.window = 4 * 1024 * 1024
        pair.flush()
        for _ in range(60):
            pair.b.association.transmit(pair.now)
        in_flight = len(sender._flight._packets)
        assert in_flight > 500
        writer = PacketWriter(5000, 5000, pair.b.association._inbound.handshake.tag)
        begin = time.process_time()
        for number in range(2000):
            first = 2 + number % 2
            gaps = [(first + 4 * n, first + 4 * n + 1) for n in range(in_flight // 4 - 2)]
            value = struct.pack("!IIHH", sender._flight.acked & 0xFFFFFFFF, 2**32 - 1, len(gaps), 0)
            value += b"".join(struct.pack("!HH", *gap) for gap in gaps)
            pair.b.association.receive(writer.build([encode_chunk(ChunkType.SACK, value)]), pair.now)
        assert time.process_time() - begin < 3.0
        pair.b.association.handle_timer(pair.now + 1)
        pair.b.association.handle_timer(pair.now + 3)

    def test_window_lies(self, victim):
        for window in (2**32 - 1, 0, 1, 2**32 - 1):
            value = struct.pack(
                "!IIHH", victim.b.association._sender._flight.acked & 0xFFFFFFFF, window, 0, 0
            )
            victim.arrive(encode_chunk(ChunkType.SACK, value))
        victim.send(victim.b, 1, [bytes(100_000)])

    def test_floods_are_answered_in_part(self, victim):
        association = victim.b.association
        peer_tag = victim.a.association._inbound.handshake.tag
        init = PacketWriter(5000, 5000, 0).build([Init(peer_tag, 1, 1, 1, 1).encode(ChunkType.INIT)])
        heartbeat = encode_chunk(ChunkType.HEARTBEAT, bytes(60))
        number = association._inbound.resetter._next_peer_number
        echo = encode_chunk(ChunkType.COOKIE_ECHO, bytes(80))
        for turn in range(500):
            association.receive(init, 0.0)
            request = struct.pack("!HHIIIH", 13, 18, (number + turn) & 0xFFFFFFFF, 0, victim.tsn + 5, turn)
            victim.arrive(heartbeat, echo, encode_chunk(ChunkType.RE_CONFIG, request))
        assert len(association._transmitter._packets) <= MAX_CONTROL_CHUNKS
        assert len(association._transmitter._chunks) <= MAX_CONTROL_CHUNKS + 1
        assert len(association._inbound.resetter.deferred) <= 500
        assert sum(map(len, association.transmit(0.0))) < 32 * 1024

    @pytest.mark.parametrize("is_live", [True, False])
    def test_strangers_that_begin_over_and_over(self, victim, is_live):
        association = victim.b.association if is_live else Association(AssociationSettings())
        writer = PacketWriter(5000, 5000, 0)
        begin = time.process_time()
        for tag in range(1, 5000):
            init = Init(tag, 2**32 - 1, 65535, 65535, tag).encode(ChunkType.INIT)
            association.receive(writer.build([init]), victim.now)
        assert time.process_time() - begin < 2.0
        packets = association.transmit(victim.now)
        # A live association has its peer; one that waits for a peer keeps nothing of those who ask.
        assert len(packets) == (0 if is_live else MAX_CONTROL_CHUNKS)
        assert is_live or association._inbound.handshake.peer is None
        if is_live:
            victim.send(victim.a, 1, [b"alive"])

    @pytest.mark.parametrize("kind", [ChunkType.ABORT, ChunkType.SHUTDOWN_COMPLETE])
    @pytest.mark.parametrize("flags", [0, 1])
    def test_ends_with_forged_tags(self, victim, kind, flags):
        own, peer = (end.association._inbound.handshake.tag for end in (victim.b, victim.a))
        # A reflected tag is the peer's, any other one is ours.
        right = peer if flags else own
        for tag in {0, 1, peer, own ^ 1, peer ^ 1} - {right}:
            packet = PacketWriter(5000, 5000, tag).build([encode_chunk(kind, flags=flags)])
            victim.b.association.receive(packet, victim.now)
        victim.send(victim.a, 1, [b"alive"])

    def test_a_flood_of_tiny_messages_does_not_fill_memory(self, victim):
        victim.b.reads = False
        body = struct.Struct("!BBHIHHI4s")
        tsn, ssn = victim.tsn, 0
        for _ in range(5000):
            chunks = []
            for _ in range(57):
                chunks.append(body.pack(0, 3, 17, tsn & 0xFFFFFFFF, 1, ssn & 0xFFFF, 53, b"x"))
                tsn, ssn = tsn + 1, ssn + 1
            victim.arrive(b"".join(chunks))
            victim.b.dispatch(victim.now)
        assert len(victim.b.received[1]) == victim.b.unread <= 1024 * 1024 // FREE_SHARE + 57

    def test_forward_tsn_with_many_streams_costs_little(self, victim):
        begin = time.process_time()
        for turn in range(200):
            skipped = b"".join(struct.pack("!HH", n, (turn * 32767) & 0xFFFF) for n in range(280))
            value = struct.pack("!I", (victim.tsn + turn) & 0xFFFFFFFF) + skipped
            victim.arrive(encode_chunk(ChunkType.FORWARD_TSN, value))
        assert time.process_time() - begin < 2.0

    @pytest.mark.parametrize("length", [0, 1, 2, 3])
    def test_chunks_without_length(self, victim, length):
        victim.arrive(struct.pack("!BBH", 0, 3, length) + bytes(20))
        victim.arrive(struct.pack("!BBH", 5, 3, length))
        victim.send(victim.a, 1, [b"alive"])

    def test_data_without_data(self, victim):
        victim.arrive(data_chunk(victim.tsn, b"") + bytes(4))
        victim.flush()
        assert victim.b.ended.reason == "the peer sent DATA without data"

    def test_init_in_company_is_ignored(self):
        association = Association(AssociationSettings())
        chunks = [Init(7, 1, 1, 1, 1).encode(ChunkType.INIT), encode_chunk(ChunkType.COOKIE_ACK)]
        association.receive(PacketWriter(5000, 5000, 0).build(chunks), 0.0)
        assert association.transmit(0.0) == []

    def test_a_forged_cookie(self):
        pair = Pair(Path(drops=lambda packet, number: packet[12] == ChunkType.COOKIE_ECHO))
        echoes = []
        pair.observe = lambda end, packet: echoes.append(packet) if packet[12] == 10 else None
        pair.a.association.connect(0.0)
        pair.run(lambda: bool(echoes))
        writer = PacketWriter(5000, 5000, pair.b.association._inbound.handshake.tag)
        cookie = echoes[0][12:]
        for at in range(4, len(cookie)):
            forged = cookie[:at] + bytes([cookie[at] ^ 1]) + cookie[at + 1 :]
            pair.b.association.receive(writer.build([forged]), pair.now)
            assert pair.b.association.state is State.CLOSED
        pair.b.association.receive(echoes[0], pair.now)
        assert pair.b.association.state is State.ESTABLISHED

    @pytest.mark.parametrize("size", [0, 1, 100, 1140, 1150, 16000])
    def test_heartbeats_of_any_size(self, victim, size):
        victim.arrive(encode_chunk(ChunkType.HEARTBEAT, bytes(size)))
        assert all(len(packet) <= 1160 for packet in victim.b.association.transmit(victim.now))

    @pytest.mark.parametrize(
        "value",
        [b"", b"\0", b"\0\0\0\0", b"\xff\xff\0\4", b"\0\x0c\xff\xff", b"\0\x0c\0\x08\xff\xfe\xfd\xfc"],
    )
    @pytest.mark.parametrize("kind", [ChunkType.ABORT, ChunkType.ERROR])
    def test_aborts_and_errors_with_junk(self, victim, kind, value):
        victim.arrive(encode_chunk(kind, value))
        victim.flush()
        assert (victim.b.ended is not None) == (kind is ChunkType.ABORT)

    def test_a_stream_that_can_not_be(self, victim):
        victim.arrive(data_chunk(victim.tsn, b"x", stream_id=65535))
        packets = victim.b.association.transmit(victim.now + 1.0)
        assert encode_chunk(ChunkType.ERROR, b"\0\1\0\x08\xff\xff\0\0") in packets[0]
        assert victim.b.association._inbound.receiver.cumulative_tsn == victim.tsn


class TestMemoryOfStreams:
    """What is kept of a stream takes more than it takes to name one, or to send a byte on it."""

    LIMIT = 3 * 1024 * 1024
    """Bytes: three windows."""

    @pytest.fixture
    def measured(self, victim):
        tracemalloc.start()
        yield victim
        tracemalloc.stop()

    def kept(self, victim):
        victim.b.dispatch(victim.now)
        victim.b.association.transmit(victim.now)
        victim.b.received.clear()
        return tracemalloc.get_traced_memory()[0]

    def test_all_are_skipped(self, measured):
        for turn, first in enumerate(range(0, 65535, 250)):
            skipped = b"".join(
                struct.pack("!HH", number, 300) for number in range(first, min(first + 250, 65535))
            )
            value = struct.pack("!I", (measured.tsn + turn) & 0xFFFFFFFF) + skipped
            measured.arrive(encode_chunk(ChunkType.FORWARD_TSN, value))
        assert self.kept(measured) < self.LIMIT

    @pytest.mark.parametrize(("flags", "ssn"), [(0, 5), (1, 0), (2, 0), (4, 0), (3, 300)])
    def test_something_waits_on_all(self, measured, flags, ssn):
        body = struct.Struct("!BBHIHHI4s")
        for first in range(0, 65500, 50):
            measured.arrive(
                b"".join(
                    body.pack(0, flags, 17, (measured.tsn + number) & 0xFFFFFFFF, number, ssn, 53, b"x")
                    for number in range(first, first + 50)
                )
            )
            measured.b.dispatch(measured.now)
        assert self.kept(measured) < self.LIMIT
        assert not measured.b.ended

    def test_the_end_of_all_waits(self, measured):
        number = measured.b.association._inbound.resetter._next_peer_number
        for turn, first in enumerate(range(0, 65500, 500)):
            value = struct.pack("!HHIII", 13, 16 + 2 * 500, (number + turn) & 0xFFFFFFFF, 0, measured.tsn + 9)
            value += struct.pack("!500H", *range(first, first + 500))
            measured.arrive(encode_chunk(ChunkType.RE_CONFIG, value))
        assert self.kept(measured) < self.LIMIT
