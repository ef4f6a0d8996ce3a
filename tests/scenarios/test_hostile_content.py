"""A peer that proved who it is, and sends whatever it likes over its own DTLS: SCTP, DCEP and frames, at random.

What each packet costs is counted in calls of functions, which is the same on every machine.
"""

import contextlib
import random
import struct
import sys
from types import SimpleNamespace

import anyio
import pytest

from tests.logs import LOGGER, own_records
from tests.pairs import config, connected, serving
from tests.webrtc_transport.protocol.sctp.hostile import Adversary
from webrtc_transport.engine.dtls import DtlsError
from webrtc_transport.protocol.framing import Flag, encode_frame
from webrtc_transport.protocol.sctp.data_channel import ACK, Open, PayloadProtocol
from webrtc_transport.protocol.sctp.packet import PacketWriter, encode_chunk

WINDOW = 64 * 1024

CALLS = 5000
"""Calls for a packet, whatever is in it, and for what it brings about: at most the end of the connection, of which each
stream is told, or the messages that waited for one."""

CALLS_PER_BYTE = 15
"""The smallest chunk has 20 bytes, and may be a message, with a frame, on a stream that is made for it."""


class ContentAdversary(Adversary):
    """Makes packets for the end of a connection.

    :param peer: the stack of the other end, whose keys it has
    """

    def __init__(self, seed, victim, peer):
        self.rng = random.Random(seed)
        self.types = _UNLIKE_DATA
        self.victim = SimpleNamespace(association=victim._association)
        self.pair = SimpleNamespace(a=SimpleNamespace(association=peer._association))
        self.seen = []
        self.writer = PacketWriter(5000, 5000, victim._association._inbound.handshake.tag)
        self.tsn = 0
        self.ssns = {}
        self.begun = set()
        """Streams with a message that hasn't ended."""

    def packet(self):
        receiver = self.victim.association._inbound.receiver
        self.tsn = receiver.cumulative_tsn
        self.ssns = {stream_id: stream._next_ssn for stream_id, stream in receiver._streams.items()}
        self.begun = {
            stream_id for stream_id, stream in receiver._streams.items() if stream._parts is not None
        }
        if self.rng.random() < 0.1:
            return super().packet()
        count, chunks = self.rng.choice([1, 1, 2, 5, 20]), []
        while len(chunks) < count and sum(map(len, chunks)) < 1000:
            chunks.append(self.chunk())
        return self.writer.build(chunks)

    def chunk(self):
        # Most of it is in order, or nothing would ever get beyond SCTP.
        return super().chunk() if self.rng.random() < 0.15 else self._data()

    def _data(self):
        rng = self.rng
        # The fragments of a message follow each other (RFC 9260, section 6.9).
        stream_id = rng.choice([0, 1, 1, 2, 3, 3, 5, 7, rng.getrandbits(16)])
        if self.begun and rng.random() < 0.99:
            stream_id = min(self.begun)
        ssn = self.ssns.get(stream_id, 0)
        self.tsn = (self.tsn + 1) & 0xFFFFFFFF
        flags = self._flags_of(stream_id)
        if flags & 1:
            self.ssns[stream_id] = (ssn + 1) & 0xFFFF
        # In fragments come frames: a DATA_CHANNEL_OPEN in pieces would seldom be one.
        ppid, payload = self._opening() if flags & 3 == 3 and rng.random() < 0.2 else self._frames()
        value = struct.pack("!IHHI", self.tsn, stream_id, ssn, ppid) + (payload[:1300] or b"\0")
        return encode_chunk(0, value, flags=flags)

    def _flags_of(self, stream_id):
        """Whole messages, and fragments in their order; seldom others."""
        rng = self.rng
        if rng.random() < 0.005:
            return rng.getrandbits(4)
        is_begun = stream_id in self.begun
        ends = rng.random() < (0.5 if is_begun else 0.8)
        (self.begun.discard if ends else self.begun.add)(stream_id)
        return (0 if is_begun else 2) | ends | rng.choice([0, 0, 8])

    def _opening(self):
        rng = self.rng
        opening = Open("l" * rng.choice([0, 4, 200]), "", rng.random() < 0.9, rng.choice([0, 0, 0, 1, 2]))
        return PayloadProtocol.DCEP, self._spoilt(rng.choice([opening.encode(), opening.encode(), ACK]), 0.01)

    def _frames(self):
        rng = self.rng
        ppid = rng.choice([53] * 20 + [51, 56, 57, 0, rng.getrandbits(32)])
        frames = [self._frame() for _ in range(rng.choice([1, 1, 3, 30]))]
        return ppid, self._spoilt(b"".join(frames), 0.1)

    def _frame(self):
        rng = self.rng
        flag = rng.choice([None] * 8 + list(Flag))
        return encode_frame(rng.randbytes(rng.choice([0, 1, 1, 10, 300])), flag)

    def _spoilt(self, data, share):
        rng = self.rng
        if rng.random() < share and data:
            data = bytearray(data)
            data[rng.randrange(len(data))] = rng.getrandbits(8)
            data = bytes(data[: rng.randint(1, len(data))])
        return data


