"""Listening for peers: offers over the signaling backends become connections."""

from __future__ import annotations

import copy
import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence

import anyio
import anyio.abc
import anyio.lowlevel
from anyio.abc import TaskGroup, TaskStatus
from multiaddr import Multiaddr

from .abc import Attributes, SignalingBackend, SignalingSession
from .addresses import webrtc_address
from .connection import Connection
from .connector import Attempt, Connector, tell_failure, trickle
from .errors import (
    ConnectError,
    ConnectionEnded,
    InvalidProof,
    InvalidSignal,
    LimitExceeded,
    SignalingError,
    StreamError,
    WebRTCError,
    describe,
)
from .identity import PeerId
from .protocol.sdp import SessionDescription
from .protocol.signals import Offer
from .wakeup import Wakeup

_logger = logging.getLogger("libp2p.transport.webrtc.listener")


class Listener(anyio.abc.Listener[Connection]):
    """Accepts connections from peers. :meth:`~webrtc_transport.WebRTCTransport.listen` makes it.

    Closing it leaves the connections that it has handed over alone.
    """

    def __init__(self, connector: Connector, own: PeerId) -> None:
        self._connector = connector
        self._own = own
        self._under_way = 0
        self._accepted: deque[Connection] = deque()
        self._changed = Wakeup()
        self._failure: SignalingError | None = None
        self._is_closed = False
        self._scopes: list[anyio.CancelScope] = []

    @property
    def addresses(self) -> Sequence[Multiaddr]:
        """Where peers reach us: ``/webrtc/p2p/<own id>``."""
        return [webrtc_address(self._own)]

    @property
    def extra_attributes(self) -> Attributes:
        return {}

    async def accept(self) -> Connection:
        """Wait for the next connection.

        :raises anyio.ClosedResourceError: when the listener is closed
        :raises SignalingError: when every signaling backend has failed for good
        """
        while not self._accepted:
            if self._is_closed:
                raise anyio.ClosedResourceError
            if self._failure is not None:
                raise copy.copy(self._failure)
            await self._changed.wait()
        return self._accepted.popleft()

    async def serve(
        self,
        handler: Callable[[Connection], Coroutine[object, object, None]],
        task_group: TaskGroup | None = None,
    ) -> None:
        """Call ``handler`` in a task of its own for each connection, until closed.

        The handler's connection is closed when it returns. A connection or stream that breaks, or that the peer ends
        where the handler expects more, ends this handler and no other.

        :param task_group: where the handlers run; by default in one of their own, which an exception ends
        :raises SignalingError: when every signaling backend has failed for good
        """
        failure: SignalingError | None = None
        async with anyio.create_task_group() as own_group:
            failure = await self._accept_all(handler, task_group or own_group)
        if failure is not None:
            raise failure

    async def _accept_all(
        self, handler: Callable[[Connection], Coroutine[object, object, None]], task_group: TaskGroup
    ) -> SignalingError | None:
        while True:
            try:
                connection = await self.accept()
            except anyio.ClosedResourceError:
                return None
            except SignalingError as exc:
                return exc
            task_group.start_soon(_handle, handler, connection)

    async def aclose(self) -> None:
        """Stop listening. Connections that nobody has accepted are closed."""
        self._is_closed = True
        for scope in self._scopes:
            scope.cancel()
        self._changed.notify()
        with anyio.CancelScope(shield=True):
            async with anyio.create_task_group() as task_group:
                while self._accepted:
                    task_group.start_soon(self._accepted.popleft().aclose)
        # Until then the signaling backends would refuse another listener.
        while self._scopes:
            await self._changed.wait()
        await anyio.lowlevel.checkpoint()

    # --- for the transport ----------------------------------------------------------------------------------------

    async def serve_backend(
        self, backend: SignalingBackend, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Answer the sessions of one signaling backend until closed.

        ``task_status.started()`` is called once peers can reach us over it.

        :raises SignalingError: if that doesn't come about; a failure after it is told by :meth:`accept`
        """
        status = _Started(task_status)
        with anyio.CancelScope() as scope:
            self._scopes.append(scope)
            try:
                await backend.serve(self._handle_session, task_status=status)
            except SignalingError as exc:
                if not status.is_started:
                    raise
                self._backend_failed(backend, exc)
            finally:
                self._scopes.remove(scope)
                self._changed.notify()

    def _backend_failed(self, backend: SignalingBackend, failure: SignalingError) -> None:
        _logger.warning("listening over %s has ended: %s", type(backend).__name__, failure)
        if len(self._scopes) == 1:
            self._failure = failure
            self._changed.notify()

    async def _handle_session(self, session: SignalingSession) -> None:
        async with session:
            try:
                connection = await self._answer(session)
            except ConnectError as exc:
                _logger.info("no connection with %s: %s", session.remote_peer, exc)
                return
            except WebRTCError as exc:
                # Not the peer's fault, and no peer's offer may end what the application does beside.
                _logger.warning("no connection with %s: %s", session.remote_peer, exc)
                return
            if self._is_closed:
                await connection.aclose()
            else:
                self._accepted.append(connection)
                self._changed.notify()

    # --- answering ------------------------------------------------------------------------------------------------

    async def _answer(self, session: SignalingSession) -> Connection:
        self._under_way += 1
        try:
            self._check_limits()
            attempt = Attempt(self._connector.config.inbound_timeout)
            with anyio.move_on_after(attempt.timeout):
                return await self._answer_over(session, attempt)
            raise attempt.timed_out("the peer opened a session and sent no offer")
        except ConnectError as exc:
            await tell_failure(session, str(exc), _error_code(exc))
            raise
        except WebRTCError:
            await tell_failure(session, "the peer can't make connections at the moment", "connect-failed")
            raise
        finally:
            self._under_way -= 1

    def _check_limits(self) -> None:
        config = self._connector.config
        if self._under_way > config.max_inbound_handshakes:
            msg = f"{config.max_inbound_handshakes} handshakes are under way; try again later"
            raise LimitExceeded(msg)
        if len(self._accepted) >= config.accept_backlog:
            msg = f"{config.accept_backlog} connections wait to be accepted; try again later"
            raise LimitExceeded(msg)

    async def _answer_over(self, session: SignalingSession, attempt: Attempt) -> Connection:
        remote = await self._receive_offer(session)
        async with self._connector.link(offerer=False) as link:
            attempt.begin(link)
            await link.start(remote)
            local = await link.local_description()
            await session.send(self._connector.sign_answer(session, local.to_sdp()))
            return await trickle(link, session, remote)

    async def _receive_offer(self, session: SignalingSession) -> SessionDescription:
        try:
            signal = await session.receive()
        except anyio.EndOfStream:
            msg = "the peer ended the session without an offer"
            raise InvalidSignal(msg) from None
        if not isinstance(signal, Offer):
            msg = f"a session begins with an offer, not with {signal.type!r}"
            raise InvalidSignal(msg)
        return self._connector.verify(session, signal)


class _Started(TaskStatus[None]):
    """Passes ``started()`` on, and remembers it."""

    def __init__(self, inner: TaskStatus[None]) -> None:
        self.is_started = False
        self._inner = inner

    def started(self, value: None = None) -> None:
        self.is_started = True
        self._inner.started(value)


async def _handle(
    handler: Callable[[Connection], Coroutine[object, object, None]], connection: Connection
) -> None:
    # In groups too: a handler may have tasks.
    try:
        async with connection:
            await handler(connection)
    except* (StreamError, ConnectionEnded, anyio.EndOfStream) as group:
        _logger.info("the handler of %r ended: %s", connection, describe(group))


def _error_code(failure: ConnectError) -> str:
    """The machine-readable reason for the peer; ``peer-busy`` and the like are documented with the wire protocol."""
    if isinstance(failure, LimitExceeded):
        return "busy"
    if isinstance(failure, InvalidProof):
        return "invalid-proof"
    if isinstance(failure, InvalidSignal):
        return "invalid-signal"
    return "connect-failed"
