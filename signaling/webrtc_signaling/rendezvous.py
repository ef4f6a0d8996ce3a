"""The caller's side of signaling through a rendezvous server, however that is reached."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskStatus

from webrtc_transport.abc import SignalingBackend, SignalingContext, SignalingSession
from webrtc_transport.config import IceServer
from webrtc_transport.errors import (
    AlreadyListening,
    ConfigurationError,
    PeerUnreachable,
    SignalingError,
    SignalingRejected,
)
from webrtc_transport.identity import PeerId
from webrtc_transport.protocol.proof import new_session_id
from webrtc_transport.protocol.signals import Bye, Error, Signal
from webrtc_transport.redaction import redacted
from webrtc_transport.task_group import bare_task_group

from .client import ClientEvents, ClientOptions, Connect, RendezvousClient
from .inbound import ALREADY_SERVING, Backlog, Handler
from .session import BufferedSession
from .session_book import SessionKey
from .tokens import TokenDesk, TokenSource
from .wire import Carrier


class RendezvousBackend(SignalingBackend):
    """Meets peers at a rendezvous server (:mod:`webrtc_signaling.messages` describes the protocol).

    It connects when :meth:`connect` or :meth:`serve` is first called, registers under the proven peer id, and
    reconnects by itself until it is left. Sessions outlive a lost connection for as long as the server grants.
    """

    distribution_hint: ClassVar[str | None] = "webrtc-transport[websocket]"
    schemes: ClassVar[tuple[str, str]]
    """Of its URLs, without and with TLS."""

    def __init__(
        self,
        url: str,
        context: SignalingContext,
        *,
        options: ClientOptions | None = None,
        token: TokenSource | None = None,
    ) -> None:
        """Build the backend; no I/O yet.

        :param token: of the server's operator, or an async function that gets a fresh one for each connection
        :raises ConfigurationError: if ``url`` is no address of a server, or ``token`` no token
        """
        if not _is_server_url(url, self.schemes):
            plain, secure = self.schemes
            raise ConfigurationError(
                f"{redacted(url)!r} is no address of a signaling server: use {plain}://host:port or {secure}://host:port"
            )
        self._peer = context.identity.peer_id
        self._portal = context.portal
        self._tokens = TokenDesk(token, context.portal)
        self._token_scope: anyio.CancelScope | None = None
        self._stack = AsyncExitStack()
        self._caller = _CallerSide(url, context, options or ClientOptions(), self.open_carrier, self._tokens)

    @staticmethod
    @abstractmethod
    def open_carrier(url: str, options: ClientOptions) -> AbstractAsyncContextManager[Carrier]:
        """Connect to the server at ``url``; this runs on the engine's loop, as a :data:`~.client.Connect`."""

    @classmethod
    def from_url(cls, url: str, context: SignalingContext) -> Self:
        return cls(url, context)

    async def __aenter__(self) -> Self:
        if self._tokens.has_fresh_ones:
            tasks = await self._stack.enter_async_context(bare_task_group())
            self._token_scope = await tasks.start(self._tokens.serve)
        return self

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
        if self._token_scope is not None:
            self._token_scope.cancel()
        await self._stack.aclose()

    async def ice_servers(self) -> Sequence[IceServer]:
        """The ICE servers that the server lends us, with credentials that are good for a while.

        :raises SignalingUnavailable: if the server can't be reached, or doesn't answer
        :raises SignalingRejected: if it refuses us
        """
        return await self._portal.run(self._caller.client.ice_servers)

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
        self,
        url: str,
        context: SignalingContext,
        options: ClientOptions,
        connect: Connect,
        tokens: TokenDesk,
    ) -> None:
        self.client = RendezvousClient(url, context.identity, self, options, connect, tokens=tokens)
        self.sessions: dict[SessionKey, _RendezvousSession] = {}
        self.backlog: Backlog | None = None
        """There is one while somebody serves."""
        self.portal = context.portal

    async def open_session(self, peer: PeerId) -> _RendezvousSession:
        key = SessionKey(str(peer), new_session_id())
        session = self.sessions[key] = _RendezvousSession(self, key, peer)
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

    def on_refused(self, error: SignalingRejected) -> None:
        self.portal.deliver(self._refused, error)

    # --- the same, in the caller's loop -------------------------------------------------------------------------------

    def _session_opened(self, key: SessionKey, peer: PeerId) -> None:
        session = self.sessions[key] = _RendezvousSession(self, key, peer)
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

    def _refused(self, error: SignalingRejected) -> None:
        if self.backlog is not None:
            self.backlog.fail(error)


class _RendezvousSession(BufferedSession):
    """Not authenticated: what the server says about a peer is only as good as the server."""

    def __init__(self, caller: _CallerSide, key: SessionKey, peer: PeerId) -> None:
        super().__init__(peer, key.session, authenticated=False)
        self._caller = caller
        self._key = key

    async def _send(self, signal: Signal) -> None:
        await self._caller.portal.call(self._caller.client.sessions.send, self._key, signal)

    def _forget(self, farewell: Bye | Error | None) -> None:
        self._caller.sessions.pop(self._key, None)
        self._caller.portal.post(self._caller.client.sessions.close, self._key, farewell)


def _is_server_url(url: str, schemes: tuple[str, str]) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in schemes and bool(parts.hostname) and parts.port != 0 and not parts.fragment
    except ValueError:
        return False
