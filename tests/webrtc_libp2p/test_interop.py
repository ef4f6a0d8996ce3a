"""Real peers meet over a relay, each way: py-libp2p, js-libp2p in Node.js, and js-libp2p in browsers."""

import time

import pytest

from tests.webrtc_libp2p.network import PeerError, network

MIB = 2**20


@pytest.fixture(scope="module")
def net():
    with network() as net:
        yield net


@pytest.fixture(scope="module")
def relay(net):
    with net.relay("node") as relay:
        yield relay


PAIRS = [
    ("python", "python"),
    *[(python, other) for python in ("python", "python-aiortc") for other in ("node", "chromium", "firefox")],
    *[(other, python) for python in ("python", "python-aiortc") for other in ("node", "chromium", "firefox")],
]


def address_of(listener):
    """Where it is reached, through the relay's WebSocket address, for browsers know no other."""
    return next(address for address in listener.command("addresses") if "/ws/" in address)


def check(dialer, size):
    assert "/echo/1.0.0" in dialer.command("protocols")
    assert dialer.command("ping") >= 0
    assert dialer.command("echo", size=size)
    assert dialer.command("echo", size=1024, streams=100)
    assert dialer.command("count", size=100_000) == "100000"
    assert dialer.command("reset") == "StreamResetError"
    # The stream's end, and no other.
    assert dialer.command("echo", size=1024)


@pytest.mark.parametrize(("dialing", "listening"), PAIRS)
def test_peers_meet(net, relay, dialing, listening):
    with net.peer(listening, relay) as listener, net.peer(dialing, relay) as dialer:
        dialer.command("dial", address=address_of(listener))
        check(dialer, 10 * MIB)
        listener.command("adopt")
        check(listener, MIB)


@pytest.mark.parametrize(
    ("dialing", "listening"),
    [("python", "python"), ("python", "node"), ("node", "python"), ("node", "node"), ("chromium", "python")],
)
def test_peers_meet_over_a_relay_of_py_libp2p(net, dialing, listening):
    with (
        net.relay("python") as relay,
        net.peer(listening, relay) as listener,
        net.peer(dialing, relay) as dialer,
    ):
        dialer.command("dial", address=address_of(listener))
        assert dialer.command("ping") >= 0
        assert dialer.command("echo", size=MIB)
        listener.command("adopt")
        assert listener.command("echo", size=MIB)


@pytest.mark.parametrize(
    ("dialing", "listening"), [("python", "node"), ("node", "python"), ("chromium", "python")]
)
def test_peers_meet_over_webrtc_direct(net, relay, dialing, listening):
    with net.peer(listening, relay) as listener, net.peer(dialing, relay) as dialer:
        (address,) = listener.command("addresses", direct=True)
        dialer.command("dial", address=address)
        check(dialer, 10 * MIB)
        listener.command("adopt")
        check(listener, MIB)


@pytest.mark.parametrize(
    ("dialing", "listening"), [("python", "node"), ("node", "python"), ("python", "python")]
)
def test_twenty_dials_in_a_row(net, relay, dialing, listening):
    with net.peer(listening, relay) as listener, net.peer(dialing, relay) as dialer:
        address = address_of(listener)
        for _ in range(20):
            assert dialer.command("dial", address=address) > 0
            assert dialer.command("echo", size=1024)
            dialer.command("close")


@pytest.mark.parametrize(
    ("dialing", "listening"), [("python", "node"), ("python", "python"), ("node", "python")]
)
def test_when_udp_is_blocked_the_dial_fails_by_name_and_the_relay_goes_on(net, relay, dialing, listening):
    with net.peer(listening, relay) as listener, net.peer(dialing, relay) as dialer:
        address = address_of(listener)
        with net.namespace.udp_blocked():
            started = time.monotonic()
            with pytest.raises(PeerError) as caught:
                dialer.command("dial", address=address)
            # js-libp2p's own deadline is the test's.
            assert time.monotonic() - started < (25 if dialing == "node" else 12)
        if dialing == "python":
            assert "IceFailed" in str(caught.value) or "in phase 'ice'" in str(caught.value)
            assert dialer.command("kinds") == ["relayed"]
            assert dialer.command("ping") >= 0
        # The listener serves on.
        assert dialer.command("dial", address=address) > 0
        assert dialer.command("echo", size=1024)
