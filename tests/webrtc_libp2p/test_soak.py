"""Hosts that run for long: streams come all the time, and connections come and go."""

import ctypes
import gc
import logging
import sys
import time
from collections import Counter
from dataclasses import dataclass

import psutil
import pytest
import trio
from libp2p.network.config import ConnectionConfig
from libp2p.peer.peerinfo import PeerInfo

import webrtc_libp2p
import webrtc_transport
from tests.leaks import Census
from tests.webrtc_libp2p.hosts import DIRECT, direct, make_host, round_trip, running, until
from webrtc_libp2p import connection
from webrtc_libp2p.connection import READ_AFTER_CLOSE

pytestmark = pytest.mark.anyio

STREAM_INTERVAL = 0.1
CHURN_INTERVAL = 0.5
WARM_UP = 0.1
"""Of the time: what is made once, and kept, is made in it."""

LAST_ONES = Counter(WebRTCStream=4, Stream=4)
"""py-libp2p's loops keep the last stream that they took, until the next one comes: one at each end of a connection."""

BLOCKS_PER_STREAM, BLOCKS_PER_CONNECTION, BLOCKS_OF_CACHES = 0.5, 10, 8000
"""Python's blocks of memory that may be kept of each stream, of each connection, and of whatever else. 20,000 streams
kept none that could be measured, and 1100 connections 2 each; a stream that stays is 150."""

KEPT = 8 * 2**20
"""Bytes that a process may hold more at the end than after the warm-up, once malloc has given back what is free: holes
that it can't. Before that it holds some MiB more, for windows of 1 MiB and more come and go."""

ALONE = ConnectionConfig(min_connections=0, low_watermark=0)
"""A host that doesn't dial by itself whom it knows."""

OURS = (
    webrtc_libp2p.WebRTCConnection,
    webrtc_libp2p.WebRTCStream,
    webrtc_transport.Connection,
    webrtc_transport.Stream,
)


@dataclass
class Record:
    """What has been done so far."""

    streams: int = 0
    connections: int = 0
    slowest: float = 0.0
    """Seconds that a stream took at most."""


async def open_streams(host, peer, record):
    """A stream every 100 ms, each with an echo. A slow one holds up none that comes after it."""

    async def one(number):
        data = number.to_bytes(4) * 256
        started = time.perf_counter()
        with trio.fail_after(20):
            assert await round_trip(host, peer, data) == data
        record.slowest = max(record.slowest, time.perf_counter() - started)
        record.streams += 1

    number = 0
    async with trio.open_nursery() as nursery:
        due = trio.current_time()
        while True:
            nursery.start_soon(one, number)
            number += 1
            due += STREAM_INTERVAL
            await trio.sleep_until(due)


async def come_and_go(host, info, record):
    """Connect, use the connection, and end it."""
    swarm = host.get_network()
    with trio.fail_after(20):
        await host.connect(info)
        assert await round_trip(host, info.peer_id, b"x" * 5000) == b"x" * 5000
        await host.disconnect(info.peer_id)
        await until(lambda: not swarm.get_connections(info.peer_id))
    record.connections += 1


async def churn(host, info, record):
    """One connection after the other."""
    while True:
        await come_and_go(host, info, record)
        await trio.sleep(CHURN_INTERVAL)


class Memory:
    """What this process holds now, without what is free."""

    def __init__(self):
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        self.bytes = psutil.Process().memory_info().rss
        self.blocks = sys.getallocatedblocks()

    def __repr__(self):
        return f"{self.bytes / 2**20:.1f} MiB, {self.blocks} blocks"


def alive():
    """Objects of ours, by kind."""
    gc.collect()
    return Counter(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, OURS))


async def settled():
    """Objects of ours, once no stream waits any more for somebody to read it after its end."""
    await trio.sleep(connection.READ_AFTER_CLOSE + 1)
    return alive()


@pytest.mark.parametrize(
    ("seconds", "read_after_close"), [(10, 1), pytest.param(600, READ_AFTER_CLOSE, marks=pytest.mark.soak)]
)
async def test_streams_all_the_time_while_connections_come_and_go(
    server, seconds, read_after_close, monkeypatch, capsys
):
    monkeypatch.setattr(connection, "READ_AFTER_CLOSE", read_after_close)
    # Pytest would keep all that py-libp2p logs of each connection.
    monkeypatch.setattr(logging.getLogger("libp2p"), "propagate", False)
    listener, stable, by_port, by_server = (make_host(server.url, connection_config=ALONE) for _ in range(4))
    record = Record()
    async with running(listener, "/webrtc", DIRECT), running(stable), running(by_port), running(by_server):
        port = next(address for address in listener.get_addrs() if "webrtc-direct" in str(address))
        at_port, at_server = PeerInfo(listener.get_id(), [port]), direct(listener)
        await stable.connect(at_port)
        assert await round_trip(stable, listener.get_id(), b"x") == b"x"

        async def work(duration):
            with trio.move_on_after(duration):
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(open_streams, stable, listener.get_id(), record)
                    nursery.start_soon(churn, by_port, at_port, record)
                    nursery.start_soon(churn, by_server, at_server, record)
            for host in (by_port, by_server):
                await host.disconnect(listener.get_id())
            await until(lambda: len(listener.get_network().get_connections()) == 1, timeout=40)

        # A busy machine may come to neither in the warm-up.
        await come_and_go(by_port, at_port, record)
        await come_and_go(by_server, at_server, record)
        await work(seconds * WARM_UP)
        objects_before, before, memory_before = await settled(), Census(), Memory()
        streams_before, connections_before = record.streams, record.connections
        await work(seconds * (1 - WARM_UP))
        objects_after, after, memory_after = await settled(), Census(), Memory()
        with trio.move_on_after(30):
            while not after <= before:
                await trio.sleep(1)
                after = Census()
        with capsys.disabled():
            print(
                f"\n{seconds} s: {record.streams} streams, the slowest {record.slowest * 1000:.0f} ms; "
                f"{record.connections} connections\nbefore: {before}, {memory_before}, {dict(objects_before)}\n"
                f"after: {after}, {memory_after}, {dict(objects_after)}"
            )
        assert objects_after <= objects_before + LAST_ONES
        assert after <= before
        # A machine that is busy with others does less.
        assert record.streams > 0.3 * seconds / STREAM_INTERVAL
        assert record.connections > seconds / 4
        streams, connections = record.streams - streams_before, record.connections - connections_before
        blocks = BLOCKS_PER_STREAM * streams + BLOCKS_PER_CONNECTION * connections + BLOCKS_OF_CACHES
        assert memory_after.blocks < memory_before.blocks + blocks
        assert memory_after.bytes < memory_before.bytes + KEPT
