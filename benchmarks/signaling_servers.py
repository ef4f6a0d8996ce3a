"""The signaling servers that a load is put on, each pinned to one core, and what they use."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import tools

SECONDS_TO_START = 20.0

CORES = sorted(os.sched_getaffinity(0))
"""The first is the server's, and the last one the clients'."""

OURS = {
    "WEBRTC_SIGNALING_LOG_LEVEL": "warning",
    # A client of the measure of rates sends as much as a hundred do elsewhere.
    "WEBRTC_SIGNALING_MAX_MESSAGES_PER_SECOND": "1000000",
    "WEBRTC_SIGNALING_MAX_MESSAGE_BURST": "1000000",
}
"""Settings that aren't the defaults."""


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    pid: int
    port: int

    def memory(self) -> int:
        """Bytes that belong to this process alone (Uss), as the kernel counts them."""
        rows = (line.split() for line in Path(f"/proc/{self.pid}/smaps_rollup").read_text().splitlines()[1:])
        kib = {row[0]: int(row[1]) for row in rows}
        return (kib["Private_Clean:"] + kib["Private_Dirty:"]) * 1024

    def cpu(self) -> float:
        """Seconds of processor time, of the kernel in its name too."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running_server(kind: str, *options: str) -> Iterator[Server]:
    """Run ``ours`` or ``peerjs`` on one core, as long as the context is open."""
    port = _free_port()
    with _pinned([*_command(kind, port), *options], CORES[0], OURS) as pid:
        _wait_for(port)
        yield Server(pid, port)


@contextmanager
def running_redis() -> Iterator[str]:
    """Run Redis beside the clients, as long as the context is open; gives its URL."""
    port = _free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with _pinned(command, CORES[-1], {}):
        _wait_for(port)
        yield f"redis://127.0.0.1:{port}/0"


def raise_limits() -> None:
    """Let this process and its children have as many open files as they may: one for each client, on both sides."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _command(kind: str, port: int) -> list[str]:
    if kind == "peerjs":
        tools.install("peerjs")
        program = tools.folder("peerjs") / "node_modules" / "peer" / "dist" / "bin" / "peerjs.js"
        return [
            "node", str(program), "--port", str(port), "--host", "127.0.0.1", "--concurrent_limit", "100000",
            # The clients here don't send PeerJS's heartbeat.
            "--alive_timeout", "3600000",
        ]  # fmt: skip
    program = Path(sys.executable).with_name("webrtc-signaling")
    return [str(program), "serve", "--port", str(port)]


@contextmanager
def _pinned(command: Sequence[str], core: int, environment: Mapping[str, str]) -> Iterator[int]:
    with subprocess.Popen(
        ["taskset", "--cpu-list", str(core), *command],
        stdout=subprocess.DEVNULL,
        env={**os.environ, **environment},
    ) as popen:
        try:
            yield popen.pid
        finally:
            popen.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return
