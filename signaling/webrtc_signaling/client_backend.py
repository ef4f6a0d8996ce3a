"""Backends on top of a client: what is left to write is the client of the service, which runs on asyncio.

The rest is the same for each service that carries messages from peer to peer: sessions that number their signals,
inbound ones that wait for their handler, and the seam between the caller's loop and the client's.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType

import anyio
from anyio.abc import TaskStatus

from webrtc_transport.abc import SignalingBackend, SignalingContext, SignalingSession
from webrtc_transport.errors import AlreadyListening, PeerUnreachable, SignalingError
from webrtc_transport.identity import PeerId
from webrtc_transport.protocol.proof import new_session_id
from webrtc_transport.protocol.signals import Bye, Error, Signal

from .inbound import ALREADY_SERVING, Backlog, Handler
from .session import BufferedSession
from .session_book import SessionBook, SessionEvents, SessionKey


class ClientEvents(SessionEvents):
    """What a :class:`SignalingClient` tells, on its loop."""

    @abstractmethod
    def on_refused(self, error: SignalingError) -> None:
        """The service is gone for good: whoever serves hears ``error``. The sessions are told by the session book."""


class SignalingClient(ABC):
    """The client of a service that carries signals. All of it is for the engine's loop, which is asyncio's."""

    sessions: SessionBook
    """Made with the events that the client was given; what it pushes is to be carried to its recipient, and it is told
    by :meth:`~webrtc_signaling.session_book.SessionBook.receive` what arrives. Used once :meth:`ready` has returned."""

    @abstractmethod
    async def ready(self) -> None:
        """Wait until signals reach us. The client connects when this is first called, and stays connected.

        It may be cancelled, and called again.

        :raises SignalingUnavailable: if the service can't be reached
        :raises SignalingRejected: if it refuses us
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Send what is queued and disconnect, within a bounded time. Called once, also without :meth:`ready`."""


class ClientBackend(SignalingBackend):
    """Everything of a backend but the client of its service. A subclass has ``from_url``.

    Sessions aren't authenticated: what a service says about a peer is only as good as the service. So the transport
    signs its descriptions, and checks those of the peer.
    """

    def __init__(
        self, context: SignalingContext, make_client: Callable[[ClientEvents], SignalingClient]
    ) -> None:
        """Build the backend.

        :param make_client: called at once, and not on the engine's loop: it does no I/O yet
        """
        self._peer = context.identity.peer_id
        self._portal = context.portal
        self._caller = _CallerSide(context, make_client)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        with anyio.CancelScope(shield=True):
            for session in list(self._caller.sessions.values()):
                await session.aclose()
            # If its loop has ended, so has the client.
            with contextlib.suppress(anyio.ClosedResourceError):
                await self._portal.run(self._caller.client.aclose)

    async def connect(self, peer: PeerId) -> SignalingSession:
        if peer == self._peer:
            raise PeerUnreachable("a peer can't have a session with itself")
        await self._portal.run(self._caller.client.ready)
        return await self._caller.open_session(peer)

    async def serve(
        self, handler: Handler, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED
    ) -> None:
        if self._caller.backlog is not None:
            raise AlreadyListening(ALREADY_SERVING)
        backlog = self._caller.backlog = Backlog()
        try:
            # First, because offers may come as soon as we are registered.
            self._portal.post(self._caller.listen, True)
            await self._portal.run(self._caller.client.ready)
            await backlog.serve(handler, task_status)
        finally:
            self._caller.backlog = None
            self._portal.post(self._caller.listen, False)


class _CallerSide(ClientEvents):
    """The client and its sessions, as the caller's loop sees them."""

    def __init__(
        self, context: SignalingContext, make_client: Callable[[ClientEvents], SignalingClient]
    ) -> None:
        self.client = make_client(self)
        self.sessions: dict[SessionKey, _ClientSession] = {}
        self.backlog: Backlog | None = None
        """There is one while somebody serves."""
        self.portal = context.portal

    async def open_session(self, peer: PeerId) -> _ClientSession:
        key = SessionKey(str(peer), new_session_id())
        session = self.sessions[key] = _ClientSession(self, key, peer)
        try:
            await self.portal.call(self.client.sessions.open, key, peer)
        except Exception:
            del self.sessions[key]
            raise
        return session

    # --- on the engine's loop -----------------------------------------------------------------------------------------

    def listen(self, listening: bool) -> None:
        self.client.sessions.listening = listening

    def on_session(self, key: SessionKey, peer: PeerId) -> None:
        self.portal.deliver(self._session_opened, key, peer)

    def on_signal(self, key: SessionKey, signal: Signal) -> None:
        self.portal.deliver(self._signal_arrived, key, signal)

    def on_failed(self, key: SessionKey, error: SignalingError) -> None:
        self.portal.deliver(self._session_failed, key, error)

    def on_refused(self, error: SignalingError) -> None:
        self.portal.deliver(self._refused, error)

    # --- the same, in the caller's loop -------------------------------------------------------------------------------

    def _session_opened(self, key: SessionKey, peer: PeerId) -> None:
        session = self.sessions[key] = _ClientSession(self, key, peer)
        if self.backlog is None:
            session.refuse("not-listening", "the peer has stopped listening")
        else:
            self.backlog.add(session)

    def _signal_arrived(self, key: SessionKey, signal: Signal) -> None:
        if key in self.sessions:
            self.sessions[key].feed(signal)

    def _session_failed(self, key: SessionKey, error: SignalingError) -> None:
        if key in self.sessions:
            self.sessions[key].end(error)

    def _refused(self, error: SignalingError) -> None:
        if self.backlog is not None:
            self.backlog.fail(error)


class _ClientSession(BufferedSession):
    def __init__(self, caller: _CallerSide, key: SessionKey, peer: PeerId) -> None:
        super().__init__(peer, key.session, authenticated=False)
        self._caller = caller
        self._key = key

    async def _send(self, signal: Signal) -> None:
        await self._caller.portal.call(self._caller.client.sessions.send, self._key, signal)

    def _forget(self, farewell: Bye | Error | None) -> None:
        self._caller.sessions.pop(self._key, None)
        self._caller.portal.post(self._caller.client.sessions.close, self._key, farewell)
