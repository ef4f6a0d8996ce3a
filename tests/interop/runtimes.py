"""Peers of several libraries as processes in one network namespace, and their descriptions carried between them."""

import contextlib
import importlib.util
import re
import sys
import tempfile
from pathlib import Path

from tests.browser.nodejs import node_program, npm_packages
from tests.namespaces import ADDRESS
from tests.processes import running
from tests.requirements import missing, require_program

PROJECT = Path(__file__).parents[2]
PEERS = Path(__file__).parent / "peers"

FOREIGN = ("aiortc", "libdatachannel", "libwebrtc", "chromium", "firefox")
"""Those that nobody wrote here."""

ENGINES = ("native", "aiortc")
"""Ours: the engine ``aiortc`` is the reference."""

_BROWSERS = {"chromium": ("chromium",), "firefox": ("firefox-esr", "firefox")}
_START_TIMEOUT = 60


class Actor:
    """A program that carries out commands, which may be under way side by side."""

    def __init__(self, process):
        self.process = process
        self._commands = 0
        self._answers = {}

    def start(self, name, **parameters):
        """Send a command; :meth:`finish` takes what this returns."""
        self._commands += 1
        self.process.write_json({"id": self._commands, "do": name, **parameters})
        return self._commands

    def finish(self, number, timeout=30):
        """The result of a command that was started."""
        while number not in self._answers:
            answer = self.process.read_json(timeout)
            self._answers[answer["id"]] = answer
        answer = self._answers.pop(number)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def abandon(self, number):
        """Let a command be that was started and can't finish."""
        self._answers.pop(number, None)

    def call(self, name, *, timeout=30, **parameters):
        """Send a command, and return its result."""
        return self.finish(self.start(name, **parameters), timeout)


class Peer(Actor):
    """A peer that waits for commands. ``tests/interop/peers/actor.py`` lists them."""

    def __init__(self, process, kind):
        super().__init__(process)
        self.kind = kind
        self.version = self.finish(0, _START_TIMEOUT)["version"]


@contextlib.contextmanager
def running_peer(kind, namespace):
    """A peer: an engine of ours as ``engine-native``, or one of :data:`FOREIGN`."""
    with contextlib.ExitStack() as stack:
        command = [*_command(kind, stack)]
        process = stack.enter_context(running(namespace.command(*command), cwd=PROJECT))
        yield Peer(process, kind)
        if process.is_running:
            process.close_input()


def _command(kind, stack):
    if kind in _BROWSERS:
        profile = tempfile.TemporaryDirectory(prefix="webrtc-interop-", ignore_cleanup_errors=True)
        program = require_program(*_BROWSERS[kind])
        node, packages = node_program(), npm_packages()
        return [node, PEERS / "browser_peer.mjs", kind, program, packages, stack.enter_context(profile)]
    if kind == "libdatachannel":
        return [node_program(), PEERS / "node_peer.mjs", npm_packages(), ADDRESS]
    python = [sys.executable, "-m"]
    if kind.startswith("engine-"):
        return [*python, "tests.interop.peers.engine_peer", kind.removeprefix("engine-"), ADDRESS]
    if kind == "libwebrtc":
        if importlib.util.find_spec("webrtc") is None:
            missing("the package wrtc is not installed; it is in the dependency group dev")
        return [*python, "tests.interop.peers.wrtc_peer"]
    return [*python, "tests.interop.peers.aiortc_peer"]


@contextlib.contextmanager
def running_links(namespace):
    """The program that emulates links."""
    command = [sys.executable, "-m", "tests.emulated_link", ADDRESS]
    with running(namespace.command(*command), cwd=PROJECT) as process:
        yield Actor(process)
        process.close_input()


class Link:
    """An emulated link that stands between two peers."""

    def __init__(self, links, *, seed=0, **path):
        self._links = links
        opened = links.call("open", seed=seed, **path)
        self._number = opened["link"]
        self._addresses = opened["addresses"]

    def through(self, end, sdp):
        """The description of an end, with the link's address in place of its own."""
        candidates = re.findall(r"^a=candidate:.* udp .*$", sdp, re.MULTILINE | re.IGNORECASE)
        fields = next(line.split() for line in candidates if ":" not in line.split()[4])
        # A browser hides its address behind a name.
        address = ADDRESS if fields[4].endswith(".local") else fields[4]
        self._links.call("set_end", link=self._number, end=end, address=[address, int(fields[5])])
        host, port = self._addresses[end]
        lines = [line for line in sdp.splitlines() if not re.match("a=(candidate|end-of-candidates)", line)]
        lines += [f"a=candidate:1 1 udp 2130706431 {host} {port} typ host", "a=end-of-candidates"]
        return "".join(f"{line}\r\n" for line in lines)

    def change(self, **changes):
        """Change both directions."""
        self._links.call("change", link=self._number, **changes)

    def statistics(self):
        """Packets and bytes, by direction."""
        return self._links.call("statistics", link=self._number)

    def close(self):
        """Close it."""
        self._links.call("close", link=self._number)


def connect(offerer, answerer, *, link=None, ours=(), timeout=40, **options):
    """Connect two peers. ``options`` are for those in ``ours``."""
    if "libdatachannel" in (offerer.kind, answerer.kind):
        # What comes while it is told who takes a new channel's messages, it hands on in a wrong order at times:
        # flushPendingMessages(), docs/reference/interoperability.md.
        options["asks_ready"] = True

    def through(end, sdp):
        return link.through(end, sdp) if link is not None else sdp

    def options_of(peer):
        return options if peer in ours else {}

    offer = offerer.call("offer", **options_of(offerer))["sdp"]
    answer = answerer.call("answer", sdp=through(0, offer), **options_of(answerer))["sdp"]
    offerer.call("accept", sdp=through(1, answer))
    waiting = [(peer, peer.start("connected")) for peer in (offerer, answerer)]
    for peer, number in waiting:
        peer.finish(number, timeout)
