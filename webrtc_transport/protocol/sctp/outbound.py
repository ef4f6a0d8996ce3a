"""Messages that wait to be sent, by stream, and the DATA chunks that they become (RFC 9260, section 6.9).

Streams take turns message by message: without interleaving (RFC 8260) the fragments of one must follow each other.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .packet import DATA_HEADER, TSN_MASK, ChunkType, DataFlag

SMALLEST_FRAGMENT: Final = 256
"""Payload bytes: a smaller rest of a packet is left empty rather than filled with the beginning of a message."""

# Global names are found faster than attributes, and these are looked up for each chunk.
_HEADER: Final = DATA_HEADER.size
_pack: Final = DATA_HEADER.pack
_DATA: Final = int(ChunkType.DATA)
_BEGIN: Final = DataFlag.BEGIN
_END: Final = DataFlag.END
_WHOLE: Final = _BEGIN | _END
_PADDING: Final = (b"", bytes(1), bytes(2), bytes(3))


class _Stream:
    __slots__ = ("following", "id", "is_ending", "is_paused", "messages", "offset", "ssn")

    def __init__(self, stream_id: int) -> None:
        self.id = stream_id
        self.messages: deque[tuple[int, bytes]] = deque()
        """Payload protocol ids and payloads, the one that is being sent included."""
        self.following: list[tuple[int, bytes]] = []
        """The same, of the stream's next life, while this one is ending."""
        self.offset = 0
        """Bytes of the first message that were sent."""
        self.ssn = 0
        self.is_ending = False
        self.is_paused = False


class OutboundQueue:
    """Queued messages of all streams."""

    def __init__(self) -> None:
        self.size = 0
        """Payload bytes that were never sent."""
        self.taken: dict[int, int] = {}
        """Payload bytes by stream that left the queue. The owner takes it away."""
        self.ended: list[int] = []
        """Streams that were to end, and have nothing queued any more. Likewise."""
        self._streams: dict[int, _Stream] = {}
        self._turns: deque[_Stream] = deque()
        """Streams that have something to send."""

    def put(self, stream_id: int, ppid: int, data: bytes) -> None:
        """Queue a message; ``data`` isn't empty."""
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._streams[stream_id] = _Stream(stream_id)
        if stream.is_ending:
            stream.following.append((ppid, data))
        else:
            if not stream.messages and not stream.is_paused:
                self._turns.append(stream)
            stream.messages.append((ppid, data))
        self.size += len(data)

    def end(self, stream_id: int) -> None:
        """The stream is to end after what is queued on it."""
        stream = self._streams.get(stream_id)
        if stream is None:
            stream = self._streams[stream_id] = _Stream(stream_id)
        if stream.is_ending or stream.is_paused:
            return
        if stream.messages:
            stream.is_ending = True
        else:
            self._pause(stream)

    def _pause(self, stream: _Stream) -> None:
        # What is queued from now on belongs to the next life of the stream.
        stream.is_ending, stream.is_paused = False, True
        stream.messages += stream.following
        stream.following = []
        self.ended.append(stream.id)

    def restart(self, stream_id: int) -> None:
        """The stream has ended, and begins anew."""
        stream = self._streams.pop(stream_id, None)
        if stream is not None and stream.messages:
            self._streams[stream_id] = stream
            stream.ssn, stream.is_paused = 0, False
            self._turns.append(stream)

    @property
    def has_next(self) -> bool:
        """Whether there is a chunk to be taken."""
        return bool(self._turns)

    def take(self, tsn: int, room: int, allowance: int) -> tuple[bytes, int]:
        """DATA chunks for one packet, and how many they are.

        They have TSNs from ``tsn`` on, ``room`` bytes with their padding at most, and ``allowance`` bytes of payload.
        """
        turns, taken = self._turns, self.taken
        parts: list[bytes] = []
        count = total = 0
        while turns:
            stream = turns[0]
            messages, stream_id, offset = stream.messages, stream.id, stream.offset
            ppid, payload = messages[0]
            space = room - _HEADER
            size = len(payload) - offset
            flags = _END if offset else _WHOLE
            if size > space:
                if count or space < SMALLEST_FRAGMENT:
                    break
                size = space
                flags &= ~_END
            if size > allowance:
                break
            if flags != _WHOLE:
                payload = payload[offset : offset + size]
            parts.append(
                _pack(_DATA, flags, _HEADER + size, (tsn + count) & TSN_MASK, stream_id, stream.ssn, ppid)
            )
            parts.append(payload)
            padding = -size % 4
            if padding:
                parts.append(_PADDING[padding])
            count += 1
            room = space - size - padding
            allowance -= size
            total += size
            taken[stream_id] = taken.get(stream_id, 0) + size
            if not flags & _END:
                stream.offset += size
                break
            messages.popleft()
            if offset:
                stream.offset = 0
            stream.ssn = (stream.ssn + 1) & 0xFFFF
            if not messages or len(turns) > 1:
                self._end_turn(stream)
        self.size -= total
        return b"".join(parts), count

    def _end_turn(self, stream: _Stream) -> None:
        self._turns.popleft()
        if stream.messages:
            self._turns.append(stream)
        elif stream.is_ending:
            self._pause(stream)
