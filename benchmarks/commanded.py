"""Programs of ``peers/`` that a measurement runs, and that carry out commands or tell one result."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Result = dict[str, Any]
"""What a command, or a whole measurement, tells."""

TIMEOUT = 300.0
"""Seconds for one command."""


class Commanded:
    """A program that runs. :func:`running` makes it."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        self._popen = popen

    def begin(self, name: str, **arguments: object) -> None:
        """Let it begin to carry out a command."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(json.dumps({"do": name, **arguments}).encode() + b"\n")
        self._popen.stdin.flush()

    def result(self) -> Result:
        """What it answers.

        :raises RuntimeError: if it ends without an answer
        :raises TimeoutError: if there is none within the time
        """
        assert self._popen.stdout is not None
        if not select.select([self._popen.stdout], [], [], TIMEOUT)[0]:
            raise TimeoutError(f"no result within {TIMEOUT:g} s")
        text = self._popen.stdout.readline()
        if not text:
            raise RuntimeError(f"the program ended with {self._popen.wait()}")
        result: Result = json.loads(text)
        return result

    def call(self, name: str, **arguments: object) -> Result:
        """Carry out one command."""
        self.begin(name, **arguments)
        return self.result()


@contextmanager
def running(module: str, *arguments: object) -> Iterator[Commanded]:
    """Run ``benchmarks.peers.<module>`` as long as the context is open. If that fails, its errors are shown."""
    command = [sys.executable, "-m", f"benchmarks.peers.{module}", *map(str, arguments)]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors) as popen,
    ):
        try:
            yield Commanded(popen)
        except Exception:
            errors.seek(0)
            sys.stderr.write(errors.read().decode())
            raise
        finally:
            popen.kill()


def save(file: Path, name: str, found: Result) -> None:
    """Put what was measured into a file of JSON, in place of what it has by that name."""
    measured: Result = json.loads(file.read_text()) if file.exists() else {}
    measured[name] = {"date": f"{datetime.now(UTC):%Y-%m-%d}", "cores": os.cpu_count(), **found}
    file.write_text(json.dumps(measured, indent=1) + "\n")
