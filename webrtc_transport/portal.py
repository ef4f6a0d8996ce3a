"""The one seam between the caller's event loop and asyncio.

ICE by aioice, whole engines such as aiortc's, and signaling clients built on aiohttp need asyncio: what they run on is
the engine's loop. All else runs in the caller's, asyncio or trio. A portal joins the two; nothing else in the library
knows which case holds:

- asyncio (uvloop too): both loops are the same. Calls are plain calls.
- trio: the engine's loop runs in one thread per portal. Functions cross in mailboxes, many per wake-up, and
  never wait. :meth:`Portal.call` and :meth:`Portal.run` wait for a result; the second carries cancellation across.

There are two directions and one rule: ``post`` runs a function on the engine's loop, ``deliver`` runs one in
the caller's loop; each keeps its order, and neither ever blocks or raises into the loop that runs it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future
from typing import TypeVar, TypeVarTuple

import anyio
import anyio.lowlevel

from .asyncio_event import AsyncioEvent
from .errors import LOOP_ENDED, EngineError
from .mailbox import HANDED_OVER, Mailbox
from .wakeup import LoopEvent

_T = TypeVar("_T")
_Ts = TypeVarTuple("_Ts")

_logger = logging.getLogger("libp2p.transport.webrtc.portal")

_SHUTDOWN_TIMEOUT = 5.0
"""Seconds that leftover engine tasks get to end after they were cancelled. They need milliseconds."""

_CLOSED = "the transport is closed, or its engine's thread has died"


class Portal(ABC):
    """Runs functions on the engine's loop and in the caller's loop."""

    def __init__(self) -> None:
        self.at_fault: set[Callable[[], object]] = set()
        """Called in the caller's loop if the engine's loop ends by itself: whoever waits for what only that could tell
        has to be woken."""

    @contextlib.contextmanager
    def needed(self) -> Iterator[None]:
        """A block that waits for more than calls, all in vain without the engine's loop: its fault cancels the block.

        :raises EngineError: if the engine's loop has ended by itself
        """
        with anyio.CancelScope() as scope:
            self.at_fault.add(scope.cancel)
            try:
                self.check()
                yield
            except anyio.ClosedResourceError:
                # A call may have found out before.
                self.check()
                raise
            finally:
                self.at_fault.discard(scope.cancel)
        if scope.cancelled_caught:
            self.check()

    @abstractmethod
    def check(self) -> None:
        """See whether the engine's loop can be reached.

        :raises EngineError: if it has ended by itself
        :raises RuntimeError: after ``fork``, in the child
        """

    @abstractmethod
    def post(self, func: Callable[[*_Ts], object], *args: *_Ts) -> None:
        """Run ``func`` on the engine's loop, in order; don't wait for it. For use in the caller's loop."""

    @abstractmethod
    def deliver(self, func: Callable[[*_Ts], object], *args: *_Ts) -> None:
        """Run ``func`` in the caller's loop, in order; don't wait for it. For use on the engine's loop."""

    @abstractmethod
    async def call(self, func: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        """Run a plain function on the engine's loop and return its result, or raise its exception.

        Not cancellable: such functions don't block.

        :raises anyio.ClosedResourceError: if the portal is closed, or its thread has died
        """

    @abstractmethod
    async def run(self, func: Callable[[*_Ts], Coroutine[object, object, _T]], *args: *_Ts) -> _T:
        """Run an asyncio coroutine function on the engine's loop and return its result.

        Cancelling the caller cancels it; the caller then waits until it has ended. A result that comes in spite
        of the cancellation is lost, so ``func`` must not return what needs closing.

        :raises anyio.ClosedResourceError: if the portal is closed meanwhile
        """

    def make_event(self) -> LoopEvent:
        """An event of the caller's loop, for a :class:`~webrtc_transport.wakeup.Wakeup`."""
        return anyio.Event()


@contextlib.asynccontextmanager
async def open_portal() -> AsyncIterator[Portal]:
    """Open the portal that the running event loop needs, and close it at the end."""
    # Asked in this order, because trio's guest mode runs inside an asyncio loop.
    if "trio" in sys.modules and _in_trio():
        portal = _TrioPortal()
        await portal.start()
        try:
            yield portal
        finally:
            with anyio.CancelScope(shield=True):
                await portal.stop()
    else:
        yield AsyncioPortal()


class SameLoopPortal(Portal):
    """The caller's loop is the engine's loop: asyncio, or whatever runs what needs no asyncio."""

    def check(self) -> None:
        """The loop that asks runs."""

    def post(self, func: Callable[[*_Ts], object], *args: *_Ts) -> None:
        # What it raises is a bug here, and must not take the loop down.
        try:
            func(*args)
        except Exception:
            _logger.exception(HANDED_OVER)

    deliver = post

    async def call(self, func: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        return func(*args)

    async def run(self, func: Callable[[*_Ts], Coroutine[object, object, _T]], *args: *_Ts) -> _T:
        return await func(*args)


class AsyncioPortal(SameLoopPortal):
    """The caller's loop is the engine's loop, and it is asyncio."""

    def make_event(self) -> LoopEvent:
        return AsyncioEvent()


def same_loop_portal() -> SameLoopPortal:
    """For what needs no asyncio: whichever loop runs is the engine's."""
    return SameLoopPortal() if "trio" in sys.modules and _in_trio() else AsyncioPortal()


class _TrioPortal(Portal):
    """The engine's loop runs in a thread of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = _new_loop()
        self._thread = threading.Thread(target=self._main, name="webrtc-engine", daemon=True)
        self._pid = os.getpid()
        self._stopped = anyio.Event()
        self._closed = self._has_failed = False
        self._is_serving = True
        self._waiting: set[anyio.Event] = set()
        """Of the calls that wait for the engine's loop."""
        self._to_engine = Mailbox(self._loop.call_soon_threadsafe)
        self._to_caller = Mailbox(_TrioCaller().run_soon)

    async def start(self) -> None:
        started = anyio.Event()
        self._to_engine.put(lambda: self.deliver(started.set))
        self._thread.start()
        with anyio.CancelScope(shield=True):
            await started.wait()

    async def stop(self) -> None:
        self._closed = True
        # The loop is closed if its thread has died before.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end_serving)
        await self._stopped.wait()
        # The thread has said its last word: this doesn't wait.
        self._thread.join()

    def post(self, func: Callable[[*_Ts], object], *args: *_Ts) -> None:
        self._check_process()
        # After the loop's end there is nothing left that a function could act on.
        if not self._closed:
            with contextlib.suppress(RuntimeError):
                self._to_engine.put(lambda: func(*args))

    def deliver(self, func: Callable[[*_Ts], object], *args: *_Ts) -> None:
        self._to_caller.put(lambda: func(*args))

    async def call(self, func: Callable[[*_Ts], _T], *args: *_Ts) -> _T:
        self._check_usable()
        done = anyio.Event()
        outcome: Future[_T] = Future()

        def execute() -> None:
            try:
                outcome.set_result(func(*args))
            except BaseException as exc:  # noqa: BLE001 - it is the caller's; SystemExit would end the loop
                outcome.set_exception(exc)
            self.deliver(done.set)

        self.post(execute)
        with anyio.CancelScope(shield=True):
            await self._wait(done)
        return _result(outcome)

    async def run(self, func: Callable[[*_Ts], Coroutine[object, object, _T]], *args: *_Ts) -> _T:
        self._check_usable()
        done = anyio.Event()
        outcome: Future[_T] = Future()
        task: asyncio.Task[None] | None = None

        async def execute() -> None:
            try:
                outcome.set_result(await func(*args))
            except asyncio.CancelledError:
                outcome.set_exception(anyio.ClosedResourceError(_CLOSED))
            except BaseException as exc:  # noqa: BLE001 - it is the caller's; SystemExit would end the loop
                outcome.set_exception(exc)

        def start() -> None:
            nonlocal task
            task = self._loop.create_task(execute())
            task.add_done_callback(lambda _: self.deliver(done.set))

        def cancel() -> None:
            if task is not None:
                task.cancel()

        self.post(start)
        try:
            await self._wait(done)
        except anyio.get_cancelled_exc_class():
            self.post(cancel)
            with anyio.move_on_after(_SHUTDOWN_TIMEOUT, shield=True):
                await self._wait(done)
            raise
        return _result(outcome)

    async def _wait(self, done: anyio.Event) -> None:
        """Wait until the engine's loop says ``done``, or can't any more."""
        if self._stopped.is_set():
            return
        self._waiting.add(done)
        try:
            await done.wait()
        finally:
            self._waiting.discard(done)

    def _has_stopped(self) -> None:
        self._has_failed = not self._closed
        self._closed = True
        self._stopped.set()
        for done in self._waiting:
            done.set()
        if self._has_failed:
            for tell in list(self.at_fault):
                # Whoever is told fails for itself: the others wait for it, too.
                try:
                    tell()
                except Exception:
                    _logger.exception(HANDED_OVER)

    def check(self) -> None:
        self._check_process()
        if self._has_failed:
            raise EngineError(LOOP_ENDED)

    def _check_usable(self) -> None:
        self._check_process()
        if self._closed:
            raise anyio.ClosedResourceError(_CLOSED)

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            msg = "this transport was made before fork(); its engine thread is gone. Make a new one in the child"
            raise RuntimeError(msg)

    def _main(self) -> None:
        try:
            # What a fault leaves behind has sockets too, and peers that want to be told.
            for run in (self._serve, self._cancel_leftovers):
                try:
                    run()
                except BaseException:
                    # An engine's own task has left by SystemExit; the caller's loop goes on and must be told.
                    _logger.exception("the engine's loop ended")
            self._loop.close()
        finally:
            self.deliver(self._has_stopped)

    def _serve(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            # What cancels the leftovers turns the loop, too: nothing new may begin in it.
            self._is_serving = False
            self._to_engine.close()

    def _end_serving(self) -> None:
        # After a fault, what cancels the leftovers runs to its own end.
        if self._is_serving:
            self._loop.stop()

    def _cancel_leftovers(self) -> None:
        deadline = self._loop.time() + _SHUTDOWN_TIMEOUT
        # Those that end may begin others.
        while (tasks := asyncio.all_tasks(self._loop)) and (left := deadline - self._loop.time()) > 0:
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.wait(tasks, timeout=left))
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())


def _result(outcome: Future[_T]) -> _T:
    if not outcome.done():
        raise anyio.ClosedResourceError(_CLOSED)
    return outcome.result()


def _in_trio() -> bool:
    import trio  # noqa: PLC0415 - optional: asyncio apps needn't have it

    try:
        trio.lowlevel.current_task()
    except RuntimeError:
        return False
    return True


def _new_loop() -> asyncio.AbstractEventLoop:
    """The engine's loop: uvloop's if it is installed, which makes up for what the second thread costs.

    Made by its class, for asyncio.new_event_loop() asks the policy, which trio_asyncio replaces.
    """
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.SelectorEventLoop()
    return uvloop.Loop()


class _TrioCaller:
    """The one thing that only trio can do: run a function in its loop from another thread."""

    def __init__(self) -> None:
        import trio  # noqa: PLC0415 - optional

        self._token = trio.lowlevel.current_trio_token()
        self._run_finished = trio.RunFinishedError

    def run_soon(self, func: Callable[[], None]) -> None:
        # When trio's run has finished, nobody is left to be told.
        with contextlib.suppress(self._run_finished):
            self._token.run_sync_soon(func)
