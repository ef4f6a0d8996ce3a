"""The command as its users start it: a process."""

import contextlib
import os
import subprocess
import sys

TIMEOUT = 60
"""Seconds. It takes one; but the whole test run may share the processors."""
RUN = "from webrtc_signaling.server.cli import main; main()"


def command(*arguments, program=RUN):
    return [sys.executable, "-c", program, *arguments]


def environment(**variables):
    # As in the test run, so that the packages are found without being installed.
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(sys.path),
        "NO_COLOR": "1",
        "COLUMNS": "200",
        **variables,
    }


def run(*arguments, program=RUN, **variables):
    return subprocess.run(
        command(*arguments, program=program),
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


@contextlib.contextmanager
def started(*arguments, **variables):
    with subprocess.Popen(
        command("serve", *arguments),
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def port_of(line):
    assert line.startswith("listening on ws://127.0.0.1:"), line
    return int(line.rpartition(":")[2])
