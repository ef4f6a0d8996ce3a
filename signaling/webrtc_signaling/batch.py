"""Messages as the body of an HTTP request or response: a line of JSON for each, the same text as in a WebSocket."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from webrtc_transport.errors import InvalidSignal

from .limits import MAX_BATCH_SIZE

CONTENT_TYPE: Final = "application/x-ndjson"

CONNECTION_HEADER: Final = "Signaling-Connection"
"""Names the connection that a request belongs to. No page of another origin may send it, and none is logged."""


def pack(messages: Iterable[bytes]) -> Iterator[bytes]:
    """Bodies of at most ``MAX_BATCH_SIZE`` bytes, in order, of messages in JSON."""
    lines: list[bytes] = []
    size = 0
    for message in messages:
        line = message + b"\n"
        if size + len(line) > MAX_BATCH_SIZE:
            yield b"".join(lines)
            lines, size = [], 0
        lines.append(line)
        size += len(line)
    if lines:
        yield b"".join(lines)


def unpack(body: bytes) -> list[bytes]:
    """The messages in a body, in UTF-8.

    :raises InvalidSignal: if it isn't text, or too long
    """
    if len(body) > MAX_BATCH_SIZE:
        raise InvalidSignal(f"the body has {len(body)} bytes; {MAX_BATCH_SIZE} are allowed")
    try:
        body.decode()
    except UnicodeDecodeError as exc:
        raise InvalidSignal(f"not UTF-8: {exc.reason}") from None
    return [line for line in body.split(b"\n") if line]
