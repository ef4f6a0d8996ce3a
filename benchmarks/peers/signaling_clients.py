"""Many clients of a signaling server in one process, as cheap as they can be. It carries out commands, as JSON lines.

    python -m benchmarks.peers.signaling_clients ours|polls|peerjs PORT[,PORT…]

A client speaks just enough of HTTP and WebSocket. It registers as any other client does, with its signature under the
server's challenge.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import sys
import time
from collections import deque
from typing import Any

import uvloop

from .lines import Line
from .signaling_protocols import PROTOCOLS, Client, Traffic, WebSocketClient

FIRST_ADDRESS = ipaddress.IPv4Address("127.1.0.1")
PER_ADDRESS = 200
"""Clients with one source address: below what the server lets in by default."""
SECONDS_TO_ARRIVE = 30.0
AT_ONCE = 50
"""Clients that connect at any time: each holds a place in the listener's queue."""


class Clients:
    """All of them, and what is under way between them."""

    def __init__(self, kind: str, ports: list[int]) -> None:
        self._kind, self._ports = PROTOCOLS[kind], ports
        self._clients: list[Client] = []

    async def do_connect(self, count: int) -> Line:
        """Add registered clients."""
        loop, places = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)
        started = time.perf_counter()

        async def connect() -> None:
            async with places:
                client, number = self._kind(), len(self._clients)
                address = FIRST_ADDRESS + number // PER_ADDRESS
                self._clients.append(client)
                await loop.create_connection(
                    lambda: client, "127.0.0.1", self._port_of(number), local_addr=(str(address), 0)
                )
                await client.ready

        async with asyncio.TaskGroup() as group:
            for _ in range(count):
                group.create_task(connect())
        return {"connected": count, "seconds": time.perf_counter() - started}

    async def do_wait(self, seconds: float) -> Line:
        """Do what idle clients do: answer the server's questions. Fails if a client was thrown out."""
        await asyncio.sleep(seconds)
        return {"connected": self._standing()}

    async def do_pace(self, rate: float, seconds: float, clients: int) -> Line:
        """Send at a fixed rate, whatever the answer. Milliseconds count from when a message should have been sent."""
        traffic, started = self._traffic(clients), time.perf_counter()
        due, total = 0, int(rate * seconds)
        while due < total:
            now = time.perf_counter()
            while due < total and started + due / rate <= now:
                traffic.send(due, at=started + due / rate)
                due += 1
            await asyncio.sleep(0.001)
        await self._arrived(traffic, total)
        return {"sent": total, "seconds": time.perf_counter() - started, **traffic.milliseconds()}

    async def do_saturate(self, window: int, seconds: float, clients: int) -> Line:
        """Keep ``window`` messages for each client under way for ``seconds``; ``drained`` is until the last arrived.

        All clients send as many, whatever the way of their messages is.
        """
        traffic = self._traffic(clients)
        started, used = time.perf_counter(), time.process_time()
        traffic.refill_until(started + seconds)
        for number in range(clients * window):
            traffic.send(number, at=started)
        await asyncio.sleep(seconds)
        elapsed, arrived = time.perf_counter() - started, traffic.arrived
        await self._arrived(traffic, traffic.sent)
        drained = time.perf_counter() - started
        return {
            "arrived": arrived,
            "total": traffic.sent,
            "seconds": elapsed,
            "drained": drained,
            "load": (time.process_time() - used) / drained,
            **traffic.milliseconds(),
        }

    def _port_of(self, number: int) -> int:
        """The server of a client. Of several, all pairs of clients are as often at any two: as if at random."""
        pair, end = divmod(number, 2)
        count = len(self._ports)
        return self._ports[pair % count if end == 0 else pair // count % count]

    def _traffic(self, clients: int) -> Traffic:
        first = self._clients[:clients]
        # Those that poll do no more than wait.
        return Traffic([client for client in first if isinstance(client, WebSocketClient)])

    async def _arrived(self, traffic: Traffic, count: int) -> None:
        async with asyncio.timeout(SECONDS_TO_ARRIVE):
            await traffic.wait_for(count)
        self._standing()

    def _standing(self) -> int:
        lost = [client.fault for client in self._clients if client.fault is not None]
        if lost:
            raise RuntimeError(f"{len(lost)} of {len(self._clients)} clients were lost; the first: {lost[0]}")
        return len(self._clients)


async def main() -> None:
    clients = Clients(sys.argv[1], [int(port) for port in sys.argv[2].split(",")])
    commands: deque[dict[str, Any]] = deque()
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while text := await reader.readline():
        commands.append(json.loads(text))
        command = commands.popleft()
        result = await getattr(clients, f"do_{command.pop('do')}")(**command)
        sys.stdout.write(json.dumps(result) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main())
