"""Many clients of a signaling server in one process, as cheap as they can be. It carries out commands, as JSON lines.

    python -m benchmarks.peers.signaling_clients ours|polls|peerjs PORT

A client speaks just enough of HTTP and WebSocket. It registers as any other client does, with its signature under the
server's challenge. Frames are masked with zeros, which is a key like any other: only this end saves work by it.
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
from .signaling_protocols import PROTOCOLS, Client, Traffic

FIRST_ADDRESS = ipaddress.IPv4Address("127.1.0.1")
PER_ADDRESS = 200
"""Clients with one source address: below what the server lets in by default."""
SECONDS_TO_ARRIVE = 30.0
AT_ONCE = 50
"""Clients that connect at any time: each holds a place in the listener's queue."""


class Clients:
    """All of them, and what is under way between them."""

    def __init__(self, kind: str, port: int) -> None:
        self._kind, self._port = PROTOCOLS[kind], port
        self._clients: list[Client] = []

    async def do_connect(self, count: int) -> Line:
        """Add registered clients."""
        loop, places = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE)
        started = time.perf_counter()

        async def connect() -> None:
            async with places:
                client = self._kind()
                address = FIRST_ADDRESS + len(self._clients) // PER_ADDRESS
                self._clients.append(client)
                await loop.create_connection(
                    lambda: client, "127.0.0.1", self._port, local_addr=(str(address), 0)
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
        traffic, loop = self._traffic(clients), asyncio.get_running_loop()
        started = loop.time()
        due, total = 0, int(rate * seconds)
        while due < total:
            now = loop.time()
            while due < total and started + due / rate <= now:
                traffic.send(due, at=started + due / rate)
                due += 1
            await asyncio.sleep(0.001)
        await self._arrived(traffic, total)
        return {"sent": total, "seconds": loop.time() - started, **traffic.milliseconds()}

    async def do_saturate(self, window: int, seconds: float, clients: int) -> Line:
        """Keep ``window`` messages of each client under way."""
        traffic, loop = self._traffic(clients), asyncio.get_running_loop()
        started = loop.time()
        traffic.refill_until(started + seconds)
        for number in range(clients * window):
            traffic.send(number, at=started)
        await asyncio.sleep(seconds)
        elapsed, arrived = loop.time() - started, traffic.arrived
        await self._arrived(traffic, traffic.sent)
        return {"arrived": arrived, "total": traffic.sent, "seconds": elapsed, **traffic.milliseconds()}

    def _traffic(self, clients: int) -> Traffic:
        return Traffic(self._clients[:clients])

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
    clients = Clients(sys.argv[1], int(sys.argv[2]))
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
