"""The client of a rendezvous server: one registration, over as many connections as it takes. Runs on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import aiohttp

from webrtc_transport.config import IceServer
from webrtc_transport.errors import InvalidSignal, SignalingError, SignalingRejected, SignalingUnavailable
from webrtc_transport.identity import Identity
from webrtc_transport.redaction import redacted

from .channel import BufferFull, ReliableChannel
from .client_backend import ClientEvents, SignalingClient
from .codec import Codec, encode
from .connect_errors import connect_reason
from .leased_ice_servers import LeasedIceServers
from .limits import MAX_QUEUED_BYTES, MAX_QUEUED_MESSAGES
from .messages import (
    MAX_NUMBER,
    Ack,
    Challenge,
    Envelope,
    Failure,
    FromClient,
    IceServers,
    Malformed,
    Numbered,
    Register,
    Registered,
    ServerMessage,
    SessionFailure,
    register_payload,
)
from .session_book import SessionBook
from .tokens import TokenDesk
from .wire import Carrier, Disconnected

_logger = logging.getLogger("libp2p.transport.webrtc.signaling")

_FATAL_CODES: Final = frozenset(
    {"unsupported-version", "invalid-proof", "replaced", "token-required", "invalid-token"}
)
"""What the service won't take back, however often it is asked."""

_CURES: Final[Mapping[str, str]] = {
    "replaced": "; one identity is for one process at a time",
    "token-required": "; RendezvousServer(url, token=…) has one, and so has a URL with #token=… at its end",
    "invalid-token": "; ask the operator for one that is for this peer id and this server",
    "token-expired": "; RendezvousServer(url, token=…) also takes an async function that gets fresh ones",
}
"""What helps, by code."""

_M = TypeVar("_M", bound=ServerMessage)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """Times are seconds."""

    codec: Codec = Codec.JSON
    """The encoding of the messages in a WebSocket; polls have JSON. A server that doesn't know it is refused."""
    connect_timeout: float = 10.0
    """For one attempt, from name resolution to the registration."""
    heartbeat: float = 15.0
    """A server that is silent for so long is asked, and given up when it doesn't answer in half the time."""
    retry_initial: float = 0.1
    retry_max: float = 10.0
    """Attempts to reconnect follow after pauses that double from the first to the second of these."""
    close_timeout: float = 2.0
    """For saying goodbye."""
    ssl: ssl.SSLContext | None = None
    """For ``wss://`` and ``https://``; ``None`` trusts the authorities that the system does."""


Connect: TypeAlias = Callable[[str, ClientOptions], AbstractAsyncContextManager[Carrier]]
"""Makes a connection to the server at a URL. What goes wrong is ``Disconnected``, or an error of aiohttp's."""


