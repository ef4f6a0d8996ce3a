"""What a stream has received and nobody has read yet."""

from __future__ import annotations

from collections import deque
from typing import Final

SMALL_CHUNK: Final = 4096
"""Bytes up to which unread chunks are put together: each takes an object, fifty times as large as a few bytes."""


class UnreadBytes:
    """Bytes that wait to be read, in the order in which they came."""

    __slots__ = ("chunks", "reads")

    def __init__(self) -> None:
        self.chunks: deque[bytes] = deque()
        """Not empty ones; whether there are any tells whether there is something to be read."""
        self.reads = 0
        """How often something was read."""

    @property
    def size(self) -> int:
        """How many they are."""
        return sum(map(len, self.chunks))

    def put(self, payload: bytes) -> None:
        """Add bytes that came."""
        chunks = self.chunks
        if chunks and len(chunks[-1]) + len(payload) <= SMALL_CHUNK:
            chunks[-1] += payload
        else:
            chunks.append(payload)

    def take(self, max_bytes: int) -> bytes:
        """Read at most ``max_bytes``; there is something to be read."""
        data = self.chunks.popleft()
        self.reads += 1
        if len(data) > max_bytes:
            self.chunks.appendleft(data[max_bytes:])
            data = data[:max_bytes]
        return data

    def discard(self) -> int:
        """Throw all away; returns how many they were."""
        size = self.size
        self.chunks.clear()
        return size
