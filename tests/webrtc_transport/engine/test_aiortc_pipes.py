"""The pipes on their own, with aiortc's ends played by the test."""

import asyncio
import struct

import pytest
from aiortc.rtcsctptransport import (
    DataChunk,
    HeartbeatChunk,
    InitChunk,
    SackChunk,
    parse_packet,
    serialize_packet,
)
from google_crc32c import value as crc32c
from OpenSSL import SSL

from tests.compliance.engine_ends import nothing_left
from webrtc_transport.engine import aiortc_pipes
from webrtc_transport.engine.aiortc_pipes import FEED_BATCH, QUEUE_LIMIT, PacketPipe, SctpPipe
from webrtc_transport.errors import ConnectionClosed, EngineError
from webrtc_transport.protocol.limits import MAX_HELD_PACKETS_BYTES

pytestmark = pytest.mark.anyio

LIMIT = 1000


class Dtls:
    """An RTCDtlsTransport, as far as SctpPipe uses it."""

    def __init__(self, role="controlled"):
        self.state = "connected"
        self.transport = PacketPipe(lambda _data: None, is_server=role == "controlling")
        self.receiver = None
        self.sent = []
        self.error = None

    def _register_data_receiver(self, receiver):
        self.receiver = receiver

    def _unregister_data_receiver(self, receiver):
        self.receiver = None

    async def _send_data(self, data):
        if self.error is not None:
            raise self.error
        self.sent.append(data)


class Sctp:
    """An RTCSctpTransport, as far as SctpPipe uses it."""

    def __init__(self, pipe):
        self._advertised_rwnd = 1024 * 1024
        self._sack_misordered = set()
        self.received = []
        self.on_data = lambda _data: None
        self.pipe = pipe
        pipe._register_data_receiver(self)

    async def _handle_data(self, data):
        self.received.append(data)
        self.on_data(data)

    @property
    def tsns(self):
        """Sequence numbers of the data that arrived."""
        chunks = [chunk for packet in self.received for chunk in parse_packet(packet)[3]]
        return [chunk.tsn for chunk in chunks if isinstance(chunk, DataChunk)]


class Bench:
    def __init__(self):
        self.dtls = Dtls()
        self.reasons = []
        self.pipe = SctpPipe(self.dtls, LIMIT, self.reasons.append)
        self.sctp = Sctp(self.pipe)

    async def arrive(self, *chunks):
        await self.pipe._handle_data(packet(*chunks))


@pytest.fixture
async def bench():
    async with nothing_left():
        yield Bench()


def packet(*chunks):
    header = struct.pack("!HHL", 5000, 5000, 7)
    body = b"".join(map(bytes, chunks))
    return header + struct.pack("<L", crc32c(header + bytes(4) + body)) + body


def data(tsn, size=100):
    chunk = DataChunk(3)
    chunk.tsn, chunk.stream_id, chunk.user_data = tsn, 1, bytes(size)
    return chunk


async def turns(count=1):
    for _ in range(count):
        await asyncio.sleep(0)


# --- the pipe below DTLS ---------------------------------------------------------------------------------------------


async def test_the_role_of_dtls_follows_that_of_the_pipe():
    assert PacketPipe(lambda _: None, is_server=True).role == "controlling"
    assert PacketPipe(lambda _: None, is_server=False).role == "controlled"


async def test_packets_are_received_in_order():
    pipe = PacketPipe(lambda _: None, is_server=True)
    reader = asyncio.create_task(pipe._recv())
    await turns()
    for packet_ in (b"1", b"2", b"3"):
        pipe.feed(packet_)
    assert [await reader, await pipe._recv(), await pipe._recv()] == [b"1", b"2", b"3"]
    assert (pipe.packets_received, pipe.bytes_received) == (3, 3)


async def test_a_reader_that_is_cancelled_loses_nothing():
    pipe = PacketPipe(lambda _: None, is_server=True)
    reader = asyncio.create_task(pipe._recv())
    await turns()
    reader.cancel()
    pipe.feed(b"1")
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert await pipe._recv() == b"1"


async def test_what_was_sent_is_counted():
    sent = []
    pipe = PacketPipe(sent.append, is_server=True)
    await pipe._send(b"abc")
    assert sent == [b"abc"]
    assert (pipe.packets_sent, pipe.bytes_sent) == (1, 3)