class RendezvousClient(SignalingClient):
    """Registers with the service at ``url`` when it is first needed, and stays registered until closed.

    ``sessions`` may be used once :meth:`ready` has returned. All methods are for the engine's loop.
    """

    def __init__(
        self,
        url: str,
        identity: Identity,
        events: ClientEvents,
        options: ClientOptions,
        connect: Connect,
        *,
        tokens: TokenDesk,
    ) -> None:
        self.sessions = SessionBook(str(identity.peer_id), events, self._push)
        self._url = url
        self._shown_url = redacted(url)
        self._identity = identity
        self._peer = str(identity.peer_id)
        self._events = events
        self._options = options
        self._connect = connect
        self._tokens = tokens
        self._ice_servers = LeasedIceServers(self._push, options.connect_timeout)
        self._instance = secrets.token_urlsafe(16)
        self._channel = _new_channel()
        self._was_registered = False
        self._has_lost = False
        """Whether it was told that the connection is lost, and not yet that there is another."""
        self._registered_at: float | None = None
        """When the current connection was registered, if it is."""
        self._wire: Carrier | None = None
        """The connection, while it is registered."""
        self._task: asyncio.Task[None] | None = None
        self._outcome: asyncio.Future[SignalingError | None] | None = None
        """Of the attempt to register that is under way, or the next; for those who wait for it."""
        self._wanted = asyncio.Event()
        self._failures = 0
        self._grace = 0.0
        """Seconds that the service keeps our registration without a connection."""
        self._final: SignalingError | None = None
        self._expiry: asyncio.TimerHandle | None = None
        """Fails the sessions when the service has forgotten us."""

    async def ready(self) -> None:
        """Wait until we are registered.

        An attempt takes ``connect_timeout`` at most. The first is the only one; a service that we were registered
        with is tried for as long again, because it may be restarting.

        :raises SignalingUnavailable: if it can't be reached
        :raises SignalingRejected: if it refuses us
        """
        if self._wire is not None:
            return
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._options.connect_timeout
        self._wanted.set()
        while True:
            if self._final is not None:
                raise self._final
            if self._task is None:
                self._task = loop.create_task(self._run())
            if self._outcome is None:
                self._outcome = loop.create_future()
            error = await asyncio.shield(self._outcome)
            if error is None:
                return
            if not self._was_registered or loop.time() >= deadline:
                raise error

    async def ice_servers(self) -> tuple[IceServer, ...]:
        """The ICE servers that the service lends us.

        :raises SignalingUnavailable: if it can't be reached, or doesn't answer
        :raises SignalingRejected: if it refuses us
        """
        await self.ready()
        return await self._ice_servers.get()

    async def aclose(self) -> None:
        """Send what is queued, say goodbye and end; all within ``close_timeout``."""
        if self._final is None:
            self._final = SignalingUnavailable("the signaling backend is closed")
        if self._task is None:
            return
        if self._wire is not None:
            self._wire.finish()
            await asyncio.wait([self._task], timeout=self._options.close_timeout)
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled():
            self._task.result()

    async def _run(self) -> None:
        try:
            while self._final is None:
                try:
                    await self._connection()
                except SignalingRejected as error:
                    self._final = error
                    self._events.on_refused(error)
                    self.sessions.fail_all(error)
                except SignalingUnavailable as error:
                    # After aclose() nobody asks how the goodbye went.
                    if self._final is None:
                        self._lost(error)
                        await self._pause()
        finally:
            if self._expiry is not None:
                self._expiry.cancel()
            if self._final is None:
                self._final = SignalingUnavailable("the signaling client has ended")
            self._settle(self._final)

    async def _connection(self) -> None:
        """One connection, from its beginning to its end; returns after :meth:`aclose`.

        :raises SignalingUnavailable: if it can't be made, or is lost
        :raises SignalingRejected: if the service refuses us for good
        """
        waits_for = "no answer"
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout(self._options.connect_timeout):
                    waits_for = "no token from the application's function"
                    token = await self._tokens.fetch()
                    waits_for = "no answer"
                    wire = await stack.enter_async_context(self._connect(self._url, self._options))
                    self._resume(await self._register(wire, token))
                self._wire = wire
                self._settle(None)
                await wire.exchange(self._channel, self._handle)
        except TimeoutError:
            cure = "; check host, port and firewalls between" if waits_for == "no answer" else ""
            reason = f"{waits_for} within {self._options.connect_timeout:g} s{cure}"
        except InvalidSignal as exc:
            reason = f"it doesn't speak the rendezvous protocol: {exc}"
        except (Disconnected, aiohttp.ClientError, OSError) as exc:
            reason = connect_reason(exc, self._url)
        else:
            return
        finally:
            self._wire = None
        raise SignalingUnavailable(f"no connection to {self._shown_url}: {reason}")

    async def _register(self, wire: Carrier, token: str | None) -> Registered:
        challenge = self._expect(Challenge, await wire.receive())
        payload = register_payload(nonce=challenge.nonce, peer=self._peer)
        register = Register(
            peer=self._peer,
            public_key=self._identity.public_key.to_protobuf(),
            signature=self._identity.sign(payload),
            instance=self._instance,
            received=self._channel.received if self._was_registered else None,
            token=token,
        )
        await wire.send(register)
        return self._expect(Registered, await wire.receive())

    def _expect(self, kind: type[_M], received: tuple[ServerMessage, int]) -> _M:
        message, _ = received
        if isinstance(message, Failure):
            raise self._failure(message)
        if not isinstance(message, kind):
            raise InvalidSignal(f"expected {kind.__name__}, got {type(message).__name__}")
        return message

    def _resume(self, registered: Registered) -> None:
        if registered.resumed:
            self._channel.resume(registered.received)
        else:
            forgotten, self._channel = self._channel, _new_channel()
            self.sessions.replay(kept for kept in forgotten.unacknowledged if isinstance(kept, Envelope))
        self._ice_servers.registered(offered=bool(registered.turn), resumed=registered.resumed)
        self._was_registered = True
        self._registered_at = asyncio.get_running_loop().time()
        self._grace = registered.grace
        if self._expiry is not None:
            self._expiry.cancel()
        # As loud as the loss was, or the log ends with that.
        level = logging.WARNING if self._has_lost else logging.INFO
        _logger.log(
            level,
            "registered with %s as %s%s",
            self._shown_url,
            self._peer,
            " again" if self._has_lost else "",
        )
        self._has_lost = False
        if registered.notice is not None:
            _logger.warning("%s says: %r", self._shown_url, registered.notice)

    def _handle(self, received: ServerMessage, _size: int) -> None:
        match received:
            case Ack(ack=ack):
                self._channel.acknowledge(ack)
            case Numbered(message=message, seq=seq, ack=ack):
                self._channel.acknowledge(ack)
                if self._channel.accept(seq, asyncio.get_running_loop().time()):
                    self._dispatch(message)
                self._wake()
            case Failure():
                raise self._failure(received)
            case _:
                raise InvalidSignal(f"a {received.type} message in between")

    def _dispatch(self, message: Envelope | Malformed | SessionFailure | IceServers) -> None:
        if isinstance(message, SessionFailure):
            self.sessions.receive_failure(message)
        elif isinstance(message, IceServers):
            self._ice_servers.receive(message)
        elif message.recipient != self._peer:
            raise InvalidSignal("to: a signal for another peer")
        else:
            self.sessions.receive(message)

    def _failure(self, failure: Failure) -> SignalingError:
        """What the service says about the connection, as an error."""
        code = failure.data.code
        said = failure.data.message or code
        message = f"{self._shown_url} refuses us: {said!r} ({code}){_CURES.get(code, '')}"
        if code in _FATAL_CODES or (code == "token-expired" and not self._tokens.has_fresh_ones):
            return SignalingRejected(message, code=code)
        return SignalingUnavailable(message)

    def _push(self, message: FromClient) -> None:
        """Queue a message.

        :raises SignalingUnavailable: if too many are unacknowledged
        """
        # With the largest numbers, because the real ones are not known before it is transmitted.
        size = len(encode(Numbered(message, MAX_NUMBER, MAX_NUMBER), self._options.codec))
        try:
            self._channel.push(message, size)
        except BufferFull:
            raise SignalingUnavailable(
                f"{self._shown_url} acknowledges nothing, and the queue for it is full"
            ) from None
        self._wake()

    def _wake(self) -> None:
        if self._wire is not None:
            self._wire.wake()

    def _lost(self, error: SignalingUnavailable) -> None:
        """An attempt failed, or a connection broke."""
        loop = asyncio.get_running_loop()
        if self._registered_at is None:
            _logger.debug("%s", error)
        else:
            _logger.warning("%s; reconnecting", error)
            self._has_lost = True
            self._expiry = loop.call_later(self._grace, self.sessions.fail_all, error)
            # A service that takes us and drops us again and again is a failing one.
            if loop.time() - self._registered_at > self._options.retry_max:
                self._failures = 0
            self._registered_at = None
        self._failures += 1
        self._settle(error)

    def _settle(self, error: SignalingError | None) -> None:
        """Tell those who wait in :meth:`ready`."""
        if self._outcome is not None:
            self._outcome.set_result(error)
            self._outcome = None

    async def _pause(self) -> None:
        """Wait before the next attempt, but not while somebody wants it."""
        self._wanted.clear()
        doubled = self._options.retry_initial * 2 ** min(self._failures - 1, 16)
        longest = min(self._options.retry_max, doubled)
        with contextlib.suppress(TimeoutError):
            # At random, lest all clients of a restarted server come at once.
            async with asyncio.timeout(random.uniform(longest / 2, longest)):  # noqa: S311 - no secret
                await self._wanted.wait()


def _new_channel() -> ReliableChannel[FromClient]:
    return ReliableChannel(max_messages=MAX_QUEUED_MESSAGES, max_bytes=MAX_QUEUED_BYTES)
