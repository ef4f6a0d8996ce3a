"""Real peers meet over a relay, each way: py-libp2p, js-libp2p in Node.js, and js-libp2p in browsers."""

import pytest

from tests.webrtc_libp2p.network import network

MIB = 2**20


@pytest.fixture(scope="module")
def net():
    with network() as net:
        yield net


@pytest.fixture(scope="module")
def relay(net):
    with net.relay("node") as relay:
        yield relay


def check(dialer, size):
    assert "/echo/1.0.0" in dialer.command("protocols")
    assert dialer.command("ping") >= 0
    assert dialer.command("echo", size=size)
    assert dialer.command("echo", size=1024, streams=100)
    assert dialer.command("count", size=100_000) == "100000"
    assert dialer.command("reset") == "StreamResetError"
    # The stream's end, and no other.
    assert dialer.command("echo", size=1024)


@pytest.mark.parametrize(
    ("dialer", "listener"),
    [
        ("python", "node"),
        ("node", "python"),
        ("python", "python"),
        ("python", "chromium"),
        ("chromium", "python"),
        ("python-native", "node"),
        ("node", "python-native"),
        ("python-native", "chromium"),
        ("python", "firefox"),
        ("firefox", "python"),
    ],
)
def test_peers_meet(net, relay, dialer, listener):
    with net.peer(listener, relay) as listener, net.peer(dialer, relay) as dialer:
        address = next(address for address in listener.command("addresses"))
        print(address, dialer.command("dial", address=address))
        check(dialer, 10 * MIB)
        print(listener.command("adopt"))
        check(listener, MIB)
