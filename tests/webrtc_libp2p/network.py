"""Peers of several kinds in a network namespace: py-libp2p, js-libp2p in Node.js, and js-libp2p in a browser."""

import contextlib
import functools
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.browser.driver import running_browser
from tests.browser.nodejs import node_program, npm_packages
from tests.namespaces import network_namespace
from tests.processes import running

HERE = Path(__file__).parent
JS = HERE / "js"
PROJECT = HERE.parents[1]
TIMEOUT = 120
PAGE_PORT = 8000
"""In a namespace of its own any port is free."""

RELAY_PORTS = {"node": (0, 0), "python": (4101, 4102)}
"""For TCP and for a WebSocket. In a namespace of its own any port is free."""


class Peer:
    """A peer as a process."""

    def __init__(self, kind, process):
        self.kind = kind
        self._process = process
        self._commands = 0

    def command(self, name, **parameters):
        """Send one command, and return its result."""
        self._commands += 1
        self._process.write_json({"id": self._commands, "command": name, **parameters})
        answer = self._process.read_json(TIMEOUT)
        assert answer["id"] == self._commands
        if "error" in answer:
            raise PeerError(
                f"{self.kind}: {name} {parameters}: {answer['error']}\n{self._process.errors()[-2000:]}"
            )
        return answer["result"]


class PeerError(AssertionError):
    """A peer could not do what it was told."""


class BrowserPeer:
    """A peer in a page of a browser."""

    def __init__(self, page):
        self.kind = page.browser.kind
        self._page = page

    def command(self, name, **parameters):
        """Run one command, and return its result."""
        argument = json.dumps(parameters)
        expression = f"peer.{name}({argument})"
        if name == "start":
            expression = f"libp2pPeer.start({argument}).then((peer) => {{ globalThis.peer = peer; }})"
        return self._page.browser.command(
            "evaluate", timeout=TIMEOUT, page=self._page.number, expression=expression
        )


class Network:
    """The namespace, and what can be started in it."""

    def __init__(self, namespace, folder):
        self.namespace = namespace
        self._folder = folder
        for name in ("main.mjs", "peer.mjs", "relay.mjs"):
            shutil.copy(JS / name, folder)
        (folder / "node_modules").symlink_to(npm_packages(JS) / "node_modules")

    @contextlib.contextmanager
    def _process(self, kind, command):
        with running(self.namespace.command(*command), cwd=PROJECT) as process:
            try:
                yield Peer(kind, process)
            except Exception as exc:
                # The cause may stand with another peer than the one that has noticed.
                exc.add_note(f"{kind} wrote:\n{process.errors()[-4000:]}")
                raise

    @contextlib.contextmanager
    def relay(self, kind):
        """A relay of this kind, and its addresses by protocol."""
        tcp, ws = (f"/ip4/{self.namespace.address}/tcp/{port}" for port in RELAY_PORTS[kind])
        ws += "/ws"
        if kind == "node":
            command = [node_program(), self._folder / "main.mjs", "relay", tcp, ws]
        else:
            command = [sys.executable, "-m", "tests.webrtc_libp2p.peer", "--listen", tcp, ws]
        with self._process(kind, command) as relay:
            found = relay.command("addresses")
            relay.ws = next((address for address in found if "/ws/" in address), None)
            relay.tcp = next(address for address in found if "/ws/" not in address)
            yield relay

    @contextlib.contextmanager
    def peer(self, kind, relay):
        """A peer of this kind, which can be reached through ``relay``, and, in a program, over webrtc-direct."""
        direct = f"/ip4/{self.namespace.address}/udp/0/webrtc-direct"
        if kind == "node":
            with self._process(kind, [node_program(), self._folder / "main.mjs", "peer"]) as peer:
                peer.command("start", relay=relay.ws, direct=direct)
                yield peer
        elif kind in ("chromium", "firefox"):
            with self.page(kind) as page:
                peer = BrowserPeer(page)
                peer.command("start", relay=relay.ws)
                yield peer
        else:
            engine = kind.partition("-")[2] or "native"
            command = [
                sys.executable,
                "-m",
                "tests.webrtc_libp2p.peer",
                "--relay",
                relay.tcp,
                "--engine",
                engine,
                "--listen",
                direct,
            ]
            with self._process(kind, command) as peer:
                peer.command("start")
                yield peer

    @contextlib.contextmanager
    def page(self, kind):
        """A page with the peer's module in it, in a browser of its own."""
        site = self._site()
        server = [
            sys.executable,
            "-u",
            "-m",
            "http.server",
            "--bind",
            "127.0.0.1",
            "--directory",
            site,
            PAGE_PORT,
        ]
        with (
            running(self.namespace.command(*server)) as process,
            running_browser(kind, self.namespace) as browser,
        ):
            process.wait_for("HTTP")
            with browser.page(f"http://127.0.0.1:{PAGE_PORT}/") as page:
                yield page

    @functools.cache  # noqa: B019 - one network a session
    def _site(self):
        """A folder with the page, made once."""
        site = self._folder / "site"
        site.mkdir()
        esbuild = self._folder / "node_modules" / "@esbuild" / "linux-x64" / "bin" / "esbuild"
        bundle = ["--bundle", "--format=iife", "--global-name=libp2pPeer", f"--outfile={site / 'peer.js'}"]
        done = subprocess.run(
            [esbuild, *bundle, "peer.mjs"],
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        page = '<!doctype html><meta charset="utf-8"><title>peer</title><script src="peer.js"></script>'
        (site / "index.html").write_text(page)
        return site


@contextlib.contextmanager
def network():
    """A namespace with nothing in it yet."""
    with network_namespace() as namespace, tempfile.TemporaryDirectory(prefix="webrtc-js-") as folder:
        yield Network(namespace, Path(folder))