async def test_the_queue_is_bounded():
    pipe = PacketPipe(lambda _: None, is_server=True)
    for _ in range(QUEUE_LIMIT + 5):
        pipe.feed(b"x")
    assert (pipe.packets_received, pipe.packets_dropped) == (QUEUE_LIMIT, 5)


async def test_after_the_end_nothing_is_read():
    pipe = PacketPipe(lambda _: None, is_server=True)
    pipe.feed(b"1")
    pipe.close()
    pipe.feed(b"2")
    with pytest.raises(ConnectionError):
        await pipe._recv()


async def test_the_end_wakes_a_reader():
    pipe = PacketPipe(lambda _: None, is_server=True)
    reader = asyncio.create_task(pipe._recv())
    await turns()
    pipe.close()
    with pytest.raises(ConnectionError):
        await reader


# --- the valve -------------------------------------------------------------------------------------------------------


async def test_data_passes_while_the_application_reads(bench):
    for tsn in range(50):
        await bench.arrive(data(tsn))
        bench.pipe.count_unread(100)
        bench.pipe.count_unread(-100)
    assert bench.sctp.tsns == list(range(50))
    assert bench.pipe.unread == 0


async def test_data_is_held_at_the_limit_and_fed_in_order_when_half_is_read(bench):
    bench.sctp.on_data = lambda _: bench.pipe.count_unread(100)
    for tsn in range(15):
        await bench.arrive(data(tsn))
    assert bench.sctp.tsns == list(range(10))
    bench.pipe.count_unread(-400)
    await turns(2)
    assert len(bench.sctp.tsns) == 10
    bench.pipe.count_unread(-100)
    await bench.arrive(data(15))
    await turns(2)
    assert bench.sctp.tsns == list(range(15))
    bench.pipe.count_unread(-1000)
    await turns(2)
    assert bench.sctp.tsns == list(range(16))


