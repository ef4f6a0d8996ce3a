"""Foreign libp2p peers that speak webrtc-direct, as programs that a test starts; README.md has their protocol.

A kind of peer is whatever :attr:`PeerKind.start` starts: something with the methods of :class:`Peer`. The foreign ones
are processes. One that lives in the test's own process, on this machine's loopback, is one more kind.
"""

import contextlib
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.browser.nodejs import node_program
from tests.processes import running
from tests.requirements import missing, require_program

HERE = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "webrtc-transport-interop"

MIB = 1024 * 1024
BUILD_TIMEOUT = 15 * 60
ANSWER_TIMEOUT = 30


class PeerError(Exception):
    """A command ended with an error, which is the peer's own text."""


class Peer:
    """A foreign peer that runs."""

    def __init__(self, process, address):
        self._process = process
        self._address = address
        self._commands = 0
        self._events = deque()

    def listen(self):
        """Listen on a free port of the network's address. Returns the multiaddr to dial."""
        address = f"/ip4/{self._address}/udp/0/webrtc-direct"
        addresses = self.run("listen", address=address)["addresses"]
        return next(each for each in addresses if each.startswith(f"/ip4/{self._address}/"))

    def dial(self, address, timeout=ANSWER_TIMEOUT):
        """Dial a multiaddr. Returns the peer id, and the seconds that it took by the peer's own clock."""
        return self.run("dial", timeout, address=address)

    def run(self, command, timeout=ANSWER_TIMEOUT, **parameters):
        """Run a command; raises :class:`PeerError` when it fails, and when it doesn't end within ``timeout``."""
        self._commands += 1
        number = self._commands
        self._process.write_json({"id": number, "command": command, **parameters})
        deadline = time.monotonic() + timeout
        while (line := self._next(deadline, f"{command} has not ended within {timeout} s")).get(
            "id"
        ) != number:
            # Answers to commands that took too long come before it.
            if "event" in line:
                self._events.append(line)
        if "error" in line:
            raise PeerError(line["error"])
        return line["result"]

    def wait_for_event(self, name, timeout=ANSWER_TIMEOUT):
        """The next event of that name; those before it are dropped."""
        deadline = time.monotonic() + timeout
        while True:
            late = f"no event {name} within {timeout} s"
            event = self._events.popleft() if self._events else self._next(deadline, late)
            if event.get("event") == name:
                return event

    def send_signal(self, signum):
        """Send a signal to its process."""
        self._process.send_signal(signum)

    def end(self):
        """Let it end by itself, as gracefully as it can. Returns its exit code."""
        return self._process.close_input()

    def errors(self):
        """What it has written to its standard error."""
        return self._process.errors()

    def _next(self, deadline, late):
        try:
            return self._process.read_json(max(0, deadline - time.monotonic()))
        except AssertionError as exc:
            raise PeerError(f"{late}; {exc}") from None


@dataclass(frozen=True)
class Defect:
    """A cell of the matrix that fails, for a reason in somebody else's library."""

    cells: tuple[str, ...]
    """The names of the tests in test_peers.py."""
    symptom: str
    evidence: str
    """Version and place in the source."""
    dialers: tuple[str, ...] | None = None
    """For a listener's defect: with which dialers, by name; all without it."""
    listeners: tuple[str, ...] | None = None
    """For a dialer's defect: with which listeners."""
    always: bool = True
    """Whether it fails each time."""


@dataclass(frozen=True)
class PeerKind:
    """What a peer can do, and how it is started."""

    name: str
    library: str
    start: Callable
    """``start(network, version)`` is a context manager that gives a :class:`Peer`."""
    listens: tuple[int, ...] = ()
    """The versions of webrtc-direct that its listener takes, on one port."""
    dials: tuple[int, ...] = ()
    """The versions that its dialer can be told to speak."""
    in_browser: bool = False
    largest_write: int = 65536
    """A larger one makes frames (of up to 16384 bytes) that it can't read from everybody."""
    end_timeout: int = 5
    """Seconds for it to notice an end that was told to it."""
    burst: int = 200
    """How many streams can be opened at once without losing some."""
    listener_defects: tuple[Defect, ...] = ()
    dialer_defects: tuple[Defect, ...] = ()


class Loopback:
    """This machine's own network, for peers that need no other."""

    address = "127.0.0.1"

    def command(self, *arguments):
        """The command line that runs a program in it."""
        return [*map(str, arguments)]


def build(name):
    """Build one of ``go``, ``rust``, ``js`` and ``python``, unless it is built already."""
    tool = {"go": "go", "rust": "cargo"}.get(name)
    if tool is not None:
        require_program(tool)
    return _build(name)


@functools.cache
def _build(name):
    environment = {**os.environ, "PYTHON": sys.executable}
    done = subprocess.run(
        [HERE / "build.sh", name],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_TIMEOUT,
    )
    if done.returncode != 0:
        missing(f"the {name} peer could not be built: {(done.stdout + done.stderr).strip()[-1000:]}")


@contextlib.contextmanager
def _start(network, *command):
    with running(network.command(*command)) as process:
        yield Peer(process, network.address)


def start_go(network, version):
    """A process of go-libp2p."""
    build("go")
    return _start(network, CACHE / "go-peer", "-version", version)


def start_rust(network, version):
    """A process of rust-libp2p."""
    build("rust")
    return _start(network, CACHE / "rust" / "release" / "interop-peer")


def start_js(network, version):
    """js-libp2p in Node.js."""
    build("js")
    return _start(network, node_program(), CACHE / "js" / "node.mjs")


def start_python(network, version):
    """libp2p 0.8.1's own transport."""
    build("python")
    return _start(
        network, CACHE / "python" / "bin" / "python", HERE / "python" / "peer.py", "--version", version
    )


@contextlib.contextmanager
def _start_browser(kind, network, version, *programs):
    build("js")
    program = require_program(*programs)
    with tempfile.TemporaryDirectory(prefix="webrtc-browser-", ignore_cleanup_errors=True) as profile:
        driver = (node_program(), CACHE / "js" / "browser.mjs", kind, program, profile, version)
        with _start(network, *driver) as peer:
            peer.wait_for_event("started", timeout=60)
            yield peer
            peer.end()


def start_chromium(network, version):
    """js-libp2p in a headless Chromium; for version 2 it is a Chromium that refuses to munge."""
    return _start_browser("chromium", network, version, "chromium")


def start_firefox(network, version):
    """js-libp2p in a headless Firefox."""
    return _start_browser("firefox", network, version, "firefox-esr", "firefox")
