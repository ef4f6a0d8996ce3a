"""Two stacks wired to each other without a network, so that packets can be lost as a test wants it."""

import asyncio
import contextlib
import random
from dataclasses import replace

import pytest
from OpenSSL import SSL

from tests.compliance.engine_ends import Journal, nothing_left, settings
from tests.webrtc_transport.engine.stack_ends import ChannelRecords
from webrtc_transport.engine import aiortc_stack
from webrtc_transport.engine.aiortc_stack import SENTINEL_ID, AiortcEngine, AiortcStack
from webrtc_transport.engine.description import answer, describe
from webrtc_transport.errors import ConnectionClosed, DtlsFailed, EngineError, SctpFailed, TooManyStreams
from webrtc_transport.protocol.limits import MAX_EARLY_BYTES
from webrtc_transport.protocol.sctp.data_channel import Open, PayloadProtocol
from webrtc_transport.protocol.sdp import Fingerprint
from webrtc_transport.protocol.stun import PacketKind, classify

pytestmark = pytest.mark.anyio


class End(ChannelRecords):
    """A stack, and what it told."""

    def __init__(self, journal, send, local, remote, *, offerer, **changes):
        self.journal = journal
        self.inbound, self.closed = [], []
        self.stack = AiortcStack(send, offerer, remote, settings(offerer=offerer, **changes), self)
        self.peer = self.stack


class Wire:
    """Carries packets between two stacks, but for those that ``loses`` says."""

    def __init__(self, *, offer_changes=None, answer_changes=None, **changes):
        self.journal = Journal()
        self.loses = lambda _packet: False
        self._loop = asyncio.get_running_loop()
        offer = describe(settings(offerer=True))
        reply = answer(describe(settings(offerer=False)), offer)
        offer, reply = replace(offer, **(offer_changes or {})), replace(reply, **(answer_changes or {}))
        self.server = End(self.journal, self._to_client, offer, reply, offerer=True, **changes)
        self.client = End(self.journal, self._to_server, reply, offer, offerer=False, **changes)

    def _to_client(self, packets, **_options):
        self._carry(packets, self.client)

    def _to_server(self, packets, **_options):
        self._carry(packets, self.server)

    def _carry(self, packets, end):
        for packet in packets:
            assert classify(packet) is PacketKind.DTLS
            if not self.loses(packet):
                self._loop.call_soon(end.stack.packet_received, packet)

    @property
    def ends(self):
        return self.server, self.client

    async def shake_hands(self):
        await asyncio.gather(*(end.stack.handshake() for end in self.ends))

    async def connect(self):
        await self.shake_hands()
        await asyncio.gather(*(end.stack.associate() for end in self.ends))


@pytest.fixture
async def wire():
    async with wired() as wire:
        yield wire


@contextlib.asynccontextmanager
async def wired(**options):
    async with nothing_left():
        wire = Wire(**options)
        try:
            async with asyncio.timeout(30):
                yield wire
        finally:
            for end in wire.ends:
                await end.stack.aclose()


def outcome(wire, end):
    """Why an end is over."""
    assert end.stack.ended.done()
    return end.stack.ended.result()


# --- setting up ------------------------------------------------------------------------------------------------------


async def test_both_ends_connect(wire):
    await wire.connect()
    there = wire.client.open(label="a")
    there.channel.send(b"hello")
    await wire.journal.until(lambda: wire.server.inbound and wire.server.inbound[0].messages == [b"hello"])
    assert (there.channel.id, wire.server.open().channel.id) == (0, 1)


def test_the_engine_has_its_name():
    assert AiortcEngine.name == "aiortc"


@pytest.mark.parametrize("lost", [0, 3])
async def test_a_lost_flight_is_repeated(wire, lost):
    packets = []

    def loses(packet):
        packets.append(packet)
        return len(packets) == lost + 1

    wire.loses = loses
    await wire.connect()


