"""Twenty dials in a row each way between py-libp2p and js-libp2p hosts, beside those among js-libp2p hosts."""

import contextlib
import statistics
import time

import pytest

from tests.webrtc_libp2p.network import network

pytestmark = pytest.mark.soak

DIALS = 20
PACE = 0.3
"""Seconds between dials: js-libp2p refuses what comes at more than 5 a second over webrtc-direct."""

PAIRS = [("node", "node"), ("python", "node"), ("node", "python"), ("python", "python")]


def wanted(address, flavour):
    """Browsers and js-libp2p reach the relay by its WebSocket."""
    return flavour == "direct" or "/ws/" in address


@pytest.mark.parametrize("flavour", ["private", "direct"])
def test_twenty_dials_each_way_take_less_than_twice_as_long_as_among_nodes(flavour, capsys):
    took = {pair: [] for pair in PAIRS}
    with network() as net, net.relay("node") as relay, contextlib.ExitStack() as stack:
        ends = {}
        for dialing, listening in PAIRS:
            listener = stack.enter_context(net.peer(listening, relay))
            dialer = stack.enter_context(net.peer(dialing, relay))
            found = listener.command("addresses", direct=flavour == "direct")
            ends[dialing, listening] = dialer, next(a for a in found if wanted(a, flavour))
        # In turns, so that whatever else the machine does falls on each of them alike. The first dial of each makes
        # what the others find made: the connection through the relay, and modules.
        for number in range(DIALS + 1):
            for pair, (dialer, address) in ends.items():
                milliseconds = dialer.command("dial", address=address)
                assert dialer.command("echo", size=1024)
                dialer.command("close")
                if number:
                    took[pair].append(milliseconds)
                time.sleep(PACE)
    medians = {pair: statistics.median(times) for pair, times in took.items()}
    with capsys.disabled():
        for (dialing, listening), times in took.items():
            print(
                f"\n{flavour}: {dialing} dials {listening}: {len(times)} of {DIALS}, "
                f"median {statistics.median(times):.0f} ms, longest {max(times):.0f} ms",
                end="",
            )
    assert all(len(times) == DIALS for times in took.values())
    for pair in PAIRS[1:3]:
        assert medians[pair] < 2 * medians["node", "node"], f"{pair}: {medians}"
