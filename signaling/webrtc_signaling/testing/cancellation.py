"""Cancelling at each await, one after the other."""

from __future__ import annotations

import types
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Final

import anyio

_MAX_STEPS: Final = 500
"""Awaits of a scenario. One that takes more doesn't end."""

Scenario = Callable[[], Coroutine[object, object, object]]


async def cancel_at_each_await(scenario: Scenario) -> int:
    """Run ``scenario()`` again and again, cancelled at its first, second, … await, until it gets through.

    :return: how often it was cancelled
    :raises AssertionError: if it has too many awaits
    """
    for step in range(1, _MAX_STEPS):
        with anyio.CancelScope() as scope:
            await _cancel_at(scenario(), step, scope.cancel)
            return step - 1
    raise AssertionError(f"not done after {_MAX_STEPS} awaits")


@types.coroutine
def _cancel_at(
    coroutine: Coroutine[object, object, object], step: int, cancel: Callable[[], None]
) -> Generator[object, object, None]:
    """Run ``coroutine``, and call ``cancel`` just before it is suspended for the ``step``-th time."""
    resume = partial(coroutine.send, None)
    while True:
        try:
            yielded = resume()
        except StopIteration:
            return
        step -= 1
        if step == 0:
            cancel()
        try:
            value = yield yielded
        except BaseException as exc:  # noqa: BLE001 - the coroutine gets it
            resume = partial(coroutine.throw, exc)
        else:
            resume = partial(coroutine.send, value)
