"""The token of a server's operator, wherever a client has it from."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import anyio
from anyio.abc import TaskGroup, TaskStatus

from webrtc_transport.errors import ConfigurationError, SignalingUnavailable
from webrtc_transport.portal import Portal

from .limits import MAX_TOKEN_LENGTH

TokenSource: TypeAlias = str | Callable[[], Awaitable[str]]
"""A token, or an async function that returns one; it is called for each connection to the server."""

_CURE = "pass token='eyJ…', or an async function that returns one"


def check_token_source(source: object) -> None:
    """:raises ConfigurationError: if it is neither a token, nor a function, nor ``None``"""
    if isinstance(source, str):
        _check(source)
    elif source is not None and not callable(source):
        raise ConfigurationError(f"token can't be of type {type(source).__name__}; {_CURE}")


class TokenDesk:
    """Gets tokens on the engine's loop from a function that belongs to the caller's.

    :param source: a token, or the function; ``None`` if the server needs none
    """

    def __init__(self, source: TokenSource | None, portal: Portal) -> None:
        check_token_source(source)
        self._source = source
        self._portal = portal
        self._tasks: TaskGroup | None = None

    @property
    def has_fresh_ones(self) -> bool:
        """Whether another token may be had when one has expired."""
        return callable(self._source)

    async def fetch(self) -> str | None:
        """A token for the next connection; on the engine's loop.

        :raises SignalingUnavailable: if the function fails
        """
        if not callable(self._source):
            return self._source
        outcome: asyncio.Future[str | SignalingUnavailable] = asyncio.get_running_loop().create_future()
        self._portal.deliver(self._start, self._source, outcome)
        result = await outcome
        if isinstance(result, SignalingUnavailable):
            raise result
        return result

    async def serve(self, *, task_status: TaskStatus[anyio.CancelScope]) -> None:
        """Call the function when it is needed, until the scope that this tells is cancelled; in the caller's loop."""
        try:
            async with anyio.create_task_group() as self._tasks:
                task_status.started(self._tasks.cancel_scope)
                await anyio.sleep_forever()
        finally:
            self._tasks = None

    def _start(
        self, source: Callable[[], Awaitable[str]], outcome: asyncio.Future[str | SignalingUnavailable]
    ) -> None:
        # Without tasks the backend has been left meanwhile, and nobody waits any more.
        if self._tasks is not None:
            self._tasks.start_soon(self._call, source, outcome)

    async def _call(
        self, source: Callable[[], Awaitable[str]], outcome: asyncio.Future[str | SignalingUnavailable]
    ) -> None:
        self._portal.post(_settle, outcome, await _token_of(source))


async def _token_of(source: Callable[[], Awaitable[str]]) -> str | SignalingUnavailable:
    """What the application's function gives, or what is wrong with it: that ends no more than one attempt."""
    try:
        awaitable: object = source()
        if not inspect.isawaitable(awaitable):
            return SignalingUnavailable("the function token isn't async; write it with `async def`")
        token: object = await awaitable
        return _check(token)
    except ConfigurationError as exc:
        return SignalingUnavailable(f"what the function token returned is no token: {exc}")
    except Exception as exc:  # noqa: BLE001 - the application's function may raise anything
        error = SignalingUnavailable(f"the function token raised {type(exc).__name__}: {exc}")
        error.__cause__ = exc
        return error


def _check(token: object) -> str:
    """:raises ConfigurationError: if it can't be a token; it isn't shown"""
    if not isinstance(token, str):
        raise ConfigurationError(f"a token is text, not {type(token).__name__}; {_CURE}")
    if not token or not token.isascii() or not token.isprintable() or len(token) > MAX_TOKEN_LENGTH:
        raise ConfigurationError(f"a token has 1 to {MAX_TOKEN_LENGTH} printable ASCII characters; {_CURE}")
    return token


def _settle(outcome: asyncio.Future[str | SignalingUnavailable], result: str | SignalingUnavailable) -> None:
    # Who waited may have gone.
    if not outcome.done():
        outcome.set_result(result)
