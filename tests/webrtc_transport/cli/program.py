"""The command as its users start it: processes."""

import subprocess
import sys

from tests.processes import running
from tests.webrtc_signaling.command import environment

RUN = "from webrtc_transport.cli.main import main; main()"
TIMEOUT = 60


def command(*arguments):
    return [sys.executable, "-c", RUN, *map(str, arguments)]


def run(*arguments, **variables):
    """Run it to its end."""
    return subprocess.run(
        command(*arguments),
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def started(*arguments, **variables):
    """A context in which it runs; gives a :class:`tests.processes.Process`."""
    return running(command(*arguments), env=environment(**variables))
