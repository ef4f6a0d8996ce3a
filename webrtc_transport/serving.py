"""Running the application's handlers: what one of them raises ends its own connection or stream, and nothing else."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import TypeVar

import anyio
from anyio.abc import AsyncResource

from .errors import ConnectionEnded, HandlerError, StreamError, describe
from .task_group import unwrapped

_R = TypeVar("_R", bound=AsyncResource)

_failures = logging.getLogger("libp2p.transport.webrtc")
_ends = logging.getLogger("libp2p.transport.webrtc.connection")


def check_handler(handler: object) -> None:
    """:raises HandlerError: if it can't be a handler"""
    if not callable(handler):
        raise HandlerError(f"the handler has to be an async function (async def), not {handler!r}")


def log_failure(name: object, error: Exception) -> None:
    """Tell the operator, once and with its traceback, that a handler has failed by itself."""
    _failures.error(
        "the handler of %s raised %s: %s", name, type(error).__name__, describe(error), exc_info=error
    )


async def run_handler(
    handler: Callable[[_R], Coroutine[object, object, None]],
    resource: _R,
    on_error: Callable[[_R, Exception], object],
) -> None:
    """Call ``handler``, and close ``resource`` after it.

    What the peer can bring about (a connection or stream that breaks, or ends early) is an ordinary end. Any other
    ``Exception`` is told ``on_error``, whose own exceptions go on. Interrupts and the like go on as well.

    :raises HandlerError: if the handler isn't async
    """
    failure: BaseException | None = None
    # In groups too: a handler may have tasks.
    try:
        async with resource:
            await _called(handler, resource)
    except* (StreamError, ConnectionEnded, anyio.EndOfStream) as group:
        _ends.info("the handler of %r ended: %s", resource, describe(group))
    except* Exception as group:  # noqa: BLE001 - the application's, and a stranger's bytes may bring it about
        failure = unwrapped(group)
    if isinstance(failure, HandlerError):
        raise failure
    if isinstance(failure, Exception):
        on_error(resource, failure)


def _called(handler: Callable[[_R], Coroutine[object, object, None]], resource: _R) -> Awaitable[object]:
    returned: object = handler(resource)
    if not inspect.isawaitable(returned):
        name = getattr(handler, "__qualname__", repr(handler))
        raise HandlerError(
            f"the handler {name} has to be an async function (async def); it returned {returned!r}"
        )
    return returned
