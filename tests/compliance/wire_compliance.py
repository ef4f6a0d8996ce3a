"""What an engine has to do that speaks WebRTC on the wire: withstand packets that nobody should send."""

import asyncio
import contextlib
import logging
import random
import socket
import struct

import pytest
from aiortc.rtcsctptransport import (
    SCTP_DATA_FIRST_FRAG,
    SCTP_DATA_LAST_FRAG,
    WEBRTC_DCEP,
    DataChunk,
    serialize_packet,
)

from tests.compliance.engine_compliance import EngineCompliance, message
from tests.compliance.engine_ends import connected_ends, start, two_ends
from webrtc_transport.engine.aiortc_stack import AiortcEngine
from webrtc_transport.errors import ConnectionClosed, ConnectionEnded, EngineError

HEARTBEAT, ABORT, SACK, SHUTDOWN, ERROR, INIT, RECONFIG = 4, 6, 3, 7, 9, 1, 130


class RawChunk:
    """A chunk whose length field and value are what the attacker wants."""

    def __init__(self, kind, value, length=None):
        self._packed = struct.pack("!BBH", kind, 0, len(value) + 4 if length is None else length) + value

    def __bytes__(self):
        return self._packed + bytes(-len(self._packed) % 4)


class Attacker:
    """A peer of aiortc that sends what it is told to."""

    def __init__(self, end):
        self._stack = end.peer._stack
        self._sctp = self._stack._sctp

    async def send(self, *chunks):
        """Send chunks in one packet, with the right ports, tag and checksum."""
        joined = RawChunk(0, b"")
        joined._packed = b"".join(map(bytes, chunks))
        sctp = self._sctp
        packet = serialize_packet(sctp._local_port, sctp._remote_port, sctp._remote_verification_tag, joined)
        await self._stack._dtls._send_data(packet)

    def data(
        self,
        user_data,
        *,
        stream_id=1000,
        protocol=53,
        flags=SCTP_DATA_FIRST_FRAG | SCTP_DATA_LAST_FRAG,
        skip=0,
    ):
        """The next DATA chunk, ``skip`` sequence numbers further on."""
        chunk = DataChunk(flags)
        self._sctp._local_tsn += skip
        chunk.tsn = self._sctp._local_tsn
        self._sctp._local_tsn += 1
        chunk.stream_id, chunk.protocol, chunk.user_data = stream_id, protocol, user_data
        return chunk

    def open(self, stream_id, label=b""):
        """A DATA_CHANNEL_OPEN (RFC 8832, section 5.1)."""
        payload = struct.pack("!BBHLHH", 3, 0, 0, 0, len(label), 0) + label
        return self.data(payload, stream_id=stream_id, protocol=WEBRTC_DCEP)


async def open_an_id_in_use(attacker):
    await attacker.send(attacker.open(1000), attacker.open(1000))


async def label_of_bad_utf8(attacker):
    await attacker.send(attacker.open(1000, b"\xff\xfe"))


async def text_of_bad_utf8(attacker):
    await attacker.send(attacker.open(1000), attacker.data(b"\xff\xfe", protocol=51))


async def parameter_of_no_length(attacker):
    for kind in (HEARTBEAT, ABORT, ERROR, RECONFIG):
        await attacker.send(RawChunk(kind, b"\x00\x01\x00\x00" + bytes(8)))


async def init_parameter_of_no_length(attacker):
    await attacker.send(RawChunk(INIT, bytes(16) + b"\x80\x08\x00\x00"))


async def gaps_that_count_to_millions(attacker):
    gaps = struct.pack("!HH", 1, 65535) * 280
    await attacker.send(
        RawChunk(SACK, struct.pack("!LLHH", attacker._sctp._last_received_tsn, 0, 280, 0) + gaps)
    )


async def gaps_that_are_not_there(attacker):
    await attacker.send(RawChunk(SACK, struct.pack("!LLHH", 0, 0, 9, 9)))


async def chunk_longer_than_the_packet(attacker):
    await attacker.send(RawChunk(HEARTBEAT, bytes(8), length=4000))


async def chunk_shorter_than_its_header(attacker):
    await attacker.send(RawChunk(HEARTBEAT, bytes(8), length=0))


async def data_without_a_header(attacker):
    await attacker.send(RawChunk(0, b"ab"))


