"""Messages that came before the channel that they are for.

To the association they are unread, so their payload is within its window. What they take beside it is counted here, or
a peer could have us hold a million messages of one byte.
"""

from __future__ import annotations

from typing import Final

MESSAGE_COST: Final = 128
"""Bytes that a message takes beside its payload: a pair, its place in a list, and the head of an object of bytes."""

Message = tuple[int, bytes]
"""Payload protocol id, and data."""


class EarlyMessages:
    """Messages by stream, in one account.

    :param limit: bytes that all of them may take, with :data:`MESSAGE_COST` for each
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._size = 0
        self._streams: dict[int, list[Message]] = {}
        self._sizes: dict[int, int] = {}

    def __contains__(self, stream_id: object) -> bool:
        return stream_id in self._streams

    def __len__(self) -> int:
        """How many streams have some."""
        return len(self._streams)

    def size_of(self, stream_id: int) -> int:
        """Bytes that the messages of one stream take."""
        return self._sizes.get(stream_id, 0)

    def keep(self, stream_id: int, ppid: int, data: bytes) -> bool:
        """Keep a message for later; returns whether there was room for it."""
        size = len(data) + MESSAGE_COST
        if self._size + size > self.limit:
            return False
        self._size += size
        self._sizes[stream_id] = self._sizes.get(stream_id, 0) + size
        self._streams.setdefault(stream_id, []).append((ppid, data))
        return True

    def take(self, stream_id: int) -> list[Message]:
        """The messages of a stream, whose time has come."""
        self._size -= self._sizes.pop(stream_id, 0)
        return self._streams.pop(stream_id, [])
