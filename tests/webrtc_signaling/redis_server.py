"""A Redis for tests: a process on a free port of its own, which forgets everything when it ends."""

import contextlib
import signal
import socket
import subprocess
import time

from tests.requirements import require_program

START_TIMEOUT = 20


class RedisServer:
    """``redis-server`` on ``host``, or in a namespace; it can be killed and started again on its port."""

    def __init__(self, host="127.0.0.1", *, wrap=list, password=None):
        self._program = require_program("redis-server")
        self._host = host
        self._wrap = wrap
        self._password = password
        self._port = _free_port()
        self._process = None

    @property
    def url(self):
        secret = f":{self._password}@" if self._password else ""
        return f"redis://{secret}{self._host}:{self._port}/0"

    def start(self):
        arguments = [
            self._program,
            "--port",
            self._port,
            "--bind",
            self._host,
            "--protected-mode",
            "no",
            "--save",
            "",
            "--appendonly",
            "no",
        ]
        arguments += ["--requirepass", self._password] if self._password else []
        self._process = subprocess.Popen(
            self._wrap(list(map(str, arguments))), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            assert self._process.poll() is None, "redis-server has ended"
            assert time.monotonic() < deadline, "redis-server doesn't start"
            time.sleep(0.02)

    def send_signal(self, signum):
        self._process.send_signal(signum)

    def kill(self):
        """End it without a word, and with all that it has."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _answers(self):
        with contextlib.suppress(OSError):
            with socket.create_connection((self._host, self._port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith((b"+PONG", b"-NOAUTH"))
        return False


@contextlib.contextmanager
def redis_server(**options):
    """A running Redis."""
    server = RedisServer(**options)
    try:
        server.start()
        yield server
    finally:
        with contextlib.suppress(ProcessLookupError):
            if server._process is not None:
                server.send_signal(signal.SIGCONT)
        server.kill()


def _free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]
