"""What the rendezvous server takes for its clients, and how much it routes, beside PeerJS's server.

    .venv/bin/python -m benchmarks.signaling_load [idle] [rate] [cluster] [--clients 10000] [--rounds 3] [--json FILE]

Each server is one process on one core, and the clients are another process on another core. Memory is what belongs to
the server's process alone (Uss), as it has grown by since before the clients came; it is read after longer than one
heartbeat. PeerJS's server and ours take turns. Servers that are compared with two of them, joined by Redis, have the
same share of a core each, whether one or two: so clients and Redis, on the other core, are no bottleneck. It fails when
a bound doesn't hold.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

from .commanded import Result, running, save
from .cpu_share import bounded_share
from .signaling_servers import CORES, raise_limits, running_redis, running_server

KIB = 1024

FIRST = 100
"""Clients that are there before the others: the server has loaded then what it loads for the first."""

SETTLE = 26.0
"""Seconds until idle clients are counted: all have been asked whether they are there, or have polled again."""

POLLERS_SHARE = 5
"""One in so many clients polls."""

SENDERS = 100
"""Clients that send, two and two to each other."""

PACE = 5000.0
"""Messages a second that are to be routed."""

PACE_SECONDS = SETTLE
"""The heartbeats of all idle clients fall into it."""

WINDOW = 8
"""Messages for each sender under way when a server routes as many as it can."""

SATURATE_SECONDS = 6.0

SHARE = 0.25
"""Of a core, for each server of one or two: so much that two of them take half of one."""

CLUSTER = {"one": 1, "two": 2}
"""How many servers there are."""

MAX_BYTES = 15 * KIB
MAX_P99 = 50.0
MAX_MEMORY_RATIO = 0.5
MIN_RATE_RATIO = 1.0
MIN_CLUSTER_RATIO = 1.7

SERVERS = {"ours": "ours", "polls": "ours", "peerjs": "peerjs"}
"""Which server a kind of client is one of."""


def measure_idle(kind: str, count: int) -> Result:
    """Clients that do nothing."""
    with running_server(SERVERS[kind]) as server, running("signaling_clients", kind, server.port) as clients:
        clients.call("connect", count=FIRST)
        clients.call("wait", seconds=1)
        empty = server.memory()
        connected = clients.call("connect", count=count)
        used = server.cpu()
        clients.call("wait", seconds=SETTLE)
        return {
            "clients": count,
            "seconds": connected["seconds"],
            "bytes each": (server.memory() - empty) / count,
            "cpu": (server.cpu() - used) / SETTLE,
        }


def measure_rate(kind: str, idle_clients: int) -> Result:
    """Clients that send: as much as the server takes, and then at a fixed rate, among many that are idle."""
    with running_server(SERVERS[kind]) as server, running("signaling_clients", kind, server.port) as clients:
        clients.call("connect", count=SENDERS)
        clients.call("saturate", window=1, seconds=1, clients=SENDERS)
        used = server.cpu()
        saturated = clients.call("saturate", window=WINDOW, seconds=SATURATE_SECONDS, clients=SENDERS)
        used = server.cpu() - used
        clients.call("connect", count=idle_clients)
        paced_from = server.cpu()
        paced = clients.call("pace", rate=PACE, seconds=PACE_SECONDS, clients=SENDERS)
        load = (server.cpu() - paced_from) / paced["seconds"]
        return {
            "idle": idle_clients,
            "paced rate": paced["sent"] / paced["seconds"],
            "paced load": load,
            "paced p50": paced["p50"],
            "paced p99": paced["p99"],
            "paced p99.9": paced["p99.9"],
            "rate": saturated["arrived"] / saturated["seconds"],
            "load": used / saturated["drained"],
            "load of clients": saturated["load"],
            "per cpu second": saturated["total"] / used,
        }


def measure_cluster(kind: str) -> Result:
    """Servers that have a share of a core each, and clients that send as much as they take."""
    with ExitStack() as stack:
        count = CLUSTER[kind]
        options = ["--redis", stack.enter_context(running_redis())] if count > 1 else []
        servers = [stack.enter_context(running_server("ours", *options)) for _ in range(count)]
        for server in servers:
            stack.enter_context(bounded_share(server.pid, SHARE))
        ports = ",".join(str(server.port) for server in servers)
        clients = stack.enter_context(running("signaling_clients", "ours", ports))
        clients.call("connect", count=SENDERS)
        clients.call("saturate", window=1, seconds=1, clients=SENDERS)
        used = sum(server.cpu() for server in servers)
        found = clients.call("saturate", window=WINDOW, seconds=SATURATE_SECONDS, clients=SENDERS)
        used = sum(server.cpu() for server in servers) - used
        return {
            "share": SHARE,
            "rate": found["arrived"] / found["seconds"],
            "load": used / found["drained"],
            "load of clients": found["load"],
            "per cpu second": found["total"] / used,
            "p50": found["p50"],
            "p99": found["p99"],
        }


def median_of(rounds: list[Result]) -> Result:
    """Of each figure, over all rounds."""
    return {name: statistics.median(each[name] for each in rounds) for name in rounds[0]}


def idle(count: int, file: Path | None) -> Iterator[str]:
    """Measure memory; tells what doesn't hold."""
    found = {
        kind: measure_idle(kind, number)
        for kind, number in (("ours", count), ("polls", count // POLLERS_SHARE), ("peerjs", count))
    }
    for kind, figures in found.items():
        _show(f"idle {kind}", figures, file)
    return failures_of_idle(found)


def failures_of_idle(found: Mapping[str, Result]) -> Iterator[str]:
    """Which bounds of memory don't hold."""
    for kind in ("ours", "polls"):
        if found[kind]["bytes each"] > MAX_BYTES:
            yield f"a client of {kind} takes {found[kind]['bytes each'] / KIB:.1f} KiB"
    ratio = found["ours"]["bytes each"] / found["peerjs"]["bytes each"]
    if ratio > MAX_MEMORY_RATIO:
        yield f"a client takes {ratio:.2f} of what one of PeerJS takes"


def rate(rounds: int, idle_clients: int, file: Path | None) -> Iterator[str]:
    """Measure rates, in turn; tells what doesn't hold."""
    found = _in_turn("rate", ("ours", "peerjs"), lambda kind: measure_rate(kind, idle_clients), rounds, file)
    return failures_of_rate(found)


def cluster(rounds: int, file: Path | None) -> Iterator[str]:
    """Measure one server and two, in turn; tells what doesn't hold."""
    return failures_of_cluster(_in_turn("cluster", CLUSTER, measure_cluster, rounds, file))


def failures_of_cluster(found: Mapping[str, Result]) -> Iterator[str]:
    """Whether two servers are as much more than one as they have to be."""
    ratio = found["two"]["rate"] / found["one"]["rate"]
    if ratio < MIN_CLUSTER_RATIO:
        yield f"two servers route {ratio:.2f} of what one does"


def _in_turn(
    what: str, kinds: Iterable[str], measure: Callable[[str], Result], rounds: int, file: Path | None
) -> dict[str, Result]:
    """The medians of each kind."""
    runs: dict[str, list[Result]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for kind, done in runs.items():
            done.append(measure(kind))
    found = {kind: median_of(done) for kind, done in runs.items()}
    for kind, figures in found.items():
        _show(f"{what} {kind}", {**figures, "rounds": rounds}, file)
    return found


def failures_of_rate(found: Mapping[str, Result]) -> Iterator[str]:
    """Which bounds of rates don't hold."""
    if found["ours"]["paced p99"] > MAX_P99:
        yield f"p99 is {found['ours']['paced p99']:.0f} ms"
    for name in ("rate", "per cpu second"):
        ratio = found["ours"][name] / found["peerjs"][name]
        if ratio < MIN_RATE_RATIO:
            yield f"{name}: {ratio:.2f} of PeerJS's"


def _show(name: str, figures: Result, file: Path | None) -> None:
    if file is not None:
        save(file, name, figures)
    for what, value in figures.items():
        print(f"{name:<12} {what:<16} {value:12,.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "parts", nargs="*", default=[], choices=("idle", "rate", "cluster"), help="what to measure (all)"
    )
    parser.add_argument("--clients", type=int, default=10_000, help="idle ones (%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="of the rates (%(default)s)")
    parser.add_argument("--json", type=Path, help="put all figures into this file")
    arguments = parser.parse_args()
    raise_limits()
    os.sched_setaffinity(0, {CORES[-1]})
    failed: list[str] = []
    if "idle" in arguments.parts or not arguments.parts:
        failed += idle(arguments.clients, arguments.json)
    if "rate" in arguments.parts or not arguments.parts:
        failed += rate(arguments.rounds, arguments.clients, arguments.json)
    if "cluster" in arguments.parts or not arguments.parts:
        failed += cluster(arguments.rounds, arguments.json)
    sys.exit("; ".join(failed) or 0)


if __name__ == "__main__":
    main()
