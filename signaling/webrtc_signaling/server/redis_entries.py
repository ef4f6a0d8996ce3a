"""What Redis gives: entries of a server's inbox, and what is no good among them. Sans-IO."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from types import TracebackType
from typing import Final

from webrtc_transport.errors import InvalidSignal

from .backplane import BackplaneEvents
from .frames import unpack
from .supervision import guarded

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")

_SERVER: Final = re.compile(rb"[\w-]{16,64}")


def entries_in(answer: object) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    """The entries of a stream, and their ids, in the answer to ``XREAD``."""
    match answer:
        case [[_, [*entries]]]:
            for entry in entries:
                match entry:
                    case (bytes(entry_id), dict(fields)):
                        yield entry_id, fields


def take(events: BackplaneEvents, fields: dict[bytes, bytes]) -> int:
    """Tell what another server says in an entry of the inbox. Who else can write to Redis may have made it.

    :return: bytes of the frames
    """
    server, frames = fields.get(b"from", b""), fields.get(b"frames", b"")
    with complaining():
        if _SERVER.fullmatch(server) is None:
            raise InvalidSignal("an entry of nobody")
        for frame in unpack(frames):
            # The others in the entry may be sound.
            with complaining():
                events.on_frame(server.decode(), frame)
    return len(frames)


class complaining(guarded):  # noqa: N801 - likewise
    """Log what can't be used, and go on."""

    def __init__(self) -> None:
        super().__init__("handle what Redis gives")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, InvalidSignal):
            return super().__exit__(kind, error, traceback)
        _logger.warning("Redis gives what no server wrote, or one of another version: %s", error)
        return True
