"""A task group that doesn't wrap the one exception that comes out of it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import anyio
from anyio.abc import TaskGroup


@contextlib.asynccontextmanager
async def bare_task_group() -> AsyncIterator[TaskGroup]:
    """``anyio.create_task_group()``, whose groups of one exception come out as that exception.

    That a function of this library has tasks is its own business: on trio an interrupt arrives in whatever runs, and
    has to leave as the ``KeyboardInterrupt`` that it is on asyncio.
    """
    alone: BaseException | None = None
    try:
        async with anyio.create_task_group() as task_group:
            yield task_group
    except BaseExceptionGroup as group:
        alone = unwrapped(group)
        if alone is group:
            raise
    # Here, lest the group becomes its context.
    if alone is not None:
        raise alone


def unwrapped(error: BaseException) -> BaseException:
    """What is in a group of one, and in a group of that; anything else as it is."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
