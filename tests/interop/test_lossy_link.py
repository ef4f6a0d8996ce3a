"""Transfers with peers that nobody here wrote, over a link that loses, doubles, delays and swaps packets."""

import time

import pytest

from tests.interop.runtimes import Link, connect

KIB, MESSAGE = 1024, 16 * 1024
ROUGH = {"delay": 0.005, "jitter": 0.003, "loss": 0.05, "duplication": 0.02, "rate": 12.5e6}
"""The jitter is much more than lies between two packets, so that they overtake each other."""


@pytest.fixture
def rough_link(links):
    opened = []

    def make(**options):
        opened.append(Link(links, **{**ROUGH, **options}))
        return opened[-1]

    yield make
    for link in opened:
        link.close()


def both(ours, foreign, we_offer):
    return (ours, foreign) if we_offer else (foreign, ours)


def test_transfers_each_way(native, foreign, we_offer, rough_link):
    link = rough_link(seed=we_offer)
    connect(*both(native, foreign, we_offer), ours=(native,), link=link)
    native.call("send", channels=2, bytes=64 * KIB, size=MESSAGE)
    foreign.call("send", channels=2, bytes=64 * KIB, size=MESSAGE, timeout=60)
    native.call("burst", count=20, label="once")
    if foreign.kind != "libdatachannel":
        # Some of those that it opens and closes itself never end for it; docs/reference/interoperability.md.
        foreign.call("burst", count=20, label="echo")
    foreign.call("close")


def test_a_blackout_amid_a_transfer(native, foreign, rough_link):
    link = rough_link(loss=0.0)
    connect(native, foreign, ours=(native,), link=link)
    transfers = [
        (peer, peer.start("send", channels=1, bytes=512 * KIB, size=MESSAGE)) for peer in (native, foreign)
    ]
    link.change(loss=1.0)
    time.sleep(1)
    link.change(loss=0.0)
    for peer, number in transfers:
        peer.finish(number, timeout=60)
    foreign.call("close")


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(20))
def test_set_up_with_a_fifth_lost(native, foreign, we_offer, rough_link, seed):
    connect(*both(native, foreign, we_offer), ours=(native,), link=rough_link(seed=seed, loss=0.2))
    native.call("send", channels=2, bytes=64 * KIB, size=MESSAGE, timeout=120)
    foreign.call("send", channels=2, bytes=64 * KIB, size=MESSAGE, timeout=120)
    foreign.call("close")
