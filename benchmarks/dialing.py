"""How long a dial takes, alone and beside 200 that go nowhere.

    python benchmarks/dialing.py [--rounds 20]

Both peers and the rendezvous are in one process, on loopback: what is left is the library's own time. The two cases
take turns, and their medians are compared.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import AsyncExitStack

import anyio

from webrtc_signaling.memory import MemoryBackend
from webrtc_transport import Connection, Identity, TransportConfig, WebRTCTransport
from webrtc_transport.abc import SignalingSession
from webrtc_transport.errors import ConnectTimeout

IN_VAIN = 200
SETTLE = 1.0
"""Seconds until the engine has set them all up."""

BATCH = 50
"""Dials that are started at once: a rendezvous in memory lets 64 sessions wait."""

CONFIG = TransportConfig(bind_addresses=("127.0.0.1",))


def transport(config: TransportConfig = CONFIG) -> WebRTCTransport:
    identity = Identity.generate()
    return WebRTCTransport(identity, signaling=[MemoryBackend(identity)], config=config)


async def measure(rounds: int) -> tuple[list[float], list[float]]:
    """Milliseconds of each dial, alone and crowded."""
    alone, crowded = [], []
    for _ in range(rounds):
        alone.append(await dial(0))
        crowded.append(await dial(IN_VAIN))
    return alone, crowded


async def dial(others: int) -> float:
    """Milliseconds of one dial beside ``others`` that wait for an answer which never comes."""
    silent_id = Identity.generate()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(transport())
        client = await stack.enter_async_context(transport())
        silent = await stack.enter_async_context(MemoryBackend(silent_id))
        task_group = await stack.enter_async_context(anyio.create_task_group())
        listener = await server.listen("/webrtc")
        task_group.start_soon(listener.serve, wait_closed)
        await task_group.start(silent.serve, ignore)
        # The first dial of a transport makes its certificate.
        await (await client.dial(listener.addresses[0])).aclose()
        for number in range(others):
            task_group.start_soon(dial_in_vain, client, f"/webrtc/p2p/{silent_id.peer_id}")
            if number % BATCH == BATCH - 1:
                await anyio.wait_all_tasks_blocked()
        # Setting the others up costs time of its own; the question is what they cost while they wait. Both cases sleep:
        # a process that has just slept is slower, whoever is beside it.
        await anyio.sleep(SETTLE)
        started = time.perf_counter()
        connection = await client.dial(listener.addresses[0])
        elapsed = time.perf_counter() - started
        await connection.aclose()
        task_group.cancel_scope.cancel()
    return elapsed * 1000


async def wait_closed(connection: Connection) -> None:
    await connection.wait_closed()


async def ignore(_session: SignalingSession) -> None:
    await anyio.sleep_forever()


async def dial_in_vain(client: WebRTCTransport, address: str) -> None:
    try:
        await client.dial(address)
    except ConnectTimeout:
        return


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20, help="dials of each kind (%(default)s)")
    arguments = parser.parse_args()
    print(f"{'':10}{'alone':>10}{'crowded':>10}{'ratio':>8}   (medians, ms; {IN_VAIN} others)")
    for backend in ("asyncio", "trio"):
        alone, crowded = anyio.run(measure, arguments.rounds, backend=backend)
        first, second = statistics.median(alone), statistics.median(crowded)
        print(f"{backend:10}{first:10.1f}{second:10.1f}{second / first:8.2f}")


if __name__ == "__main__":
    main()
