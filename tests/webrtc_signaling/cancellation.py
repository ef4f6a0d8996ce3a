"""Cancelling at each await, one after the other."""

import types

import anyio

MAX_STEPS = 500


@types.coroutine
def _cancel_at(coroutine, step, cancel):
    """Run ``coroutine``, and call ``cancel`` just before it is suspended for the ``step``-th time."""
    resume, argument = coroutine.send, None
    while True:
        try:
            yielded = resume(argument)
        except StopIteration as stop:
            return stop.value
        step -= 1
        if step == 0:
            cancel()
        try:
            resume, argument = coroutine.send, (yield yielded)
        except BaseException as exc:
            resume, argument = coroutine.throw, exc


async def cancel_at_each_await(scenario, *, first=1):
    """Run ``scenario()`` again and again, cancelled at its first, second, … await, until it gets through.

    :return: how often it was cancelled
    """
    for step in range(first, MAX_STEPS):
        with anyio.CancelScope() as scope:
            await _cancel_at(scenario(), step, scope.cancel)
            return step - first
    raise AssertionError(f"not done after {MAX_STEPS} awaits")
