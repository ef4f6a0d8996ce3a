"""Many inbound connections on one port of webrtc-direct, in one process.

    .venv/bin/python -m benchmarks.crowd [--connections 1000] [--backend asyncio] [--json FILE]

Two other processes dial. Each connection is echoed on. The listener's memory is what its resident set has grown by
since before the first one. The cost of a packet is the listener's CPU, by the packets of SCTP that came and went, when
each connection does the same: a round trip every half second, first with ten connections, and then with all. It fails
when a bound doesn't hold.

Also told is the cost of a packet when ten round trips are under way at any time, on one connection after the other.
Ten connections then never rest, and of a thousand nearly all do: one that does has its acknowledgements and its timers
for itself.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from .commanded import Commanded, Result, running, save

KIB = 1024
FEW = 10
DIALERS = 2
ROUND_TRIPS = 4000
"""Of each dialer, in one look at the cost."""
LOOKS = 3
INTERVAL = 0.5
"""Seconds between the round trips of a connection."""
PACED_SECONDS = 15
SETTLE = 1.0

MAX_BYTES = 200 * KIB
MAX_COST_RATIO = 1.25
"""Noise of a busy machine: a cost that grew with the number of connections would be a hundred times."""


def connect(listener: Commanded, dialers: list[Commanded], address: str, count: int) -> None:
    """Dial with all dialers at once until there are ``count`` connections."""
    there = listener.call("statistics")["connections"]
    for number, dialer in enumerate(dialers):
        share = (count - there) // DIALERS + (number < (count - there) % DIALERS)
        dialer.begin("dial", address=address, count=share)
    for dialer in dialers:
        dialer.result()
    time.sleep(SETTLE)
    found = listener.call("statistics")["connections"]
    assert found == count, f"{found} of {count} connections stand"


def resident(listener: Commanded) -> int:
    """Bytes of its memory."""
    return int(listener.call("memory")["resident"])


def cost(listener: Commanded, dialers: list[Commanded], command: Result) -> float:
    """Microseconds of the listener's CPU for a packet, while the dialers carry out a command."""
    before = listener.call("statistics")
    for dialer in dialers:
        dialer.begin(**command)
    for dialer in dialers:
        dialer.result()
    after = listener.call("statistics")
    return float((after["cpu"] - before["cpu"]) / (after["packets"] - before["packets"]) * 1e6)


def costs(listener: Commanded, dialers: list[Commanded]) -> tuple[float, float]:
    """Of a packet when each connection does the same, and when all together do the same."""
    paced = cost(listener, dialers, {"name": "echo_at", "interval": INTERVAL, "seconds": PACED_SECONDS})
    busy = {"name": "echo", "count": ROUND_TRIPS, "at_once": FEW // DIALERS}
    return paced, statistics.median(cost(listener, dialers, busy) for _ in range(LOOKS))


def measure(count: int, backend: str) -> Result:
    """A listener, with few connections and with ``count``."""
    with ExitStack() as stack:
        listener = stack.enter_context(running("direct", backend))
        dialers = [stack.enter_context(running("direct", "asyncio")) for _ in range(DIALERS)]
        address = listener.call("listen")["address"]
        empty = resident(listener)
        connect(listener, dialers, address, FEW)
        few = costs(listener, dialers)
        started = time.monotonic()
        connect(listener, dialers, address, count)
        seconds = time.monotonic() - started - SETTLE
        idle = resident(listener)
        all_of_them = costs(listener, dialers)
        used = resident(listener)
    return {
        "connections": count,
        "seconds": seconds,
        "bytes each": (idle - empty) / count,
        "bytes each, used": (used - empty) / count,
        "us/packet of 10": few[0],
        "us/packet of all": all_of_them[0],
        "us/packet of 10, busy": few[1],
        "us/packet of all, busy": all_of_them[1],
    }


def failures(found: Result) -> Iterator[str]:
    """Which bounds don't hold."""
    if found["bytes each, used"] > MAX_BYTES:
        yield f"a connection takes {found['bytes each, used'] / KIB:.0f} KiB"
    ratio = found["us/packet of all"] / found["us/packet of 10"]
    if ratio > MAX_COST_RATIO:
        yield f"a packet costs {ratio:.2f} of what it does with {FEW} connections"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=1000, help="in the end (%(default)s)")
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="of the listener")
    parser.add_argument("--json", help="put all figures into this file")
    arguments = parser.parse_args()
    found = measure(arguments.connections, arguments.backend)
    if arguments.json:
        save(Path(arguments.json), f"crowd {arguments.backend}", found)
    print(f"connections                   {found['connections']:10}, all echo")
    print(f"seconds to dial them          {found['seconds']:10.1f}")
    print(f"KiB each, idle                {found['bytes each'] / KIB:10.0f}")
    print(f"KiB each, after use           {found['bytes each, used'] / KIB:10.0f}")
    for name in ("us/packet of 10", "us/packet of all", "us/packet of 10, busy", "us/packet of all, busy"):
        print(f"CPU {name:<26}{found[name]:10.1f}")
    sys.exit("; ".join(failures(found)) or 0)


if __name__ == "__main__":
    main()
