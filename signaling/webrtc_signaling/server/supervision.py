"""Work in pieces, of which one that fails mustn't end the others."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from types import TracebackType

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")


class guarded:  # noqa: N801 - used as a function, like those of contextlib
    """Log what goes wrong in ``work``, with its traceback. What comes after the context goes on.

    A class, because each write to a client is guarded: a context that is a generator takes four times as long.
    """

    def __init__(self, work: str) -> None:
        self._work = work

    def __enter__(self) -> None:
        """Nothing: it is the end that matters."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        text = "an error while the server wanted to %s; it goes on. Please report this"
        _logger.error(text, self._work, exc_info=error)
        return True


async def cancel(tasks: Iterable[asyncio.Task[None]], *, again_after: float) -> None:
    """Cancel tasks until they have ended, every ``again_after`` seconds.

    The client of Redis may take a cancellation for a time-out of its own, and go on.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again_after)
