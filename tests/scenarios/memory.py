"""How much a process grows by a transfer, or by a reader that pauses: ``python -m tests.scenarios.memory``.

A process of its own, for in a long one what others left behind counts too.
"""

import argparse
import gc
import json

import anyio
import psutil

from tests.pairs import connected
from tests.scenarios.test_transfer import MIB, eight_streams, paused_reader


def resident():
    gc.collect()
    return psutil.Process().memory_info().rss


async def main(scenario, amount):
    # What the first connection loads and caches is no growth.
    async with connected():
        pass
    before = resident()
    peak = before

    def look():
        nonlocal peak
        peak = max(peak, resident())

    if scenario == "eight-streams":
        await eight_streams(int(amount), look)
    else:
        await paused_reader(amount, look)
    print(json.dumps({"grown": peak - before, "mebibytes": round((peak - before) / MIB, 1)}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=("eight-streams", "paused-reader"))
    parser.add_argument("amount", type=float, help="MiB per stream and direction, or seconds")
    parser.add_argument("--backend", required=True)
    parser.add_argument("--options", type=json.loads, default={})
    arguments = parser.parse_args()
    anyio.run(
        main,
        arguments.scenario,
        arguments.amount,
        backend=arguments.backend,
        backend_options=arguments.options,
    )