async def test_a_wrong_certificate_is_refused_and_the_peer_is_told():
    wrong = {"fingerprints": (Fingerprint("sha-256", bytes(32)),)}
    async with wired(offer_changes=wrong) as wire:
        server = asyncio.create_task(wire.server.stack.handshake())
        with pytest.raises(DtlsFailed, match="certificate does not match"):
            await wire.client.stack.handshake()
        await server
        with pytest.raises(SctpFailed, match="the peer closed the connection"):
            await wire.server.stack.associate()


async def test_garbage_instead_of_a_handshake_fails_by_name(wire):
    shaking = asyncio.create_task(wire.client.stack.handshake())
    await asyncio.sleep(0)
    # A fatal alert in the clear, as it can be sent before there are keys.
    wire.client.stack.packet_received(bytes.fromhex("15fefd000000000000000000020228"))
    with pytest.raises(DtlsFailed):
        await shaking


async def test_an_error_of_openssl_during_the_handshake_is_translated(wire, monkeypatch):
    async def fail(_parameters):
        raise SSL.Error([("SSL routines", "", "read timeout expired")])

    monkeypatch.setattr(wire.client.stack._dtls, "start", fail)
    with pytest.raises(DtlsFailed, match="read timeout expired"):
        await wire.client.stack.handshake()


async def test_the_association_survives_the_loss_of_both_init_acks(wire, monkeypatch):
    # aiortc alone would stay in COOKIE-WAIT at both ends: it repeats the INIT with a tag that nobody expects.
    await wire.shake_hands()
    lost = {id(end): 0 for end in wire.ends}
    for end in wire.ends:
        end.stack._sctp._rto = 0.1
        passes = end.stack._sctp_pipe._send_data

        async def send(data, end=end, passes=passes):
            if data[12] == 2 and lost[id(end)] == 0:
                lost[id(end)] += 1
                return
            await passes(data)

        monkeypatch.setattr(end.stack._sctp_pipe, "_send_data", send)
    async with asyncio.timeout(5):
        await asyncio.gather(*(end.stack.associate() for end in wire.ends))
    assert list(lost.values()) == [1, 1]


async def test_an_association_that_nobody_answers_fails_by_name(wire):
    await wire.shake_hands()
    wire.client.stack._sctp._rto = 0.01
    with pytest.raises(SctpFailed, match="could not be set up"):
        await wire.client.stack.associate()


async def test_a_connection_that_ends_before_the_association_fails_by_name(wire):
    await wire.shake_hands()
    await wire.server.stack.aclose()
    with pytest.raises(SctpFailed, match="the peer closed the connection"):
        await wire.client.stack.associate()


# --- loss ------------------------------------------------------------------------------------------------------------


async def test_nothing_is_lost_on_a_lossy_path(wire):
    await wire.connect()
    rng = random.Random(1)
    for end in wire.ends:
        end.stack._sctp._rto = 0.1
    wire.loses = lambda _: rng.random() < 0.02
    there = wire.client.open()
    messages = [rng.randbytes(rng.randrange(1, 16384)) for _ in range(40)]
    for message in messages:
        there.channel.send(message)
    there.channel.close()
    await wire.journal.until(lambda: there.closed and wire.server.inbound[0].closed, 25)
    assert wire.server.inbound[0].messages == messages


# --- stream ids ------------------------------------------------------------------------------------------------------


async def test_a_peer_with_few_streams(wire):
    await wire.connect()
    for end in wire.ends:
        end.stack._sctp._inbound_streams_count = 16
    for round_ in range(20):
        records = [end.open() for end in wire.ends for _ in range(8)]
        with pytest.raises(TooManyStreams, match="all 8 stream ids"):
            wire.client.open()
        for record in records:
            record.channel.send(b"%d" % round_)
            record.channel.close()
        inbound = [*wire.server.inbound, *wire.client.inbound]
        await wire.journal.until(
            lambda records=records: (
                all(record.closed for record in (*records, *wire.server.inbound, *wire.client.inbound))
                and len(wire.server.inbound) == len(wire.client.inbound) == 8
            )
        )
        inbound = [*wire.server.inbound, *wire.client.inbound]
        assert all(record.messages == [b"%d" % round_] for record in inbound)
        assert sorted(record.channel.id for record in inbound) == list(range(16))
        wire.server.inbound.clear()
        wire.client.inbound.clear()
    assert not wire.server.stack._channels
    assert not wire.client.stack._channels


