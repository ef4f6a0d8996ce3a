"""What the two processes of each measure do, written once for all libraries in Python.

One process accepts and one dials. A library is a :class:`Peer`; ``datachannel.mjs`` has the same roles in JavaScript.
"""

from __future__ import annotations

import gc
import json
import resource
import statistics
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import anyio

from .lines import Line, Lines

Parameters = Mapping[str, int]
Result = dict[str, float]

HELLO = bytes(64)
"""Opens a transfer, and makes both ends sure that the other is there."""

SETTLE = 0.5
"""Seconds between the last connection and the look at the memory."""


class Channel(ABC):
    """A data channel, or a stream."""

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Send a message, waiting while the send buffer is full."""

    @abstractmethod
    async def receive(self, size: int) -> None:
        """Wait until so many more bytes have arrived."""

    @abstractmethod
    async def close(self) -> None:
        """Close it, and wait until it is closed."""


class Link(ABC):
    """A connection."""

    @abstractmethod
    async def open(self) -> Channel:
        """Open a channel."""

    @abstractmethod
    async def accept(self) -> Channel:
        """Wait for a channel that the other end opens."""

    @abstractmethod
    async def serve_echo(self) -> None:
        """Send back what arrives on every channel that the other end opens, until it closes the connection."""

    @abstractmethod
    async def close(self) -> None:
        """Close the connection."""


class Peer(AbstractAsyncContextManager["Peer"]):
    """A library."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines

    @property
    def address(self) -> Line:
        """What the dialer needs to know of the end that accepts."""
        return {}

    @abstractmethod
    async def dial(self, address: Line) -> Link:
        """Connect to the other end."""

    @abstractmethod
    async def accept(self) -> Link:
        """Wait for a connection."""


def cpu_seconds() -> float:
    """Seconds of CPU that this process has used, in the kernel and out of it, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


# --- a transfer: messages in one direction, counted from the first to the last ---------------------------------------


async def dial_transfer(peer: Peer, address: Line, parameters: Parameters) -> Result:
    channel = await (await peer.dial(address)).open()
    await channel.send(HELLO)
    await channel.receive(1)
    message, used = bytes(parameters["size"]), cpu_seconds()
    for _ in range(parameters["count"]):
        await channel.send(message)
    await channel.receive(1)
    return {"cpu": cpu_seconds() - used}


async def accept_transfer(peer: Peer, parameters: Parameters) -> Result:
    size, count = parameters["size"], parameters["count"]
    channel = await (await peer.accept()).accept()
    await channel.receive(len(HELLO))
    await channel.send(b"r")
    await channel.receive(size)
    used, started = cpu_seconds(), time.perf_counter()
    await channel.receive(size * (count - 1))
    result = {"seconds": time.perf_counter() - started, "cpu": cpu_seconds() - used}
    await channel.send(b"d")
    return result


# --- round trips, on one stream, and on a new one each ---------------------------------------------------------------


async def dial_round_trips(peer: Peer, address: Line, parameters: Parameters) -> Result:
    channel = await (await peer.dial(address)).open()
    message, times = bytes(parameters["size"]), []
    for _ in range(parameters["count"]):
        started = time.perf_counter()
        await channel.send(message)
        await channel.receive(len(message))
        times.append(time.perf_counter() - started)
    return {"seconds": statistics.median(times)}


async def dial_streams(peer: Peer, address: Line, parameters: Parameters) -> Result:
    link = await peer.dial(address)
    message, times = bytes(parameters["size"]), []
    for _ in range(parameters["count"]):
        started = time.perf_counter()
        channel = await link.open()
        await channel.send(message)
        await channel.receive(len(message))
        await channel.close()
        times.append(time.perf_counter() - started)
    return {"seconds": statistics.median(times)}


async def accept_echo(peer: Peer, _parameters: Parameters) -> None:
    """Echo on every connection, until the parent process has what it wants to know."""
    async with anyio.create_task_group() as task_group:
        while True:
            task_group.start_soon((await peer.accept()).serve_echo)


# --- connections -----------------------------------------------------------------------------------------------------


async def dial_setups(peer: Peer, address: Line, parameters: Parameters) -> Result:
    await (await peer.dial(address)).close()
    times = []
    for _ in range(parameters["count"]):
        started = time.perf_counter()
        link = await peer.dial(address)
        times.append(time.perf_counter() - started)
        await link.close()
    return {"seconds": statistics.median(times)}


async def dial_crowded(peer: Peer, address: Line, parameters: Parameters) -> Result:
    """Seconds of a dial alone, and of one beside others that wait for an answer which never comes."""
    await (await peer.dial(address)).close()
    alone, crowded = [], []
    for _ in range(parameters["count"]):
        alone.append(await dial_beside(peer, address, 0))
        crowded.append(await dial_beside(peer, address, parameters["others"]))
    return {"alone": statistics.median(alone), "crowded": statistics.median(crowded)}


async def dial_beside(peer: Peer, address: Line, others: int) -> float:
    silent, elapsed = {"peer": address["silent"]}, 0.0
    async with anyio.create_task_group() as task_group:
        for _ in range(others):
            task_group.start_soon(peer.dial, silent)
        # Setting the others up costs time of its own; the question is what they cost while they wait. Without others
        # it sleeps as well: a process that has just slept is slower.
        await anyio.sleep(2 * SETTLE)
        started = time.perf_counter()
        link = await peer.dial(address)
        elapsed = time.perf_counter() - started
        await link.close()
        task_group.cancel_scope.cancel()
    return elapsed


async def dial_idle(peer: Peer, address: Line, parameters: Parameters) -> Result:
    return await measure_memory(lambda: peer.dial(address), parameters, SETTLE)


async def accept_idle(peer: Peer, parameters: Parameters) -> Result:
    return await measure_memory(peer.accept, parameters, SETTLE / 2)


async def measure_memory(
    connect: Callable[[], Awaitable[Link]], parameters: Parameters, settle: float
) -> Result:
    """Bytes that each connection adds to the resident memory, after some that load code and fill the allocator."""
    links = [await connect() for _ in range(parameters["first"])]
    await anyio.sleep(settle)
    before = resident_bytes()
    links += [await connect() for _ in range(parameters["count"])]
    await anyio.sleep(settle)
    return {"bytes": (resident_bytes() - before) / parameters["count"]}


def resident_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


# --- the program -----------------------------------------------------------------------------------------------------

DIAL = {
    "transfer": dial_transfer,
    "round-trips": dial_round_trips,
    "streams": dial_streams,
    "setups": dial_setups,
    "crowd": dial_crowded,
    "idle": dial_idle,
}
ACCEPT: dict[str, Callable[[Peer, Parameters], Awaitable[Result | None]]] = {
    "transfer": accept_transfer,
    "round-trips": accept_echo,
    "streams": accept_echo,
    "setups": accept_echo,
    "crowd": accept_echo,
    "idle": accept_idle,
}


def run(peer: Callable[[Lines], Peer], backend: str) -> None:
    """Play the part that the last three arguments say: ``accept`` or ``dial``, the role, and its parameters in JSON."""
    end, role, text = sys.argv[-3:]
    parameters = json.loads(text)
    lines = Lines()

    async def play() -> None:
        async with peer(lines) as this:
            if end == "accept":
                lines.write(this.address)
                lines.write({"result": await ACCEPT[role](this, parameters)})
            else:
                lines.write({"result": await DIAL[role](this, await lines.read(), parameters)})
            # The other end may still want its last bytes acknowledged.
            await anyio.sleep_forever()

    anyio.run(play, backend=backend)
