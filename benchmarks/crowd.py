"""Many inbound connections on one port of webrtc-direct, in one process.

    .venv/bin/python -m benchmarks.crowd [--connections 1000] [--backend asyncio] [--json FILE]

Two other processes dial. Each connection is echoed on. The listener's memory is what its resident set has grown by
since before the first one; the cost of a packet is its CPU, by the packets of SCTP that came and went, in the same
load: ten round trips at a time, first among ten connections, and then among all. It fails when a bound doesn't hold.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.processes import Process

from .flood import call, direct_peer

KIB = 1024
FEW = 10
DIALERS = 2
ROUND_TRIPS = 4000
"""Of each dialer, in one look at the cost."""
LOOKS = 5
SETTLE = 1.0

MAX_BYTES = 200 * KIB
MAX_COST_RATIO = 1.25
"""Noise of a busy machine, and the caches: a cost that grew with the number of connections would be a hundred times."""

Result = dict[str, Any]


def connect(listener: Process, dialers: list[Process], address: str, count: int) -> None:
    """Dial with all dialers at once until there are ``count`` connections."""
    there = call(listener, "statistics")["connections"]
    for number, dialer in enumerate(dialers):
        share = (count - there) // DIALERS + (number < (count - there) % DIALERS)
        dialer.write_json({"do": "dial", "address": address, "count": share})
    for dialer in dialers:
        dialer.read_json(600)
    time.sleep(SETTLE)
    found = call(listener, "statistics")["connections"]
    assert found == count, f"{found} of {count} connections stand"


def resident(listener: Process) -> int:
    """Bytes of its memory."""
    return int(call(listener, "memory")["resident"])


def cost(listener: Process, dialers: list[Process]) -> float:
    """Microseconds of the listener's CPU for a packet."""
    looks = []
    for _ in range(LOOKS):
        before = call(listener, "statistics")
        for dialer in dialers:
            dialer.write_json({"do": "echo", "count": ROUND_TRIPS, "at_once": FEW // DIALERS})
        for dialer in dialers:
            dialer.read_json(600)
        after = call(listener, "statistics")
        looks.append((after["cpu"] - before["cpu"]) / (after["packets"] - before["packets"]) * 1e6)
    return statistics.median(looks)


def measure(count: int, backend: str) -> Result:
    """A listener, with few connections and with ``count``."""
    with ExitStack() as stack:
        listener = stack.enter_context(direct_peer(backend))
        dialers = [stack.enter_context(direct_peer("asyncio")) for _ in range(DIALERS)]
        address = call(listener, "listen")["address"]
        empty = resident(listener)
        connect(listener, dialers, address, FEW)
        among_few = cost(listener, dialers)
        started = time.monotonic()
        connect(listener, dialers, address, count)
        seconds = time.monotonic() - started - SETTLE
        idle = resident(listener)
        among_all = cost(listener, dialers)
        used = resident(listener)
    return {
        "connections": count,
        "seconds": seconds,
        "bytes each": (idle - empty) / count,
        "bytes each, used": (used - empty) / count,
        "us/packet among 10": among_few,
        "us/packet among all": among_all,
    }


def failures(found: Result) -> Iterator[str]:
    """Which bounds don't hold."""
    if found["bytes each, used"] > MAX_BYTES:
        yield f"a connection takes {found['bytes each, used'] / KIB:.0f} KiB"
    ratio = found["us/packet among all"] / found["us/packet among 10"]
    if ratio > MAX_COST_RATIO:
        yield f"a packet among all costs {ratio:.2f} of one among {FEW}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=1000, help="in the end (%(default)s)")
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="of the listener")
    parser.add_argument("--json", help="write all figures to this file")
    arguments = parser.parse_args()
    found = measure(arguments.connections, arguments.backend)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(found, indent=1) + "\n")
    print(f"connections                   {found['connections']:10}, all echo")
    print(f"seconds to dial them          {found['seconds']:10.1f}")
    print(f"KiB each, idle                {found['bytes each'] / KIB:10.0f}")
    print(f"KiB each, after use           {found['bytes each, used'] / KIB:10.0f}")
    print(f"CPU us of a packet, among 10  {found['us/packet among 10']:10.1f}")
    print(f"CPU us of a packet, among all {found['us/packet among all']:10.1f}")
    sys.exit("; ".join(failures(found)) or 0)


if __name__ == "__main__":
    main()
