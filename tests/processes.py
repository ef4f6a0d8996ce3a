"""Programs that tests start, whose output they follow line by line."""

import contextlib
import json
import queue
import signal
import subprocess
import tempfile
import threading
import time

END_TIMEOUT = 10


class Process:
    """A program that runs. :func:`running` makes it."""

    def __init__(self, popen, errors):
        self._popen = popen
        self._errors = errors
        self._lines = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, name=f"output of {popen.pid}")
        self._reader.start()

    def read_line(self, timeout=30):
        """The next line of its output."""
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise AssertionError(f"no line within {timeout} s\n{self.errors()}") from None
        assert line is not None, f"the program ended with {self._popen.wait()}\n{self.errors()}"
        return line

    def read_json(self, timeout=30):
        """The next line, decoded."""
        return json.loads(self.read_line(timeout))

    def wait_for(self, prefix, timeout=30):
        """The first word of its output that begins with ``prefix``."""
        deadline = time.monotonic() + timeout
        while True:
            for word in self.read_line(max(0, deadline - time.monotonic())).split():
                if word.startswith(prefix):
                    return word

    def wait_for_event(self, name, timeout=30, **fields):
        """The next line that is JSON with this ``event``, and with these fields."""
        deadline = time.monotonic() + timeout
        expected = {"event": name, **fields}
        while True:
            event = self.read_json(max(0, deadline - time.monotonic()))
            if expected.items() <= event.items():
                return event

    def write_json(self, value):
        """Send one line."""
        self._popen.stdin.write(json.dumps(value) + "\n")
        self._popen.stdin.flush()

    @property
    def is_running(self):
        """Whether it hasn't ended yet."""
        return self._popen.poll() is None

    def errors(self):
        """What it has written to its standard error."""
        self._errors.seek(0)
        return self._errors.read()

    def send_signal(self, signum):
        """Send a signal to the program."""
        self._popen.send_signal(signum)

    def close_input(self):
        """End its standard input, and wait for it to end by that. Returns its exit code."""
        self._popen.stdin.close()
        return self.stop(None)

    def stop(self, signum=signal.SIGTERM):
        """Send it a signal, if it runs, and wait until it has ended. Returns its exit code."""
        if signum is not None and self._popen.poll() is None:
            self._popen.send_signal(signum)
        try:
            code = self._popen.wait(END_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            code = self._popen.wait()
        self._reader.join()
        return code

    def _read(self):
        for line in self._popen.stdout:
            self._lines.put(line)
        self._lines.put(None)


@contextlib.contextmanager
def running(command, **options):
    """Run a program as long as the context is open."""
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, **options
        ) as popen,
    ):
        process = Process(popen, errors)
        try:
            yield process
        finally:
            process.stop()
