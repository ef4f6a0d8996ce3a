"""Listening for peers: offers over the signaling backends become connections."""

from __future__ import annotations

import copy
import logging
from collections import Counter, deque
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
    InvalidProof,
    InvalidSignal,
    LimitExceeded,
    SignalingError,
    WebRTCError,
    describe,
)
from .identity import PeerId
from .protocol.limits import HANDSHAKE_SHARES, MIN_HANDSHAKE_SHARE
from .protocol.sdp import SessionDescription
from .protocol.signals import Offer
from .serving import check_handler, log_failure, run_handler
from .task_group import bare_task_group
from .wakeup import Wakeup

_logger = logging.getLogger("libp2p.transport.webrtc.listener")


class Listener(anyio.abc.Listener[Connection]):
    """Accepts connections from peers. :meth:`~webrtc_transport.WebRTCTransport.listen` makes it.

    Closing it leaves the connections that it has handed over alone.
    """

    def __init__(self, connector: Connector, own: PeerId) -> None:
        self._connector = connector
        self._own = own
        self._under_way: Counter[PeerId] = Counter()
        """Handshakes, by who the other end says it is."""
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
                raise anyio.ClosedResourceError("the listener is closed")
            if self._failure is not None:
                raise copy.copy(self._failure)
            await self._changed.wait()
        return self._accepted.popleft()

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
        which is told ``on_error``: strangers connect here, and what they send may be what it stumbles over.

        An interrupt leaves as a bare ``KeyboardInterrupt``, on trio too.

        :param task_group: where the handlers run; by default in one of their own
        :param on_error: what to do with an exception of a handler; it is logged at level ``ERROR`` by default. What
            this function raises in turn ends the serving.
        :raises SignalingError: when every signaling backend has failed for good
        :raises TypeError: if the handler isn't async
        """
        check_handler(handler)
        failure: SignalingError | None = None
        async with bare_task_group() as own_group:
            try:
                while True:
                    connection = await self.accept()
                    (task_group or own_group).start_soon(
                        run_handler, handler, connection, on_error or _log_failure
                    )
            except anyio.ClosedResourceError:
                pass
            except SignalingError as exc:
                # Kept, lest it cancels the handlers.
                failure = exc
        if failure is not None:
            raise failure

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

    # --- answering ------------------------------------------------------------------------------------------------

    async def _handle_session(self, session: SignalingSession) -> None:
        """Make a connection of a session. Whatever goes wrong in it ends with it: a peer's offer ends nothing else."""
        async with session:
            try:
                connection = await self._answer(session)
            except Exception as exc:  # noqa: BLE001 - an engine or a backend may be anybody's
                await _refuse(session, exc)
                return
            if self._is_closed:
                await connection.aclose()
            else:
                self._accepted.append(connection)
                self._changed.notify()

    async def _answer(self, session: SignalingSession) -> Connection:
        peer = session.remote_peer
        self._check_limits(peer)
        self._under_way[peer] += 1
        try:
            attempt = Attempt(self._connector.config.inbound_timeout)
            with anyio.move_on_after(attempt.timeout):
                return await self._answer_over(session, attempt)
            raise attempt.timed_out("the peer opened a session and sent no offer")
        finally:
            self._under_way[peer] -= 1
            if not self._under_way[peer]:
                del self._under_way[peer]

    def _check_limits(self, peer: PeerId) -> None:
        config = self._connector.config
        under_way, allowed = self._under_way.total(), config.max_inbound_handshakes
        if under_way >= allowed:
            raise LimitExceeded(f"{allowed} handshakes are under way; try again later")
        share = min(allowed, max(MIN_HANDSHAKE_SHARE, allowed // HANDSHAKE_SHARES))
        if self._under_way[peer] >= share:
            raise LimitExceeded(f"{share} handshakes with you are under way; try again later")
        if len(self._accepted) + under_way >= config.accept_backlog:
            raise LimitExceeded(f"{config.accept_backlog} connections wait to be accepted; try again later")

    async def _answer_over(self, session: SignalingSession, attempt: Attempt) -> Connection:
        remote = await self._receive_offer(session)
        async with self._connector.link(session.remote_peer, offerer=False) as link:
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


def _log_failure(connection: Connection, error: Exception) -> None:
    log_failure(connection.remote_peer, error)


async def _refuse(session: SignalingSession, failure: Exception) -> None:
    """Say that there is no connection, here and to the peer."""
    level, reason = logging.INFO, str(failure)
    if not isinstance(failure, ConnectError):
        # Not the peer's fault, and none of its business.
        is_foreseen = isinstance(failure, WebRTCError | anyio.ClosedResourceError)
        level = logging.WARNING if is_foreseen else logging.ERROR
        reason = "the peer can't make connections at the moment"
    unforeseen = failure if level == logging.ERROR else None
    _logger.log(
        level, "no connection with %s: %s", session.remote_peer, describe(failure), exc_info=unforeseen
    )
    await tell_failure(session, reason, _error_code(failure))


def _error_code(failure: Exception) -> str:
    """The machine-readable reason for the peer; ``peer-busy`` and the like are documented with the wire protocol."""
    if isinstance(failure, LimitExceeded):
        return "busy"
    if isinstance(failure, InvalidProof):
        return "invalid-proof"
    if isinstance(failure, InvalidSignal):
        return "invalid-signal"
    return "connect-failed"
