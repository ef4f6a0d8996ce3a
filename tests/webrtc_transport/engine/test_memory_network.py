import asyncio
import threading
import time
from itertools import pairwise

import pytest

from tests.compliance.engine_ends import Journal, nothing_left
from webrtc_transport.engine.memory_network import MemoryNetwork, Message

pytestmark = pytest.mark.anyio


class Receiver:
    def __init__(self, network, address, journal):
        self.arrived, self.times, self.ends = [], [], 0
        self._journal = journal
        self.port = network.attach(address, self._receive, self._end)

    def _receive(self, packet):
        self.arrived.append(packet.stream_id)
        self.times.append(time.monotonic())
        self._journal.notify()

    def _end(self):
        self.ends += 1
        self._journal.notify()


class Link:
    """A sender and a receiver."""

    def __init__(self, **quality):
        self.network = MemoryNetwork(**quality)
        self.journal = Journal()
        self.a, self.b = (Receiver(self.network, address, self.journal) for address in "ab")

    def send(self, *numbers, repeat=True):
        for number in numbers:
            self.a.port.send("b", Message(number, b""), repeat=repeat)

    async def arrival(self, *numbers, within=5):
        return await self.journal.until(lambda: self.b.arrived == list(numbers), within)


@pytest.fixture
async def link():
    async with nothing_left():
        link = Link()
        yield link
        for end in (link.a, link.b):
            end.port.close()


async def test_packets_arrive_in_order_and_never_at_once(link):
    link.send(*range(100))
    assert link.b.arrived == []
    await link.arrival(*range(100))


async def test_delay(link):
    link.network.delay = 0.1
    link.send(1)
    assert 0.08 < await link.arrival(1) < 1


async def test_jitter_keeps_the_order(link):
    link.network.jitter = 0.05
    link.send(*range(50))
    assert await link.arrival(*range(50)) > 0.03


async def test_a_shorter_delay_keeps_the_order(link):
    link.network.delay = 0.1
    link.send(1)
    link.network.delay = 0
    link.send(2)
    assert await link.arrival(1, 2) > 0.08
    assert link.b.times[1] - link.b.times[0] < 0.08


async def test_loss_shows_as_delay(link):
    link.network.loss, link.network.retransmission = 0.5, 0.01
    link.send(*range(100))
    await link.arrival(*range(100))
    waits = [later - earlier for earlier, later in pairwise(link.b.times)]
    assert max(waits) > 0.005


async def test_the_same_seed_loses_the_same():
    latencies = []
    for _ in range(2):
        network = MemoryNetwork(jitter=0.1, loss=0.3, seed=7)
        latencies.append([network.latency(repeat=number % 2 == 0) for number in range(50)])
    assert latencies[0] == latencies[1]
    assert None in latencies[0]


async def test_drop_loses_what_is_sent_next(link):
    link.network.retransmission = 0.1
    link.network.drop(2)
    link.send(1, 2)
    assert 0.15 < await link.arrival(1, 2) < 1


async def test_what_is_not_repeated_is_lost(link):
    link.network.drop()
    link.send(1, repeat=False)
    link.send(2)
    await link.arrival(2)
    link.network.cut()
    link.send(3, repeat=False)
    link.network.restore()
    link.send(4)
    await link.arrival(2, 4)


async def test_a_cut_holds_everything_until_it_is_restored(link):
    link.network.cut()
    assert link.network.is_cut
    link.send(1, 2)
    await asyncio.sleep(0.05)
    assert link.b.arrived == []
    link.network.restore()
    link.send(3)
    await link.arrival(1, 2, 3)
    assert not link.network.is_cut


async def test_a_cut_soon_after_a_restore(link):
    link.network.cut()
    link.send(1)
    link.network.restore()
    link.network.cut()
    await asyncio.sleep(0.02)
    assert link.b.arrived == []
    link.network.restore()
    await link.arrival(1)


async def test_what_is_under_way_arrives_in_spite_of_a_cut(link):
    link.network.delay = 0.05
    link.send(1)
    link.network.cut()
    await link.arrival(1)


async def test_close_ends_every_port(link):
    link.network.close()
    await link.journal.until(lambda: link.a.ends == link.b.ends == 1)


async def test_a_closed_port_neither_sends_nor_receives(link):
    link.network.delay = 0.01
    link.send(1)
    link.b.port.close()
    link.send(2)
    link.a.port.close()
    link.send(3)
    await asyncio.sleep(0.05)
    assert link.b.arrived == []


async def test_nobody_is_sent_to_in_vain(link):
    link.a.port.send("nobody", Message(1, b""))
    link.send(2)
    await link.arrival(2)


async def test_two_event_loops(link):
    """The receiver is in a loop of another thread, as with two transports on trio."""
    ready, finish = threading.Event(), threading.Event()
    arrived = []

    async def receive():
        port = link.network.attach("far", lambda packet: arrived.append(packet.stream_id), lambda: None)
        ready.set()
        while not finish.is_set():
            await asyncio.sleep(0.005)
        port.close()

    thread = threading.Thread(target=asyncio.run, args=(receive(),))
    thread.start()
    assert await asyncio.to_thread(ready.wait, 5)
    for number in range(200):
        link.a.port.send("far", Message(number, b""))
    await link.journal.until(lambda: len(arrived) == 200)
    assert arrived == list(range(200))
    finish.set()
    await asyncio.to_thread(thread.join, 5)
    link.a.port.send("far", Message(0, b""))
    # The pool's threads end with the loop, and would be counted.
    await asyncio.get_running_loop().shutdown_default_executor()


async def test_an_event_loop_that_has_ended_does_not_answer(link):
    async def attach():
        link.network.attach("dead", lambda _: None, lambda: None)

    await asyncio.to_thread(asyncio.run, attach())
    link.a.port.send("dead", Message(1, b""))
    link.network.close()
    await link.journal.until(lambda: link.a.ends == 1)
    await asyncio.get_running_loop().shutdown_default_executor()
