"""What a stream has received and its application hasn't read."""

from __future__ import annotations

from collections import deque
from typing import Final

SMALL_CHUNK: Final = 4096
"""Bytes up to which unread chunks are put together: each takes an object, fifty times as large as a few bytes."""


class ReceiveQueue:
    """Received bytes in order. The stream sees to it that there are no more than the connection has room for."""

    __slots__ = ("chunks", "reads")

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        """They hold no empty one."""
        self.reads = 0
        """How often something was read."""

    @property
    def size(self) -> int:
        """Bytes that wait to be read."""
        return sum(map(len, self.chunks))

    def append(self, payload: bytes) -> None:
        """Keep what has arrived."""
        chunks = self.chunks
        if chunks and len(chunks[-1]) + len(payload) <= SMALL_CHUNK:
            chunks[-1] += payload
        else:
            chunks.append(payload)

    def take(self, max_bytes: int) -> bytes:
        """Read from 1 to ``max_bytes`` bytes. There are some."""
        data = self.chunks.popleft()
        self.reads += 1
        if len(data) > max_bytes:
            self.chunks.appendleft(data[max_bytes:])
            data = data[:max_bytes]
        return data

    def clear(self) -> int:
        """Throw everything away, and return how many bytes that was."""
        size = self.size
        self.chunks.clear()
        return size
