"""The program for libp2p's unified-testing keeps to its contract, against itself and against other libp2ps."""

import os
import re
import signal
import sys
import time
from pathlib import Path

import pytest
import redis

from tests.interop_direct.peers import start_go, start_js
from tests.namespaces import network_namespace
from tests.processes import running
from tests.requirements import require_program

PROJECT = Path(__file__).parents[2]
PORT = 6379
RESULT = re.compile(r"latency:\n  handshake_plus_one_rtt: (\d+\.\d+)\n  ping_rtt: (\d+\.\d+)\n  unit: ms\n")


@pytest.fixture(scope="module")
def network():
    with network_namespace() as network:
        yield network


@pytest.fixture(scope="module")
def store(network, tmp_path_factory):
    """A Redis server inside the namespace, reached by a Unix socket from outside of it."""
    path = tmp_path_factory.mktemp("redis") / "socket"
    options = [
        "--port",
        PORT,
        "--bind",
        network.address,
        "--unixsocket",
        path,
        "--save",
        "",
        "--appendonly",
        "no",
    ]
    command = network.command(
        require_program("redis-server"), *options, "--protected-mode", "no", "--dir", path.parent
    )
    with running(command) as server, redis.Redis(unix_socket_path=str(path)) as store:
        server.wait_for("Ready")
        yield store


@pytest.fixture
def key(request):
    return f"{abs(hash(request.node.name)) % 2**32:08x}"


def environment(network, key, transport, **more):
    told = {
        "REDIS_ADDR": f"{network.address}:{PORT}",
        "TEST_KEY": key,
        "TRANSPORT": transport,
        "DEBUG": "false",
    }
    return {**os.environ, **told, **more}


def program(network, **variables):
    """It, running in the namespace."""
    command = network.command(sys.executable, "-m", "tests.interop.unified_testing")
    return running(command, cwd=PROJECT, env=environment(network, **variables))


def listening(network, key, transport):
    return program(network, key=key, transport=transport, IS_DIALER="false", LISTENER_IP="0.0.0.0")


def results(network, key, transport):
    """What the dialer reports, in ms: until the first answer, and of one round trip."""
    with program(network, key=key, transport=transport, IS_DIALER="true") as dialer:
        lines = [dialer.read_line(60) for _ in range(4)]
        assert dialer.stop(None) == 0, dialer.errors()
    found = RESULT.fullmatch("".join(lines))
    assert found, lines
    return float(found[1]), float(found[2])


def address_in(store, key):
    deadline = time.monotonic() + 30
    while (found := store.get(f"{key}_listener_multiaddr")) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found.decode()


@pytest.mark.parametrize("transport", ["webrtc-direct", "webrtc"])
def test_against_itself(network, store, key, transport):
    with listening(network, key, transport) as listener:
        handshake, round_trip = results(network, key, transport)
        assert handshake > round_trip > 0
        assert listener.is_running
        assert f"/{transport}" in address_in(store, key)
        assert listener.stop(signal.SIGTERM) != 0


@pytest.mark.parametrize("start", [start_go, start_js], ids=["go", "js"])
def test_it_is_dialed_by_others(network, store, key, start):
    with listening(network, key, "webrtc-direct"), start(network, 1) as peer:
        address = address_in(store, key)
        assert network.address in address
        peer.dial(address)
        assert peer.run("ping")["seconds"] > 0


@pytest.mark.parametrize("start", [start_go, start_js], ids=["go", "js"])
def test_it_dials_others(network, store, key, start):
    with start(network, 1) as peer:
        store.set(f"{key}_listener_multiaddr", peer.listen())
        handshake, round_trip = results(network, key, "webrtc-direct")
        assert handshake > round_trip > 0


def test_a_dial_that_fails_says_so_and_ends_with_a_failure(network, store, key):
    nobody = (
        f"/ip4/{network.address}/udp/9/webrtc-direct/certhash/uEiAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
        "/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
    )
    store.set(f"{key}_listener_multiaddr", nobody)
    with program(network, key=key, transport="webrtc-direct", IS_DIALER="true") as dialer:
        with pytest.raises(AssertionError, match="ended with 1"):
            dialer.read_line(90)
        assert "SwarmException" in dialer.errors()


@pytest.mark.parametrize(
    ("variables", "named"),
    [
        ({"transport": "tcp"}, "TRANSPORT has to be one of webrtc-direct, webrtc"),
        ({"transport": "webrtc", "IS_DIALER": "yes"}, "IS_DIALER has to be true or false"),
        ({"transport": "webrtc", "REDIS_ADDR": ""}, "REDIS_ADDR has to be"),
        ({"transport": "webrtc", "TEST_KEY": ""}, "TEST_KEY has to be there"),
    ],
)
def test_settings_that_are_wrong_are_named(network, key, variables, named):
    with program(network, key=key, **variables) as process:
        with pytest.raises(AssertionError, match="ended with 1"):
            process.read_line(30)
        assert named in process.errors()