_UNLIKE_DATA = (1, 2, 3, 4, 5, 9, 10, 11, 130, 192, 63, 127, 191, 255)


class CallCount:
    """Counts the calls of functions in its block, Python's and C's."""

    def __enter__(self):
        self.calls = 0
        sys.setprofile(self._count)
        return self

    def _count(self, _frame, event, _argument):
        self.calls += event in ("call", "c_call")

    def __exit__(self, *_exc):
        sys.setprofile(None)


async def read_and_drop(stream):
    async with stream:
        async for _ in stream:
            pass


def encrypt(stack, packet):
    """The record of a packet; None once the connection is over."""
    with contextlib.suppress(DtlsError):
        return stack._dtls.send(packet)


async def attack(seed, count):
    """Send packets into one connection until it has ended; returns how many, the costs, and why it ended."""
    # Nobody answers what is said at the end.
    settings = config(receive_buffer=WINDOW, max_inbound_streams=20, close_timeout=0.05)
    costs = []
    async with (
        connected(dialer_settings=settings, listener_settings=settings) as pair,
        serving(pair.listener, read_and_drop),
    ):
        victim, peer = (end._link.peer._stack for end in (pair.listener, pair.dialer))
        adversary = ContentAdversary(seed, victim, peer)
        # The true peer hears nothing from now on: it would only wonder.
        peer.packet_received = lambda _data: None
        for number in range(count):
            packet = adversary.packet()
            record = encrypt(peer, packet)
            if record is None:
                break
            with CallCount() as counter:
                victim.packet_received(record)
                # What it brings about at the end of the turn.
                victim._flush()
            costs.append((counter.calls, len(packet)))
            assert victim._association.unread <= 2 * WINDOW + 64 * 1024
            if number % 7 == 0:
                await anyio.lowlevel.checkpoint()
            if victim._channels.is_ended:
                break
        with anyio.move_on_after(1):
            await pair.listener.wait_closed() if victim._channels.is_ended else None
        return costs, pair.listener.end_reason


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.anyio
@pytest.mark.parametrize("seed", range(3))
async def test_any_content_is_survived_or_ends_the_connection_by_name(seed, caplog):
    caplog.set_level("ERROR", LOGGER)
    total = 0
    for attempt in range(200):
        costs, reason = await attack(1000 * seed + attempt, 500)
        total += len(costs)
        assert all(calls <= CALLS + CALLS_PER_BYTE * size for calls, size in costs), max(costs)
        assert reason is None or str(reason)
        if total >= 400:
            break
    assert total >= 400
    assert not [record for record in own_records(caplog) if record.exc_info]
