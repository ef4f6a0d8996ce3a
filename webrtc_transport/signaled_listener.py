"""Listening by signaling: offers over the backends become connections."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import anyio
from anyio.abc import TaskStatus
from multiaddr import Multiaddr

from .abc import SignalingBackend, SignalingSession
from .addresses import webrtc_address
from .connection import Connection
from .errors import (
    ConnectError,
    EngineError,
    InvalidProof,
    InvalidSignal,
    LimitExceeded,
    OwnFault,
    SignalingError,
    WebRTCError,
    describe,
)
from .fault_log import FaultLog
from .identity import PeerId
from .listener import Listener
from .protocol.sdp import SessionDescription
from .protocol.signals import Offer
from .signaled_connector import Attempt, SignaledConnector, reason_for_peer, tell_failure, trickle

_logger = logging.getLogger("libp2p.transport.webrtc.listener")


class SignaledListener(Listener):
    """Accepts the connections of peers that send an offer over a signaling backend."""

    def __init__(self, connector: SignaledConnector, own: PeerId) -> None:
        super().__init__(connector.config)
        self._connector = connector
        self._own = own
        self._faults = FaultLog(_logger)

    @property
    def addresses(self) -> Sequence[Multiaddr]:
        """Where peers reach us: ``/webrtc/p2p/<own id>``."""
        return [webrtc_address(self._own)]

    # --- for the transport ----------------------------------------------------------------------------------------

    async def serve_backend(
        self, backend: SignalingBackend, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        """Answer the sessions of one signaling backend until closed.

        ``task_status.started()`` is called once peers can reach us over it.

        :raises SignalingError: if that doesn't come about; a failure after it is told by :meth:`accept`
        :raises EngineError: likewise, if the engine's event loop has ended
        """
        status = _Started(task_status)
        with anyio.CancelScope() as scope:
            self._scopes.append(scope)
            try:
                with self._connector.portal.needed():
                    await backend.serve(self._handle_session, task_status=status)
            except (SignalingError, EngineError) as exc:
                if not status.is_started:
                    raise
                self._backend_failed(backend, exc)
            finally:
                self._scopes.remove(scope)
                self._changed.notify()

    def _backend_failed(self, backend: SignalingBackend, failure: WebRTCError) -> None:
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
                await self._refuse(session, exc)
                return
            except anyio.get_cancelled_exc_class():
                await tell_failure(session, "the peer listens no more", "cancelled")
                raise
            await self._hand_over(connection)

    async def _answer(self, session: SignalingSession) -> Connection:
        peer = session.remote_peer
        self._begin_handshake(peer)
        try:
            attempt = Attempt(self._connector.config.inbound_timeout)
            with anyio.move_on_after(attempt.timeout):
                return await self._answer_over(session, attempt)
            raise attempt.timed_out("the peer opened a session and sent no offer")
        finally:
            self._end_handshake(peer)

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

    async def _refuse(self, session: SignalingSession, failure: Exception) -> None:
        """Say that there is no connection, here and to the peer."""
        message = f"no connection with {session.remote_peer}: {describe(failure)}"
        if isinstance(failure, WebRTCError | anyio.ClosedResourceError):
            if isinstance(failure, ConnectError) and not isinstance(failure, OwnFault):
                _logger.info("%s", message)
            else:
                self._faults.report(logging.WARNING, message)
        else:
            self._faults.report(logging.ERROR, message, error=failure)
        await tell_failure(session, reason_for_peer(failure), _error_code(failure))


class _Started(TaskStatus[None]):
    """Passes ``started()`` on, and remembers it."""

    def __init__(self, inner: TaskStatus[None]) -> None:
        self.is_started = False
        self._inner = inner

    def started(self, value: None = None) -> None:
        self.is_started = True
        self._inner.started(value)


def _error_code(failure: Exception) -> str:
    """The machine-readable reason for the peer; ``peer-busy`` and the like are documented with the wire protocol."""
    if isinstance(failure, LimitExceeded):
        return "busy"
    if isinstance(failure, InvalidProof):
        return "invalid-proof"
    if isinstance(failure, InvalidSignal):
        return "invalid-signal"
    return "connect-failed"
