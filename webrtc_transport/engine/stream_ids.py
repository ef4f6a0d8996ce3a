"""Which stream id a new data channel gets (RFC 8832, section 6)."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from ..errors import TooManyStreams

MAX_STREAMS: Final = 65534
"""Ids 0 to 65533: 65535 is reserved (RFC 8831, section 6.2), and 65534 is left to the stacks."""


class StreamIds:
    """Gives ids of one end: even ones to the DTLS client, odd ones to the server.

    They go round and round: a peer may still be busy closing the channel whose id was freed last.
    """

    def __init__(self, *, is_server: bool, in_use: Container[int]) -> None:
        self._first = int(is_server)
        self._next = self._first
        self._in_use = in_use

    def is_own(self, stream_id: int) -> bool:
        """Whether an id is of those that this end gives."""
        return stream_id % 2 == self._first

    def take(self, limit: int = MAX_STREAMS) -> int:
        """The next free id under ``limit``.

        :raises TooManyStreams: if there is none
        """
        limit = min(limit, MAX_STREAMS)
        count = max(0, limit + 1 - self._first) // 2
        for _ in range(count):
            stream_id = self._next if self._next < limit else self._first
            self._next = stream_id + 2 if stream_id + 2 < limit else self._first
            if stream_id not in self._in_use:
                return stream_id
        raise TooManyStreams(f"all {count} stream ids of this end are in use")