async def reset_of_half_an_id(attacker):
    await attacker.send(RawChunk(RECONFIG, struct.pack("!HHLLLB", 13, 17, 1, 1, 0, 7)))


async def init_among_others(attacker):
    await attacker.send(RawChunk(INIT, bytes(16)), RawChunk(HEARTBEAT, b""))


async def shutdown_twice(attacker):
    await attacker.send(RawChunk(SHUTDOWN, bytes(4)), RawChunk(SHUTDOWN, bytes(4)))


async def message_without_end(attacker):
    fragment = bytes(1150)
    for number in range(8 * 1024 * 1024 // len(fragment)):
        await attacker.send(attacker.data(fragment, flags=SCTP_DATA_FIRST_FRAG if number == 0 else 0))
        if number % 50 == 0:
            await asyncio.sleep(0)


async def noise(attacker):
    rng = random.Random(0)
    for kind in range(256):
        await attacker.send(RawChunk(kind, rng.randbytes(rng.randrange(40))))


ATTACKS = [
    open_an_id_in_use,
    label_of_bad_utf8,
    text_of_bad_utf8,
    parameter_of_no_length,
    init_parameter_of_no_length,
    gaps_that_count_to_millions,
    gaps_that_are_not_there,
    chunk_longer_than_the_packet,
    chunk_shorter_than_its_header,
    data_without_a_header,
    reset_of_half_an_id,
    init_among_others,
    shutdown_twice,
    message_without_end,
    noise,
]


class WireCompliance(EngineCompliance):
    """Subclass this instead of ``EngineCompliance``."""

    async def test_packets_of_strangers_do_no_harm(self, caplog):
        rng = random.Random(0)
        hello = bytes.fromhex("16fefd0000000000000000") + (64).to_bytes(2) + rng.randbytes(64)
        alert = bytes.fromhex("15fefd00000000000000000002") + b"\x02\x28"
        check = bytes.fromhex("00010000") + bytes.fromhex("2112a442") + rng.randbytes(12)
        packets = [rng.randbytes(rng.randrange(1500)) for _ in range(50)]
        packets += [bytes([first]) + rng.randbytes(60) for first in range(0, 256, 3)]
        packets += [hello, alert, check, b"", hello[:5], check[:19]]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            async with two_ends(self.engine()) as (offerer, answerer):

                def disturb(_phase):
                    for end in (offerer, answerer):
                        for candidate in filter(None, end.candidates):
                            for packet in packets:
                                stranger.sendto(packet, (candidate.address, candidate.port))

                offerer.on_phase_told = answerer.on_phase_told = disturb
                start(offerer, answerer)
                await offerer.journal.until(lambda: offerer.is_connected and answerer.is_connected)
                there = offerer.open()
                there.channel.send(message(1))
                await offerer.journal.until(lambda: answerer.inbound and answerer.inbound[0].received)
        assert answerer.inbound[0].messages == [message(1)]
        assert_quiet(caplog)

    @pytest.mark.parametrize("attack", ATTACKS)
    async def test_a_hostile_peer_ends_at_most_its_own_connection(self, attack, caplog):
        async with (
            connected_ends(self.engine(), other_engine=AiortcEngine()) as (victim, attacker),
            connected_ends(self.engine()) as (healthy, other),
        ):
            # A dead connection takes no more packets.
            with contextlib.suppress(ConnectionError):
                await attack(Attacker(attacker))
            await self._is_unharmed(healthy, other)
            # What becomes of the victim is known once a message of an honest end arrives, or its end is told.
            with contextlib.suppress(ConnectionEnded):
                victim.open()
            await victim.journal.until(lambda: victim.closed or attacker.inbound)
            assert all(isinstance(reason, EngineError | ConnectionClosed) for reason in victim.closed)
            await self._is_unharmed(healthy, other)
        assert_quiet(caplog)

    async def _is_unharmed(self, healthy, other):
        there = healthy.open()
        there.channel.send(b"unharmed")
        arrived = lambda: [record for record in other.inbound if record.channel.id == there.channel.id]  # noqa: E731
        elapsed = await healthy.journal.until(lambda: arrived() and arrived()[0].messages == [b"unharmed"])
        assert elapsed < 1


def assert_quiet(caplog):
    """Check that nothing was logged that a user sees at the default level."""
    shown = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    # asyncio's debug mode tells of a slow machine.
    assert [text for text in shown if not text.startswith("Executing ")] == []
