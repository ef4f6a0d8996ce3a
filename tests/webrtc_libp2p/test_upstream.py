"""py-libp2p's own tests and examples, with no change but the transport and the address: ``upstream/over_webrtc.py``."""

import contextlib
import os
import re
import subprocess
import sys
import tarfile
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.processes import running
from tests.requirements import missing

pytestmark = pytest.mark.soak

PLUGIN = Path(__file__).parent / "upstream"
TEST_TOOLS = ("pytest-trio", "factory-boy", "faker")
"""What those tests need and ours don't."""

TESTS = {
    "swarm": ("tests/core/network/test_swarm.py", "tests/core/network/test_swarm_conn.py"),
    "streams": ("tests/core/network/test_notify.py", "tests/core/network/test_net_stream.py"),
    "hosts": ("tests/core/host/test_ping.py", "tests/core/host/test_connected_peers.py"),
    "identify": ("tests/core/identity",),
    "examples": ("tests/examples/test_examples.py",),
    "pubsub": ("tests/core/pubsub/test_floodsub.py", "tests/core/pubsub/test_gossipsub.py"),
}

NOT_OURS = {
    "test_swarm_listen_multiple_addresses and not connectivity": "looks for a TCP port in each address",
    "test_identify_protocol and not integration": "takes the address that a peer is seen at for where it listens",
    "test_identify_multi_transport_host_addresses": "looks for the addresses of TCP and of a WebSocket",
    "chat_demo": "takes what comes in one read for what was sent in one write; over TCP too, if it reads 50 ms late",
    "test_concurrent_stream_operations": "looks at the peer's events without waiting for them",
}
"""Tests that ask for what TCP alone has, or happens to do, as expressions of pytest's ``-k``."""

RETRIES = 2
"""Times that what has failed is run again: those tests have deadlines of their own, of 100 ms to 3 s, which a machine
that is busy with others doesn't keep, over TCP neither."""

LONGEST = 2400
"""Seconds for one run. Those of pubsub sleep for minutes, over TCP too."""

DIRECT = {"WEBRTC_LISTEN": "/ip4/127.0.0.1/udp/0/webrtc-direct"}
PRIVATE = {"WEBRTC_LISTEN": "/webrtc", "WEBRTC_SIGNALING": "memory://upstream"}


def run(*command, **options):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, **options)


def pip(*arguments):
    done = run(sys.executable, "-m", "pip", *arguments, "--quiet", "--no-deps", timeout=300)
    if done.returncode != 0:
        missing(f"pip {arguments[0]}: {done.stderr[-500:]}")


@pytest.fixture(scope="module")
def upstream(tmp_path_factory):
    """A folder with the tests and the examples of the libp2p that is installed; the library is not in it."""
    folder = tmp_path_factory.mktemp("upstream")
    release = f"libp2p-{version('libp2p')}"
    pip("download", "--no-binary", ":all:", release.replace("-", "=="), "--dest", folder)
    (archive,) = folder.glob("libp2p-*.tar.gz")
    with tarfile.open(archive) as source:
        wanted = ("tests/", "examples/", "pyproject.toml")
        source.extractall(
            folder,
            [each for each in source if each.name.partition("/")[2].startswith(wanted)],
            filter="data",
        )
    pip("install", "--target", folder / "tools", *TEST_TOOLS)
    return folder / release


def environment(upstream, address):
    return {**os.environ, **address, "PYTHONPATH": f"{PLUGIN}:{upstream.parent / 'tools'}"}


@pytest.mark.parametrize("address", [DIRECT, PRIVATE], ids=["direct", "private"])
@pytest.mark.parametrize("name", TESTS)
def test_its_own_tests_pass(upstream, name, address, tmp_path):
    # Without its options, which stop at failures and print much.
    options = (
        "-q",
        "-k",
        " and ".join(f"not ({test})" for test in NOT_OURS),
        "-p",
        "over_webrtc",
        "-o",
        "addopts=",
        "--import-mode=importlib",
        "--tb=short",
    )
    passed = 0
    for only in ([], *RETRIES * [["--last-failed"]]):
        done = run(
            sys.executable,
            *("-m", "pytest", *options, "-o", f"cache_dir={tmp_path}", *only, *TESTS[name]),
            cwd=upstream,
            env=environment(upstream, address),
            timeout=LONGEST,
        )
        if found := re.search(r"([1-9][0-9]*) passed", done.stdout):
            passed += int(found[1])
        if done.returncode == 0:
            break
    assert done.returncode == 0, done.stdout[-20_000:]
    assert passed


@pytest.fixture
def signaling():
    """A signaling server, by its URL."""
    program = Path(sys.executable).with_name("webrtc-signaling")
    with running([program, "serve", "--host", "127.0.0.1", "--port", "0"]) as server:
        yield server.wait_for("ws://")


@contextlib.contextmanager
def example(upstream, name, address, *arguments):
    """An example as a program."""
    command = [sys.executable, "-u", PLUGIN / "over_webrtc.py", f"examples/{name}/{name}.py", *arguments]
    with running([*map(str, command)], cwd=upstream, env=environment(upstream, address)) as process:
        yield process


def read_until(process, text):
    while text not in (line := process.read_line(60)):
        pass
    return line


@pytest.mark.parametrize(
    ("name", "said"),
    [("echo", "Got: hi, there!"), ("ping", "received pong from"), ("identify", "Agent Version")],
)
def test_its_examples_run_over_webrtc(upstream, signaling, name, said):
    address = {"WEBRTC_LISTEN": "/webrtc", "WEBRTC_SIGNALING": signaling}
    with example(upstream, name, address) as listener:
        found = listener.wait_for("/webrtc/p2p/", timeout=60)
        with example(upstream, name, address, "-d", found) as dialer:
            read_until(dialer, said)


def test_its_ping_example_runs_over_webrtc_direct(upstream):
    with example(upstream, "ping", DIRECT) as listener:
        found = listener.wait_for("/ip4/127.0.0.1/udp/", timeout=60)
        with example(upstream, "ping", DIRECT, "-d", found) as dialer:
            read_until(dialer, "received pong from")
