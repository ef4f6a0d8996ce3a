"""Work in pieces, of which one that fails mustn't end the others."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable, Iterator

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")


@contextlib.contextmanager
def guarded(work: str) -> Iterator[None]:
    """Log what goes wrong in ``work``, with its traceback. What comes after the context goes on."""
    try:
        yield
    except Exception:
        _logger.exception("an error while the server wanted to %s; it goes on. Please report this", work)


async def cancel(tasks: Iterable[asyncio.Task[None]], *, again_after: float) -> None:
    """Cancel tasks until they have ended, every ``again_after`` seconds.

    The client of Redis may take a cancellation for a time-out of its own, and go on.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=again_after)
