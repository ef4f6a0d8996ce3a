"""What a flood of spoofed connectivity checks does to a listener of webrtc-direct.

    sudo .venv/bin/python -m benchmarks.flood [--rate 50000] [--seconds 30] [--backend asyncio] [--json FILE]

A listener echoes on ten connections of another process, in a closed loop: while ``peers/spoofer.py`` floods its
port, and half as long before that and after it, and while the same flood goes to a port that nobody reads: so much its
sender takes from the processors. During the flood newcomers dial, one after the other. It fails when one of the bounds
below doesn't hold.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .commanded import Commanded, Result, running, save

MIB = 1024 * 1024
CONNECTIONS = 10
PAUSE = 2.0
"""Seconds between newcomers."""

IDLE = 5.0
"""Seconds of the flood in which nothing else goes on: what a check costs then is what it costs."""

MIN_RATE_KEPT = 0.5
MAX_GROWTH = 32 * MIB
MAX_SECONDS_TO_ENTER = 5.0
MIN_RATE_SENT = 0.95
"""Of the rate that was asked for: less isn't the flood that this is about."""


def port_of(address: str) -> int:
    """The UDP port in a multiaddr."""
    return int(address.partition("/udp/")[2].partition("/")[0])


def dropped(port: int) -> int:
    """Datagrams that the kernel dropped: by the filter of the port's socket, or because its buffer was full."""
    rows = (line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:])
    return sum(int(row[-1]) for row in rows if row[1].endswith(f":{port:04X}"))


def dial_in_turn(newcomer: Commanded, address: str, ended: float) -> list[float]:
    """One newcomer after the other, until the time is over. Seconds of each."""
    seconds: list[float] = []
    while time.monotonic() < ended - MAX_SECONDS_TO_ENTER:
        seconds += newcomer.call("dial", address=address, count=1)["seconds"]
        time.sleep(PAUSE)
    return seconds


def echo_beside_flood(known: Commanded, rate: float, seconds: float) -> list[int]:
    """Echoes in each second while the flood goes to a socket of no use: what the sender alone takes."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        with running("spoofer", sink.getsockname()[1], rate, seconds + 1):
            time.sleep(1)
            counts: list[int] = known.call("echo_for", seconds=seconds)["counts"]
    return counts


def measure(rate: float, seconds: float, backend: str) -> Result:
    """One listener, without the flood and with it."""
    with (
        running("direct", backend) as listener,
        running("direct", "asyncio") as known,
        running("direct", "asyncio") as newcomer,
    ):
        address = listener.call("listen")["address"]
        port = port_of(address)
        known.call("dial", address=address, count=CONNECTIONS)
        alone = known.call("echo_for", seconds=seconds / 2)["counts"]
        beside = echo_beside_flood(known, rate, seconds / 2)
        before = listener.call("memory")
        with running("spoofer", port, rate, seconds + IDLE + 1) as flood:
            time.sleep(1)
            idle = listener.call("statistics")["cpu"]
            time.sleep(IDLE)
            idle = listener.call("statistics")["cpu"] - idle
            known.begin("echo_for", seconds=seconds)
            entered = dial_in_turn(newcomer, address, time.monotonic() + seconds)
            flooded = known.result()["counts"]
            sent = flood.result()
        after = listener.call("memory")
        alone += known.call("echo_for", seconds=seconds / 2)["counts"]
        lost = dropped(port)
    return {
        "alone": statistics.mean(alone),
        "beside": statistics.mean(beside),
        "flooded": statistics.mean(flooded),
        "flooded_by_second": flooded,
        "sent": sent["sent"] / sent["seconds"],
        "us/check": idle / IDLE / sent["sent"] * sent["seconds"] * 1e6,
        "dropped": lost,
        "entered": entered,
        "grown": after["peak"] - before["resident"],
    }


def failures(found: Result, rate: float) -> Iterator[str]:
    """Which bounds don't hold."""
    if found["sent"] < MIN_RATE_SENT * rate:
        yield f"only {found['sent']:.0f} of {rate:.0f} checks per second were sent: measure again"
    if found["flooded"] < MIN_RATE_KEPT * found["alone"]:
        yield f"connections kept {found['flooded'] / found['alone']:.0%} of their rate"
    if found["grown"] > MAX_GROWTH:
        yield f"memory grew by {found['grown'] / MIB:.1f} MiB"
    if not found["entered"] or max(found["entered"]) > MAX_SECONDS_TO_ENTER:
        yield f"newcomers needed {found['entered']} s"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rate", type=float, default=50_000, help="checks per second (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30, help="of the flood (%(default)s)")
    parser.add_argument("--backend", choices=("asyncio", "trio"), default="asyncio", help="of the listener")
    parser.add_argument("--json", help="put all figures into this file")
    arguments = parser.parse_args()
    found = measure(arguments.rate, arguments.seconds, arguments.backend)
    if arguments.json:
        save(Path(arguments.json), f"flood {arguments.backend}", found)
    print(f"checks per second             {found['sent']:10.0f}")
    print(f"CPU us of a check             {found['us/check']:10.1f}")
    print(f"echoes per second, alone      {found['alone']:10.0f}")
    print(f"the same, flood to elsewhere  {found['beside']:10.0f}  {found['beside'] / found['alone']:.0%}")
    print(f"echoes per second, flooded    {found['flooded']:10.0f}  {found['flooded'] / found['alone']:.0%}")
    print(f"of those with it elsewhere    {found['flooded'] / found['beside']:10.0%}")
    print(f"memory grown, MiB             {found['grown'] / MIB:10.1f}")
    print(f"newcomers                     {len(found['entered']):10}")
    print(f"seconds of a newcomer, most   {max(found['entered'], default=0):10.2f}")
    print(f"dropped by the kernel         {found['dropped']:10}")
    sys.exit("; ".join(failures(found, arguments.rate)) or 0)


if __name__ == "__main__":
    main()
