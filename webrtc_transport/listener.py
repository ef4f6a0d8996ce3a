"""Accepting connections, whichever way they come to be."""

from __future__ import annotations

import copy
import logging
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Hashable, Sequence

import anyio
import anyio.abc
import anyio.lowlevel
from anyio.abc import TaskGroup
from multiaddr import Multiaddr

from .abc import Attributes
from .config import TransportConfig
from .connection import Connection
from .errors import HandlerError, LimitExceeded, WebRTCError
from .protocol.limits import HANDSHAKE_SHARES, MIN_HANDSHAKE_SHARE
from .serving import check_handler, log_failure, run_handler
from .task_group import bare_task_group
from .wakeup import Wakeup

_logger = logging.getLogger("libp2p.transport.webrtc.listener")


class Listener(anyio.abc.Listener[Connection]):
    """Accepts connections from peers. :meth:`~webrtc_transport.WebRTCTransport.listen` makes it.

    Closing it leaves the connections that it has handed over alone.
    """

    def __init__(self, config: TransportConfig) -> None:
        self._config = config
        self._under_way: Counter[Hashable] = Counter()
        """Handshakes, by what is known of the other end."""
        self._accepted: deque[Connection] = deque()
        self._accept_guard = anyio.ResourceGuard("accepting connections from")
        self._changed = Wakeup()
        self._failure: WebRTCError | None = None
        self._handler_failure: HandlerError | None = None
        self._is_closed = False
        self._scopes: list[anyio.CancelScope] = []
        """Of the tasks that listen."""

    @property
    @abstractmethod
    def addresses(self) -> Sequence[Multiaddr]:
        """Where peers reach us."""

    @property
    def extra_attributes(self) -> Attributes:
        return {}

    async def accept(self) -> Connection:
        """Wait for the next connection. One that has ended meanwhile is left out, unless it left streams to be read.

        :raises anyio.BusyResourceError: if another task accepts here, by this or by :meth:`serve`
        :raises anyio.ClosedResourceError: when the listener is closed
        :raises SignalingError: when every signaling backend has failed for good
        :raises EngineError: when the engine's event loop has ended
        """
        with self._accept_guard:
            return await self._next()

    async def _next(self) -> Connection:
        self._drop_spent()
        while not self._accepted:
            if self._is_closed:
                raise anyio.ClosedResourceError("the listener is closed")
            if self._failure is not None:
                raise copy.copy(self._failure)
            await self._changed.wait()
            self._drop_spent()
        return self._accepted.popleft()

    def _drop_spent(self) -> None:
        """Forget the connections that nobody has accepted in time."""
        spent = [connection for connection in self._accepted if connection._is_spent]  # noqa: SLF001
        for connection in spent:
            self._accepted.remove(connection)
            _logger.info("%s left before it was accepted: %s", connection.remote_peer, connection.end_reason)

    async def serve(
        self,
        handler: Callable[[Connection], Coroutine[object, object, None]],
        task_group: TaskGroup | None = None,
        *,
        on_error: Callable[[Connection, Exception], object] | None = None,
    ) -> None:
        """Call ``handler`` in a task of its own for each connection, until closed.

        The handler's connection is closed when it returns. A connection or stream that breaks, or that the peer ends
        where the handler expects more, ends this handler and no other. So does any other ``Exception`` of a handler,
        which is told ``on_error``: strangers connect here, and what they send may be what it stumbles over. A handler
        that isn't async closes the listener.

        An interrupt leaves as a bare ``KeyboardInterrupt``, on trio too.

        :param task_group: where the handlers run; by default in one of their own
        :param on_error: what to do with an exception of a handler; it is logged at level ``ERROR`` by default. What
            this function raises in turn ends the serving.
        :raises SignalingError: when every signaling backend has failed for good
        :raises EngineError: when the engine's event loop has ended
        :raises HandlerError: if the handler isn't async
        :raises anyio.BusyResourceError: if another task accepts here already
        """
        check_handler(handler)
        failure: WebRTCError | None = None
        async with bare_task_group() as own_group:
            try:
                with self._accept_guard:
                    while True:
                        connection = await self._next()
                        (task_group or own_group).start_soon(
                            self._handle, handler, connection, on_error or _log_failure
                        )
            except anyio.ClosedResourceError:
                # Maybe by a handler that isn't async.
                failure = self._handler_failure
            except WebRTCError as exc:
                # Kept, lest it cancels the handlers.
                failure = exc
        if failure is not None:
            raise failure

    async def _handle(
        self,
        handler: Callable[[Connection], Coroutine[object, object, None]],
        connection: Connection,
        on_error: Callable[[Connection, Exception], object],
    ) -> None:
        try:
            await run_handler(handler, connection, on_error)
        except HandlerError as exc:
            # Nobody would take care of who comes next. Kept, for those who are there already bring about one each.
            self._handler_failure = self._handler_failure or exc
            await self.aclose()

    async def aclose(self) -> None:
        """Stop listening. Connections that nobody has accepted are closed."""
        self._is_closed = True
        for scope in self._scopes:
            scope.cancel()
        self._changed.notify()
        with anyio.CancelScope(shield=True):
            async with bare_task_group() as task_group:
                while self._accepted:
                    task_group.start_soon(self._accepted.popleft().aclose)
        # Until then the signaling backends, or the port, would refuse another listener.
        while self._scopes:
            await self._changed.wait()
        await anyio.lowlevel.checkpoint()

    # --- for its kinds --------------------------------------------------------------------------------------------

    def _begin_handshake(self, who: Hashable) -> None:
        """Count a handshake, until :meth:`_end_handshake`.

        :param who: of whom no more than a share may be under way
        :raises LimitExceeded: if there are too many
        """
        config = self._config
        under_way, allowed = self._under_way.total(), config.max_inbound_handshakes
        if under_way >= allowed:
            raise LimitExceeded(f"{allowed} handshakes are under way; try again later")
        share = min(allowed, max(MIN_HANDSHAKE_SHARE, allowed // HANDSHAKE_SHARES))
        if self._under_way[who] >= share:
            raise LimitExceeded(f"{share} handshakes with you are under way; try again later")
        self._drop_spent()
        if len(self._accepted) + under_way >= config.accept_backlog:
            raise LimitExceeded(f"{config.accept_backlog} connections wait to be accepted; try again later")
        self._under_way[who] += 1

    def _end_handshake(self, who: Hashable) -> None:
        self._under_way[who] -= 1
        if not self._under_way[who]:
            del self._under_way[who]

    async def _hand_over(self, connection: Connection) -> None:
        """Let ``connection`` be accepted."""
        if self._is_closed:
            await connection.aclose()
        else:
            self._accepted.append(connection)
            self._changed.notify()


def _log_failure(connection: Connection, error: Exception) -> None:
    log_failure(connection.remote_peer, error)
