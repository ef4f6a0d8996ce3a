"""Two browsers, two echo peers and a rendezvous server, in a network namespace of their own."""

import contextlib
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.browser.driver import running_browser
from tests.namespaces import network_namespace
from tests.processes import Process, running

ENGINES = ["native", "aiortc"]

PEERS = Path(__file__).parents[1] / "peers"


@dataclass(frozen=True)
class Peer:
    """An echo peer that runs."""

    process: Process
    peer_id: str
    address: str


class Server:
    """A rendezvous server. It listens on the same port each time that it is started."""

    def __init__(self, namespace, *options):
        self._namespace = namespace
        self._options = options
        self._running = contextlib.ExitStack()
        self.port = 0

    @property
    def url(self):
        """For peers."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def page_url(self):
        """For browsers."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self):
        command = [Path(sys.executable).with_name("webrtc-signaling"), "serve", "--host", "0.0.0.0"]
        process = running(self._namespace.command(*command, "--port", self.port, *self._options))
        told = self._running.enter_context(process).wait_for("ws://")
        self.port = int(told.rpartition(":")[2])

    def stop(self):
        self._running.close()


class Network:
    """The namespace, and what can be started in it."""

    def __init__(self, namespace):
        self.namespace = namespace

    @contextlib.contextmanager
    def server(self, *options):
        """A rendezvous server, as a process."""
        server = Server(self.namespace, *options)
        server.start()
        try:
            yield server
        finally:
            server.stop()

    @contextlib.contextmanager
    def peer(self, server, backend, *options, engine="native"):
        """An echo peer, as a process."""
        command = [sys.executable, PEERS / "echo_peer.py", "--backend", backend, "--engine", engine]
        command += ["--signaling", server.url]
        with running(self.namespace.command(*command, *options)) as process:
            told = process.wait_for_event("listening")
            yield Peer(process, told["peer"], told["address"])


@pytest.fixture(scope="session")
def network():
    with network_namespace() as namespace:
        yield Network(namespace)


@pytest.fixture(scope="session")
def server(network):
    with network.server() as server:
        yield server


@pytest.fixture(scope="session", params=["chromium", "firefox"])
def browser(request, network):
    with running_browser(request.param, network.namespace) as browser:
        yield browser


@pytest.fixture(scope="session", params=ENGINES)
def engine(request):
    """The tests that need no other peer than their own run with each engine."""
    return request.param


@pytest.fixture(scope="session", params=["asyncio", "trio"])
def peer(request, network, server, engine):
    with network.peer(server, request.param, engine=engine) as peer:
        yield peer


@pytest.fixture(scope="session")
def asyncio_peer(network, server, engine):
    with network.peer(server, "asyncio", engine=engine) as peer:
        yield peer