async def test_the_sentinel_is_no_ones_id(wire):
    await wire.connect()
    wire.client.stack._ids._next = SENTINEL_ID - 2
    assert [wire.client.open().channel.id for _ in range(2)] == [SENTINEL_ID - 2, 0]


async def test_more_early_messages_than_there_is_room_for_end_the_connection(wire):
    await wire.connect()
    there = wire.client.open(negotiated_id=0)
    for _ in range(MAX_EARLY_BYTES // 1000):
        there.channel.send(bytes(1000))
    ended = wire.server.stack.ended
    ended.add_done_callback(lambda _: wire.journal.notify())
    await wire.journal.until(ended.done)
    assert "more than 65536 bytes on channels that nobody has opened" in str(ended.result())


async def test_early_messages_come_before_the_close(wire):
    await wire.connect()
    there = wire.client.open(negotiated_id=0)
    there.channel.send(b"early")
    await wire.journal.until(lambda: wire.server.stack.statistics().unread == 5)
    back = wire.server.open(negotiated_id=0)
    assert back.messages == []
    back.channel._channel._setReadyState("closed")
    assert back.messages == [b"early"]
    assert back.closed == 1


async def test_text_is_told_as_bytes(wire):
    await wire.connect()
    there = wire.client.open()
    there.channel._channel.transport._data_channel_send(there.channel._channel, "grüß Gott")
    there.channel._channel.transport._data_channel_send(there.channel._channel, "")
    await wire.journal.until(lambda: wire.server.inbound and len(wire.server.inbound[0].messages) == 2)
    assert wire.server.inbound[0].messages == ["grüß Gott".encode(), b""]


async def test_a_channel_that_the_peer_opens_twice_is_one_channel(wire):
    await wire.connect()
    there = wire.client.open(label="once")
    await wire.journal.until(lambda: wire.server.inbound)
    # libdatachannel does so at times.
    opening = Open("twice").encode()
    await wire.client.stack._sctp._send(there.channel.id, PayloadProtocol.DCEP, opening)
    there.channel.send(b"hello")
    await wire.journal.until(lambda: wire.server.inbound[0].messages)
    (here,) = wire.server.inbound
    assert (here.channel.label, here.messages) == ("once", [b"hello"])
    there.channel.close()
    await wire.journal.until(lambda: there.closed and here.closed)
    # The stream's next life is no second opening.
    wire.client.stack._ids._next = there.channel.id
    assert wire.client.open(label="again").channel.id == there.channel.id
    await wire.journal.until(lambda: len(wire.server.inbound) == 2)
    assert wire.server.inbound[1].channel.label == "again"


async def test_a_channel_is_closed_at_the_earliest_time_that_was_asked_for(wire):
    await wire.connect()
    there = wire.client.open()
    await wire.journal.until(lambda: wire.server.inbound)
    there.channel.close(600)
    there.channel.close(0.05)
    there.channel.close(700)
    await wire.journal.until(lambda: there.closed)


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_close_before_anything_began(wire):
    await wire.client.stack.aclose()
    await wire.client.stack.aclose()


async def test_close_during_the_handshake(wire):
    task = asyncio.create_task(wire.client.stack.handshake())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await wire.client.stack.aclose()


async def test_the_end_is_told_when_only_the_abort_arrives(wire):
    await wire.connect()
    count = 0

    def all_but_the_first(_packet):
        nonlocal count
        count += 1
        return count > 1

    wire.loses = all_but_the_first
    await wire.server.stack.aclose()
    await wire.journal.until(wire.client.stack.ended.done)
    assert isinstance(outcome(wire, wire.client), ConnectionClosed)


async def test_the_end_is_told_when_only_the_close_notify_arrives(wire):
    await wire.connect()
    there = wire.client.open()
    count = 0

    def the_first(_packet):
        nonlocal count
        count += 1
        return count == 1

    wire.loses = the_first
    await wire.server.stack.aclose()
    await wire.journal.until(wire.client.stack.ended.done)
    assert isinstance(outcome(wire, wire.client), ConnectionClosed)
    # Nothing of it goes to the event loop's exception handler.
    there.channel.send(b"to nobody")
    there.channel.close()
    await asyncio.sleep(0)


async def test_a_retransmission_that_is_due_at_the_end_leaves_no_timer(wire):
    # nothing_left() of the fixture counts the timers.
    await wire.connect()
    there = wire.client.open()
    wire.loses = lambda _: True
    there.channel.send(bytes(10000))
    await wire.journal.until(lambda: wire.client.stack._sctp._t3_handle)
    wire.client.stack._sctp._t3_handle.cancel()
    wire.client.stack._sctp._t3_expired()
    await wire.client.stack.aclose()
    assert wire.client.stack._sctp._t3_handle is None


async def test_a_fatal_alert_of_the_peer_ends_the_connection_quietly(wire, caplog):
    await wire.connect()
    there = wire.client.open()

    def broken(*_args):
        raise SSL.Error([("SSL routines", "", "tlsv1 alert internal error")])

    # What OpenSSL does once the peer has sent a fatal alert; aiortc's own reading passes over it.
    wire.client.stack._dtls._ssl = type(
        "Ended", (), {"send": broken, "shutdown": broken, "bio_read": broken}
    )()
    there.channel.send(b"hello")
    await wire.journal.until(wire.client.stack.ended.done)
    assert isinstance(outcome(wire, wire.client), EngineError)
    assert "DTLS has ended" in str(outcome(wire, wire.client))
    await wire.client.stack.aclose()
    assert not [record for record in caplog.records if record.levelname not in ("DEBUG", "INFO")]


async def test_held_data_is_forgotten_at_the_end():
    async with wired(receive_buffer=64 * 1024) as wire:
        await wire.connect()
        wire.server.grants = False
        there = wire.client.open()
        for _ in range(16):
            there.channel.send(bytes(16384))
        await wire.journal.until(lambda: wire.server.stack._sctp_pipe._held)
        wire.server.stack.grant(64 * 1024)
        await wire.server.stack.aclose()
        await asyncio.sleep(0)
        assert not wire.server.stack._sctp_pipe._held


async def test_an_abort_passes_a_shut_valve():
    async with wired(receive_buffer=64 * 1024) as wire:
        await wire.connect()
        wire.server.grants = False
        there = wire.client.open()
        for _ in range(16):
            there.channel.send(bytes(16384))
        await wire.journal.until(lambda: wire.server.stack._sctp_pipe._held)
        await wire.client.stack.aclose()
        await wire.journal.until(wire.server.stack.ended.done, 1)


async def test_packets_after_the_end_are_dropped(wire):
    await wire.connect()
    sent = []
    wire.loses = lambda packet: sent.append(packet) or True
    there = wire.client.open()
    there.channel.send(b"late")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await wire.server.stack.aclose()
    before = wire.server.stack.statistics()
    for packet in sent:
        wire.server.stack.packet_received(packet)
    after = wire.server.stack.statistics()
    assert after.packets_received == before.packets_received
    assert after.packets_dropped > before.packets_dropped


@pytest.mark.parametrize("is_endless", [True, False])
async def test_whatever_aiortc_does_when_it_is_stopped_the_end_is_told_in_time(
    wire, is_endless, monkeypatch, caplog
):
    async def stop():
        if is_endless:
            await asyncio.Event().wait()
        raise OSError("broken")

    closed = asyncio.Event()
    with monkeypatch.context() as patch:
        patch.setattr(aiortc_stack, "CLOSE_TIMEOUT", 0.05)
        patch.setattr(wire.client.stack._sctp, "stop", stop)
        wire.client.stack.close(closed.set)
        async with asyncio.timeout(5):
            await closed.wait()
    told = "more than 0.05 s to close" if is_endless else "error while a peer connection was closed"
    assert told in caplog.text
