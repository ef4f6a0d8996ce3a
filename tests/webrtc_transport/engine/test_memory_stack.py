"""What the compliance suite can't ask of every engine: faults, back-pressure to the byte, and two event loops."""

import asyncio
import time

import pytest

from tests.compliance.engine_compliance import MESSAGE, message
from tests.compliance.engine_ends import connected_ends, nothing_left, start, two_ends
from webrtc_transport.engine.memory_network import MemoryNetwork
from webrtc_transport.engine.memory_stack import MemoryEngine
from webrtc_transport.errors import ConnectionClosed, IceFailed
from webrtc_transport.plugins import engine_factory

pytestmark = pytest.mark.anyio


@pytest.fixture
async def network():
    async with nothing_left():
        yield MemoryNetwork()


def test_engines_share_a_network_unless_they_are_given_one():
    assert MemoryEngine().network is MemoryEngine().network
    network = MemoryNetwork()
    assert MemoryEngine(network).network is network


def test_the_engine_is_found_by_its_name():
    engine = engine_factory("memory")()
    assert isinstance(engine, MemoryEngine)
    assert engine.name == "memory"


async def test_peers_on_different_networks_do_not_meet(network, monkeypatch):
    monkeypatch.setattr("webrtc_transport.engine.memory_stack.CHECK_TIMEOUT", 0.2)
    async with two_ends(MemoryEngine(network), other_engine=MemoryEngine(MemoryNetwork())) as (
        offerer,
        answerer,
    ):
        start(offerer, answerer)
        await offerer.journal.until(lambda: offerer.closed and answerer.closed)
        for end in (offerer, answerer):
            assert isinstance(end.closed[0], IceFailed)
            assert end.phases == ["ice"]


async def test_the_set_up_takes_the_networks_time(network):
    network.delay = 0.05
    async with two_ends(MemoryEngine(network)) as (offerer, answerer):
        started = time.monotonic()
        start(offerer, answerer)
        await offerer.journal.until(lambda: offerer.is_connected and answerer.is_connected)
        # A round trip for ICE, and at least half of one for each of DTLS and SCTP.
        assert time.monotonic() - started > 0.19


async def test_a_cut_during_the_set_up_only_delays_it(network):
    async with two_ends(MemoryEngine(network)) as (offerer, answerer):
        offerer.on_phase_told = lambda phase: network.cut() if phase == "dtls" else None
        start(offerer, answerer)
        await offerer.journal.until(lambda: "dtls" in offerer.phases)
        await asyncio.sleep(0.05)
        assert not offerer.is_connected
        network.restore()
        await offerer.journal.until(lambda: offerer.is_connected and answerer.is_connected)


async def test_a_cut_shows_as_disconnected_and_loses_nothing(network):
    async with connected_ends(MemoryEngine(network), liveness_timeout=1.2) as (offerer, answerer):
        there = offerer.open()
        network.cut()
        there.channel.send(b"patience")
        await offerer.journal.until(lambda: offerer.phases[-1] == answerer.phases[-1] == "disconnected")
        assert not answerer.inbound[0].messages
        network.restore()
        await offerer.journal.until(lambda: offerer.phases[-1] == answerer.phases[-1] == "connected")
        await offerer.journal.until(
            lambda: answerer.inbound and answerer.inbound[0].messages == [b"patience"]
        )


async def test_the_network_may_end_connections(network):
    async with connected_ends(MemoryEngine(network)) as (offerer, answerer):
        network.close()
        await offerer.journal.until(lambda: offerer.closed and answerer.closed)
        for end in (offerer, answerer):
            assert isinstance(end.closed[0], ConnectionClosed)


async def test_unread_bytes_never_exceed_the_window_by_more_than_a_message(network):
    window = 64 * 1024
    engine = MemoryEngine(network)
    async with connected_ends(engine, answerer_grants=False, receive_buffer=window) as (offerer, answerer):
        records = [offerer.open() for _ in range(3)]
        for number in range(30):
            records[number % 3].channel.send(message(number))
        sent = lambda: sum(record.sent for record in records)  # noqa: E731
        await offerer.journal.until(lambda: answerer.peer.statistics().unread == window)
        for granted in range(1, 10):
            answerer.peer.grant(MESSAGE)
            await offerer.journal.until(lambda granted=granted: sent() == window + granted * MESSAGE)
            await offerer.journal.until(lambda: answerer.peer.statistics().unread == window)
        # A byte is enough for one more message.
        answerer.peer.grant(1)
        await offerer.journal.until(lambda: answerer.peer.statistics().unread == window - 1 + MESSAGE)


async def test_a_channel_waits_behind_another_when_the_window_is_full(network):
    # One window for all channels, as in SCTP.
    engine = MemoryEngine(network)
    async with connected_ends(engine, answerer_grants=False, receive_buffer=64 * 1024) as (offerer, answerer):
        first, second = offerer.open(), offerer.open()
        for number in range(8):
            first.channel.send(message(number))
        second.channel.send(b"behind")
        second.channel.close()
        await offerer.journal.until(lambda: answerer.peer.statistics().unread == 64 * 1024)
        assert not second.sent
        answerer.peer.grant(64 * 1024 + 1)
        await offerer.journal.until(lambda: answerer.inbound[1].messages == [b"behind"] and second.closed)


async def test_statistics_are_those_of_the_messages(network):
    async with connected_ends(MemoryEngine(network)) as (offerer, answerer):
        there = offerer.open()
        for size in (1, 10, 100):
            there.channel.send(bytes(size))
        await offerer.journal.until(lambda: answerer.inbound and answerer.inbound[0].received == 111)
        sent, received = offerer.peer.statistics(), answerer.peer.statistics()
        assert (sent.bytes_sent, sent.packets_sent, sent.packets_received) == (111, 3, 0)
        assert (received.bytes_received, received.packets_received, received.packets_dropped) == (111, 3, 0)


async def test_an_engine_survives_its_event_loop(network):
    # Peers belong to a loop, the network to none.
    engine = MemoryEngine(network)

    async def connect():
        async with connected_ends(engine) as (offerer, answerer):
            assert offerer.peer.candidate_pair.local == answerer.peer.candidate_pair.remote

    for _ in range(2):
        await asyncio.to_thread(asyncio.run, connect())
    await asyncio.get_running_loop().shutdown_default_executor()
    assert not network._ports