async def test_reading_while_it_is_fed(bench):
    bench.pipe.count_unread(LIMIT)
    for tsn in range(100):
        await bench.arrive(data(tsn))

    def read_at_once(_data):
        bench.pipe.count_unread(100)
        bench.pipe.count_unread(-100)

    bench.sctp.on_data = read_at_once
    bench.pipe.count_unread(-LIMIT)
    await turns(100 // FEED_BATCH + 2)
    assert bench.sctp.tsns == list(range(100))


async def test_feeding_lets_others_have_their_turn(bench):
    bench.pipe.count_unread(LIMIT)
    for tsn in range(3 * FEED_BATCH):
        await bench.arrive(data(tsn))
    bench.pipe.count_unread(-LIMIT)
    await turns(1)
    assert len(bench.sctp.tsns) == FEED_BATCH
    await turns(3)
    assert bench.sctp.tsns == list(range(3 * FEED_BATCH))


async def test_what_is_no_data_passes_a_shut_valve(bench):
    bench.pipe.count_unread(LIMIT)
    heartbeat = HeartbeatChunk()
    heartbeat.params.append((1, b"info"))
    await bench.arrive(SackChunk())
    await bench.arrive(heartbeat)
    assert len(bench.sctp.received) == 2


async def test_data_that_comes_with_an_acknowledgement_is_held_alone(bench):
    # Chromium's stack sends them together. The acknowledgement mustn't wait for the application.
    bench.pipe.count_unread(LIMIT)
    await bench.arrive(SackChunk(), data(1), data(2))
    assert bench.sctp.received == [packet(SackChunk())]
    bench.pipe.count_unread(-LIMIT)
    await turns(2)
    assert bench.sctp.tsns == [1, 2]


async def test_what_is_held_is_bounded(bench):
    bench.pipe.count_unread(LIMIT)
    size = len(packet(data(0, 1100)))
    count = MAX_HELD_PACKETS_BYTES // size
    for tsn in range(count + 3):
        await bench.arrive(data(tsn, 1100))
    assert bench.pipe.packets_dropped == 3
    bench.pipe.count_unread(-LIMIT)
    await turns(count // FEED_BATCH + 3)
    assert len(bench.sctp.tsns) == count


async def test_releasing_forgets_what_is_held(bench):
    bench.pipe.count_unread(LIMIT)
    await bench.arrive(data(1))
    bench.pipe.count_unread(-LIMIT)
    bench.pipe.release()
    await turns(2)
    assert bench.sctp.tsns == []


# --- what the peer may not do ----------------------------------------------------------------------------------------


async def test_a_malformed_packet_ends_the_association_and_nothing_is_passed_on(bench):
    await bench.pipe._handle_data(packet() + struct.pack("!BBHHH", 4, 0, 8, 1, 0))
    await bench.arrive(data(1))
    assert [type(reason) for reason in bench.reasons] == [EngineError]
    assert "a malformed SCTP packet: a parameter is shorter than its header" in str(bench.reasons[0])
    assert bench.sctp.received == []


@pytest.mark.parametrize("error", [AssertionError(), struct.error("unpack"), KeyError(5), ValueError("bad")])
async def test_what_aiortc_raises_ends_the_association(bench, error, caplog):
    def fail(_data):
        raise error

    bench.sctp.on_data = fail
    await bench.arrive(data(1))
    assert [type(reason) for reason in bench.reasons] == [EngineError]
    assert type(error).__name__ in str(bench.reasons[0])
    assert not [record for record in caplog.records if record.levelname not in ("DEBUG", "INFO")]


async def test_a_window_overrun_ends_the_association(bench):
    bench.sctp._advertised_rwnd = -aiortc_pipes.WINDOW_OVERRUN
    await bench.arrive(data(1))
    assert not bench.reasons
    bench.sctp._advertised_rwnd -= 1
    await bench.arrive(data(2))
    assert "far more than the announced window" in str(bench.reasons[0])


async def test_too_many_misordered_packets_end_the_association(bench):
    bench.sctp._sack_misordered = set(range(aiortc_pipes.MAX_MISORDERED + 1))
    await bench.arrive(data(1))
    assert "far more than the announced window" in str(bench.reasons[0])


async def test_a_shutdown_ends_the_association_in_order(bench):
    await bench.pipe._handle_data(packet(struct.pack("!BBHL", 7, 0, 8, 0)))
    assert [type(reason) for reason in bench.reasons] == [ConnectionClosed]
    assert len(bench.sctp.received) == 1


async def test_a_bad_checksum_with_a_shut_valve(bench):
    bench.pipe.count_unread(LIMIT)
    bad = packet(SackChunk(), data(1))
    await bench.pipe._handle_data(bad[:8] + bytes(4) + bad[12:])
    assert isinstance(bench.reasons[0], EngineError)


# --- sending ---------------------------------------------------------------------------------------------------------


async def test_a_repeated_init_carries_no_tag(bench):
    init = InitChunk()
    init.initiate_tag = 5
    await bench.pipe._send_data(serialize_packet(5000, 5000, 99, init))
    _, _, tag, (sent,) = parse_packet(bench.dtls.sent[0])
    assert tag == 0
    assert sent.initiate_tag == 5


async def test_other_packets_keep_their_tag(bench):
    await bench.pipe._send_data(packet(data(1)))
    assert bench.dtls.sent == [packet(data(1))]


async def test_after_the_end_nothing_is_sent(bench):
    bench.dtls.state = "closed"
    await bench.pipe._send_data(packet(data(1)))
    bench.dtls.state = "connected"
    bench.pipe.cut()
    await bench.pipe._send_data(packet(data(1)))
    assert bench.dtls.sent == []


async def test_a_dtls_connection_that_has_ended_ends_the_association(bench):
    bench.dtls.error = SSL.Error([("SSL routines", "", "tlsv1 alert internal error")])
    await bench.pipe._send_data(packet(data(1)))
    assert isinstance(bench.reasons[0], EngineError)
    assert "DTLS has ended" in str(bench.reasons[0])


async def test_what_sctp_asks_of_dtls(bench):
    assert bench.pipe.state == "connected"
    assert bench.pipe._role == "client"
    assert SctpPipe(Dtls("controlling"), LIMIT, bench.reasons.append)._role == "server"
    assert bench.dtls.receiver is bench.pipe
    bench.pipe._unregister_data_receiver(bench.sctp)
    assert bench.dtls.receiver is None
    await bench.arrive(data(1))
    assert bench.sctp.received == []
