"""JSON lines between the two processes of a measurement, on standard input and output.

The parent process passes each line on to the other end, but for one with ``result``, which it keeps.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import anyio

Line = dict[str, Any]


class Lines:
    """This process's end. Reading may be cancelled: nothing is lost."""

    def __init__(self) -> None:
        self._buffer = b""

    async def read(self) -> Line:
        """The next line of the other end."""
        while b"\n" not in self._buffer:
            await anyio.wait_readable(sys.stdin.fileno())
            data = os.read(sys.stdin.fileno(), 65536)
            if not data:
                raise EOFError("the other end is gone")
            self._buffer += data
        text, _, self._buffer = self._buffer.partition(b"\n")
        line: Line = json.loads(text)
        return line

    def write(self, line: Line) -> None:
        """Send a line to the other end, or a result to the parent process."""
        os.write(sys.stdout.fileno(), json.dumps(line).encode() + b"\n")
