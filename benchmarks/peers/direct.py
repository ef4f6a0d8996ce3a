"""One end of webrtc-direct as a program that carries out commands, a line of JSON each.

    python -m benchmarks.peers.direct asyncio|trio

Each command has a ``do``, and is answered by one line before the next is read. What is dialed stays open.
"""

from __future__ import annotations

import resource
import sys
import time

import anyio
from anyio.abc import TaskGroup

from webrtc_transport import Connection, Identity, Listener, Stream, WebRTCTransport

from .lines import Line, Lines
from .roles import cpu_seconds, resident_bytes

MESSAGE = bytes(64)

AT_ONCE = 4
"""Dials of one process that are under way at once: two processes stay within what one address may have."""


class DirectPeer:
    """A transport, its listener, and the connections that it dialed, with an open stream on each."""

    def __init__(self, transport: WebRTCTransport, task_group: TaskGroup) -> None:
        self._transport = transport
        self._task_group = task_group
        self._listener: Listener | None = None
        self._inbound: set[Connection] = set()
        self._streams: list[Stream] = []

    async def do_listen(self) -> Line:
        """Listen, and echo on every stream."""
        self._listener = await self._transport.listen("/ip4/127.0.0.1/udp/0/webrtc-direct")
        self._task_group.start_soon(self._listener.serve, self._serve)
        return {"address": str(self._listener.addresses[0])}

    async def _serve(self, connection: Connection) -> None:
        self._inbound.add(connection)
        try:
            await connection.serve(echo)
        finally:
            self._inbound.discard(connection)

    async def do_statistics(self) -> Line:
        """Seconds of CPU, and the packets of the inbound connections."""
        engines = [(await connection.statistics()).engine for connection in self._inbound]
        return {
            "cpu": cpu_seconds(),
            "connections": len(self._inbound),
            "packets": sum(engine.packets_sent + engine.packets_received for engine in engines),
        }

    async def do_memory(self) -> Line:
        """Resident bytes, now and at most."""
        return {
            "resident": resident_bytes(),
            "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        }

    async def do_dial(self, address: str, count: int) -> Line:
        """Add connections, each with a stream that has been echoed on. Seconds of each, the first echo included."""
        places, seconds = anyio.Semaphore(AT_ONCE), []

        async def dial() -> None:
            async with places:
                started = time.perf_counter()
                connection = await self._transport.dial(address)
                stream = await connection.open_stream()
                await round_trip(stream)
                seconds.append(time.perf_counter() - started)
                self._streams.append(stream)

        async with anyio.create_task_group() as task_group:
            for _ in range(count):
                task_group.start_soon(dial)
        return {"seconds": seconds}

    async def do_echo(self, count: int, at_once: int) -> Line:
        """Make ``count`` round trips, ``at_once`` at a time, on one connection after the other.

        The number of connections is a multiple of ``at_once``: a stream has one reader.
        """
        times: list[float] = []

        async def take_turns(first: int) -> None:
            for number in range(first, count, at_once):
                started = time.perf_counter()
                await round_trip(self._streams[number % len(self._streams)])
                times.append(time.perf_counter() - started)

        async with anyio.create_task_group() as task_group:
            for first in range(at_once):
                task_group.start_soon(take_turns, first)
        times.sort()
        return {"p50": times[len(times) // 2], "p99": times[len(times) * 99 // 100]}

    async def do_echo_at(self, interval: float, seconds: float) -> Line:
        """Make a round trip on each connection every ``interval`` seconds, spread evenly. How many there were."""
        began, made = time.monotonic(), 0

        async def repeat(stream: Stream, due: float) -> None:
            nonlocal made
            while due < seconds:
                await anyio.sleep(max(0, began + due - time.monotonic()))
                await round_trip(stream)
                made += 1
                due += interval

        async with anyio.create_task_group() as task_group:
            for number, stream in enumerate(self._streams):
                task_group.start_soon(repeat, stream, interval * number / len(self._streams))
        return {"made": made}

    async def do_echo_for(self, seconds: float) -> Line:
        """Make round trips on all connections at once. How many there were in each second."""
        ended = time.monotonic() + seconds
        counts = [0] * int(seconds)

        async def repeat(stream: Stream) -> None:
            while (left := ended - time.monotonic()) > 0:
                await round_trip(stream)
                counts[-1 - min(int(left), len(counts) - 1)] += 1

        async with anyio.create_task_group() as task_group:
            for stream in self._streams:
                task_group.start_soon(repeat, stream)
        return {"counts": counts}


async def round_trip(stream: Stream) -> None:
    """Send a message, and read it back."""
    await stream.send(MESSAGE)
    missing = len(MESSAGE)
    while missing:
        missing -= len(await stream.receive())


async def echo(stream: Stream) -> None:
    """Send back what arrives."""
    async for chunk in stream:
        await stream.send(chunk)


async def main() -> None:
    lines = Lines()
    async with WebRTCTransport(Identity.generate()) as transport, anyio.create_task_group() as task_group:
        peer = DirectPeer(transport, task_group)
        while True:
            command = await lines.read()
            lines.write(await getattr(peer, f"do_{command.pop('do')}")(**command))


if __name__ == "__main__":
    anyio.run(main, backend=sys.argv[1])
