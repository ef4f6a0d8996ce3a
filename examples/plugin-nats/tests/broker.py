"""A NATS server for the tests, on a free port of this machine."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest

START_TIMEOUT = 20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(port: int, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """A server as long as the context is open."""
    program = shutil.which("nats-server", path="/usr/bin:/usr/sbin:/usr/local/bin:/opt/homebrew/bin")
    if program is None:
        pytest.skip("nats-server is not installed; on Debian, apt-get install nats-server")
    command = [program, "-a", "127.0.0.1", "-p", str(port), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port, process)
            yield process
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            assert process.poll() is None, f"nats-server ended with {process.returncode}"
            assert time.monotonic() < deadline, f"nats-server doesn't listen after {START_TIMEOUT} s"
            time.sleep(0.02)
        else:
            return


PORT = free_port()
URL = f"nats://127.0.0.1:{PORT}"
