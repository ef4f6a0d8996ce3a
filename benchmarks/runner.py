"""Runs the two processes of a measurement, and all measurements in turn."""

from __future__ import annotations

import json
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from .measures import Measure, Pair, Program, Result

PROJECT = Path(__file__).parents[1]

TIMEOUT = 120.0
"""Seconds for one measurement. Some references hang now and then."""

WITHOUT_RESULT = frozenset({"round-trips", "streams", "setups", "crowd"})
"""Roles whose accepting end has nothing to tell."""


class MeasurementFailed(Exception):
    """A process ended, or hung, before it had a result."""


class Process:
    """One end. Its lines go to the other end, but for its result."""

    def __init__(self, program: Program, end: str, role: str, parameters: Mapping[str, int]) -> None:
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._popen = subprocess.Popen(
            [*program.command, end, role, json.dumps(dict(parameters))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            cwd=PROJECT,
        )
        self.result: Result | None = None
        self.done = threading.Event()

    def follow(self, other: Process) -> None:
        """Pass its lines on, in a thread of its own."""
        threading.Thread(target=self._follow, args=(other,), daemon=True).start()

    def _follow(self, other: Process) -> None:
        assert self._popen.stdout is not None
        for text in self._popen.stdout:
            if text.startswith('{"result"'):
                self.result = json.loads(text)["result"]
                self.done.set()
            else:
                other.write(text)
        self.done.set()

    def write(self, text: str) -> None:
        """Give it a line."""
        stdin: IO[str] | None = self._popen.stdin
        assert stdin is not None
        try:
            stdin.write(text)
            stdin.flush()
        except BrokenPipeError:
            # It has ended; whoever waits for its result says so.
            return

    def wait_result(self) -> Result:
        """Its result.

        :raises MeasurementFailed: if there is none within the time
        """
        self.done.wait(TIMEOUT)
        if self.result is None:
            self.errors.seek(0)
            raise MeasurementFailed(self.errors.read()[-2000:].strip() or f"no result within {TIMEOUT:g} s")
        return self.result

    def stop(self) -> None:
        """End it."""
        self._popen.kill()
        self._popen.wait()
        self.errors.close()


def measure(measure: Measure, pair: Pair, parameters: Mapping[str, int]) -> dict[str, float]:
    """One measurement: its figures by unit.

    :raises MeasurementFailed: if it came to nothing
    """
    slowness = max(pair.accepts.slowness, pair.dials.slowness) if measure.role == "transfer" else 1
    scaled = {**parameters, "count": parameters["count"] // slowness}
    with ExitStack() as stack:
        accepting = Process(pair.accepts, "accept", measure.role, scaled)
        stack.callback(accepting.stop)
        dialing = Process(pair.dials, "dial", measure.role, scaled)
        stack.callback(dialing.stop)
        accepting.follow(dialing)
        dialing.follow(accepting)
        result = dialing.wait_result()
        other = {} if measure.role in WITHOUT_RESULT else accepting.wait_result()
        return measure.figures(other, result, scaled)
