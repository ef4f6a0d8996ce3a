"""How long a transfer takes over a link that loses packets, by library, in one interleaved run.

    sudo .venv/bin/python -m benchmarks.lossy [--rounds 5] [--size 2] [--loss 2] [--round-trip 50] [--rate 100]
        [--congestion cubic newreno model]

Each measurement is two processes of one library in a network namespace, with an emulated link between them
(``tests/emulated_link.py``; the processes stay, and each measurement has a new connection and a new link). The seed of
the losses is the number of the round. The time is the sender's, from opening a channel until the hash of what arrived
is back and the channel is closed. ``native-to-…`` and ``…-to-native`` are the engine with another library.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys

from tests.interop.runtimes import Link, Peer, connect, running_links, running_peer
from tests.namespaces import network_namespace
from webrtc_transport.protocol.sctp.settings import CONGESTION_CONTROLS

MIB = 1024 * 1024
MESSAGE = 16 * 1024
QUEUE = 256 * 1024
"""Bytes that wait for the link: some 20 ms of it at 100 Mbit/s, less than a home router holds."""

NATIVE = "engine-native"
LIBRARIES = (NATIVE, "aiortc", "libdatachannel", "libwebrtc")
TIMEOUT = 600

Variant = tuple[str, str, str]
"""Who sends, who receives, and the congestion control of whoever of them is ``native``."""


def measure(  # noqa: PLR0917 - in the order of what is set up
    sender: Peer, receiver: Peer, congestion: str, links: object, size: int, seed: int, **path: float
) -> float:
    """Seconds for ``size`` bytes."""
    link = Link(links, seed=seed, queue=QUEUE, **path)
    ours = [peer for peer in (sender, receiver) if peer.kind == NATIVE]
    try:
        connect(sender, receiver, ours=ours, link=link, congestion_control=congestion)
        result = sender.call("send", channels=1, bytes=size, size=MESSAGE, timeout=TIMEOUT)
        sender.call("close")
        receiver.call("close")
    finally:
        link.close()
    return float(result["seconds"])


def variants(congestion: list[str], *, mixed: bool) -> list[Variant]:
    """Who sends to whom."""
    found = [(NATIVE, NATIVE, way) for way in congestion]
    found += [(library, library, congestion[0]) for library in LIBRARIES[1:]]
    if mixed:
        for other in LIBRARIES[1:]:
            found += [(NATIVE, other, congestion[0]), (other, NATIVE, congestion[0])]
    return found


def name(variant: Variant) -> str:
    """How a variant is called in the table."""
    sender, receiver = (library.removeprefix("engine-") for library in variant[:2])
    if sender != receiver:
        return f"{sender}-to-{receiver}"
    return f"{sender} ({variant[2]})" if variant[0] == NATIVE else sender


def compare(arguments: argparse.Namespace) -> dict[str, list[float]]:
    """Measure all variants in turn, ``rounds`` times."""
    path = {
        "delay": arguments.round_trip / 2000,
        "loss": arguments.loss / 100,
        "rate": arguments.rate * 1e6 / 8,
    }
    size = int(arguments.size * MIB)
    results: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        namespace = stack.enter_context(network_namespace())
        links = stack.enter_context(running_links(namespace))
        senders, receivers = (
            {library: stack.enter_context(running_peer(library, namespace)) for library in LIBRARIES}
            for _ in range(2)
        )
        for number in range(arguments.rounds):
            for variant in variants(arguments.congestion, mixed=arguments.mixed):
                sender, receiver, congestion = variant
                seconds = measure(
                    senders[sender], receivers[receiver], congestion, links, size, number, **path
                )
                results.setdefault(name(variant), []).append(seconds)
                print(f"round {number + 1}  {name(variant):<28}{seconds:8.2f} s", file=sys.stderr, flush=True)
    return results


def report(results: dict[str, list[float]], size: float) -> None:
    """Print medians, and the ratios to the fastest."""
    medians = {variant: statistics.median(found) for variant, found in results.items()}
    fastest = min(medians.values())
    print(f"{'':28}{'median s':>10}{'min':>8}{'max':>8}{'MiB/s':>8}{'ratio':>8}")
    for variant, found in results.items():
        median = medians[variant]
        print(
            f"{variant:<28}{median:10.2f}{min(found):8.2f}{max(found):8.2f}{size / median:8.2f}{median / fastest:8.2f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each variant (%(default)s)")
    parser.add_argument("--size", type=float, default=2, help="MiB per measurement (%(default)s)")
    parser.add_argument("--loss", type=float, default=2, help="percent, in each direction (%(default)s)")
    parser.add_argument("--round-trip", type=float, default=50, help="milliseconds (%(default)s)")
    parser.add_argument("--rate", type=float, default=100, help="Mbit/s (%(default)s)")
    parser.add_argument(
        "--congestion",
        nargs="+",
        choices=sorted(CONGESTION_CONTROLS),
        default=["cubic"],
        help="of native; with several each is measured",
    )
    parser.add_argument("--mixed", action="store_true", help="also native with each of the others")
    arguments = parser.parse_args()
    report(compare(arguments), arguments.size)


if __name__ == "__main__":
    main()
