"""What may be left behind: tasks, threads, file descriptors."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple

import anyio

_FILES: Final = Path("/dev/fd")
"""Lists the open file descriptors, on Linux and macOS. Elsewhere they aren't counted."""

_WORKERS: Final = ("AnyIO worker thread", "Trio thread")
"""Names of the threads behind ``anyio.to_thread``. They stay for a while, for the next call."""


class Census(NamedTuple):
    """How many there are."""

    tasks: int
    threads: int
    files: int


def census() -> Census:
    """Count now."""
    gc.collect()
    threads = [thread for thread in threading.enumerate() if not thread.name.startswith(_WORKERS)]
    files = len(list(_FILES.iterdir())) if _FILES.is_dir() else 0
    return Census(len(anyio.get_running_tasks()), len(threads), files)


@contextlib.asynccontextmanager
async def nothing_left(timeout: float = 5) -> AsyncIterator[None]:
    """Check that the block leaves nothing behind; what is under way may take ``timeout`` seconds to end.

    :raises AssertionError: if it does
    """
    # On trio the test runner's guest mode makes a thread when it first has to wait.
    await anyio.sleep(0.01)
    before = census()
    yield
    with anyio.move_on_after(timeout):
        while _grown(before, census()):
            await anyio.sleep(0.01)
    after = census()
    assert not _grown(before, after), f"before: {before}; after: {after}"


def _grown(before: Census, after: Census) -> bool:
    return any(then < now for then, now in zip(before, after, strict=True))
