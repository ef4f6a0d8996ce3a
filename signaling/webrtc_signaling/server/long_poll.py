"""Clients that can't have a WebSocket: they send by POST, and wait for what is sent to them in a GET."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from typing import Final, Self

from aiohttp import hdrs, web

from webrtc_transport.errors import InvalidSignal

from ..batch import CONNECTION_HEADER, CONTENT_TYPE, pack, unpack
from ..channel import ReliableChannel
from ..codec import Codec
from ..limits import MAX_BATCH_SIZE, MIN_COMPRESSED_SIZE
from ..messages import (
    MAX_NUMBER,
    Challenge,
    Failure,
)
from .access import Access
from .admission import Admission
from .auth import Refused
from .client import Client, failure_of
from .client_address import ClientAddresses
from .connection import check_room
from .hub import Hub
from .origins import Origins
from .settings import ServerSettings
from .signals import FromServer, ToClient, encode, parse

_MAX_REQUESTS: Final = 4
"""Requests of one connection at a time: a poll, a message, and each once more when it seemed lost. Each can hold a body
of ``MAX_BATCH_SIZE`` in memory. Before it is registered a connection has one."""

_ABSENCE: Final = 1.5
"""How long a client may make no request, in heartbeats: so soon a WebSocket would be dropped, too."""


class PollConnection:
    """The hub's :class:`~webrtc_signaling.server.registration.Link` to a client that polls."""

    def __init__(
        self, address: str, hub: Hub, access: Access, settings: ServerSettings, on_end: Callable[[], None]
    ) -> None:
        self.requests = 0
        """That are under way."""
        self._client = Client(self, address, hub, access, settings)
        self._settings = settings
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Future[None] | None = None
        """The last poll, while it waits."""
        self._polls = 0
        """Only the last one is answered with messages."""
        self._farewell: Failure | None = None
        self._is_over = False
        self._expires_at = self._loop.time() + settings.register_timeout
        self._expiry = self._loop.call_at(self._expires_at, self._expire)
        """Not later than that: it isn't made anew for each request."""

    @property
    def challenge(self) -> Challenge:
        """What the client has to sign."""
        return self._client.challenge

    @property
    def is_busy(self) -> bool:
        """Whether it may make no further request now."""
        return self.requests >= (1 if self._client.registration is None else _MAX_REQUESTS)

    def __enter__(self) -> Self:
        """A request is handled."""
        self.requests += 1
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.requests -= 1

    def wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def close(self, farewell: Failure) -> None:
        self._client.dismissed(farewell)
        self._farewell = farewell
        self.wake()
        # Until then the client can ask again, should the answer be lost.
        self._expiry.cancel()
        self._expiry = self._loop.call_later(self._settings.close_timeout, self.end)

    def drop(self) -> None:
        self._is_over = True
        self._client.superseded()
        self._expiry.cancel()
        self.wake()
        self._on_end()

    def end(self, *, leaving: bool = False) -> None:
        """The connection is over; ``leaving`` if the client said goodbye."""
        if not self._is_over:
            self.drop()
            self._client.disconnected(leaving=leaving)

    def receive(self, lines: list[bytes]) -> list[FromServer]:
        """Handle messages of the client; returns the answer."""
        answers: list[FromServer] = []
        try:
            for line in lines:
                message = parse(line, Codec.JSON, is_text=True)
                registration = self._client.registration
                if registration is None:
                    answers.append(self._client.register(message)[1])
                elif self._farewell is None:
                    # What comes after the end was decided isn't acknowledged, so it comes again.
                    self._client.receive(registration, message, self._loop.time())
        except (Refused, InvalidSignal) as exc:
            failure = failure_of(exc)
            self._client.refused(failure)
            self.end()
            return [failure]
        if self._client.registration is not None:
            answers.append(self._client.registration.channel.announce())
            self._stay(0)
        return answers

    async def poll(self, received: int, wait: float) -> list[FromServer]:
        """Wait for messages beyond number ``received``, for ``wait`` seconds at most.

        :raises InvalidSignal: if that number was never sent, or the client has not registered
        """
        registration = self._client.registration
        if registration is None:
            raise InvalidSignal("register first")
        channel = registration.channel
        channel.rewind(received)
        self._polls += 1
        this_poll = self._polls
        self._stay(wait)
        if not self._client.may_go_on(registration, self._loop.time()):
            wait = 0
        # The poll before this one ends: its client has given it up.
        self.wake()
        deadline = self._loop.time() + wait
        while not self._is_over and this_poll == self._polls:
            if messages := self._outgoing(channel):
                return messages
            if self._loop.time() >= deadline:
                break
            await self._wait(deadline)
        return []

    def take(self, received: int) -> None:
        """The client leaves, and has everything up to number ``received``.

        :raises InvalidSignal: if that number was never sent
        """
        if self._client.registration is not None:
            self._client.registration.channel.acknowledge(received)
        self.end(leaving=True)

    async def _wait(self, deadline: float) -> None:
        """Until :meth:`wake`, or the deadline. A bare future and a timer: thousands of polls wait at any time."""
        waiting = self._waiting = self._loop.create_future()
        timer = self._loop.call_at(deadline, self._end_wait, waiting)
        try:
            await waiting
        finally:
            timer.cancel()

    @staticmethod
    def _end_wait(waiting: asyncio.Future[None]) -> None:
        if not waiting.done():
            waiting.set_result(None)

    def _outgoing(self, channel: ReliableChannel[ToClient]) -> list[FromServer]:
        # Acknowledgements are the answers to messages, so none is due here.
        messages: list[FromServer] = [*channel.transmit(self._loop.time(), MAX_BATCH_SIZE)]
        if self._farewell is not None and not messages:
            messages.append(self._farewell)
        return messages

    def _stay(self, wait: float) -> None:
        """The client is there, and need not come again before ``wait`` seconds and its time of absence are over."""
        until = self._loop.time() + wait + _ABSENCE * self._settings.heartbeat
        if self._farewell is None:
            self._expires_at = max(self._expires_at, until)

    def _expire(self) -> None:
        if self._loop.time() < self._expires_at:
            self._expiry = self._loop.call_at(self._expires_at, self._expire)
        else:
            self.end()


class LongPoll:
    """The handlers of requests to ``/poll``."""

    def __init__(
        self,
        hub: Hub,
        settings: ServerSettings,
        admission: Admission,
        *,
        access: Access,
        addresses: ClientAddresses,
        origins: Origins,
    ) -> None:
        self._hub = hub
        self._access = access
        self._addresses = addresses
        self._origins = origins
        self._settings = settings
        self._admission = admission
        self._connections: dict[str, PollConnection] = {}
        """By their names, which are secret."""

    async def post(self, request: web.Request) -> web.Response:
        """Open a connection, or send over one."""
        self._origins.check(request)
        if CONNECTION_HEADER not in request.headers:
            return _response(request, [self._open(self._addresses.of_request(request))], status=201)
        with self._request_of(request):
            try:
                lines = unpack(await self._read(request))
            except InvalidSignal as exc:
                raise web.HTTPBadRequest(text=f"{exc}\n") from None
            # Meanwhile another connection may have taken over.
            return _response(request, self._find(request).receive(lines))

    async def get(self, request: web.Request) -> web.Response:
        """Wait for messages; ``received`` is the number of the last one that the client has."""
        self._origins.check(request)
        with self._request_of(request) as connection:
            received = _number(request, "received")
            wait = min(_number(request, "wait"), self._settings.heartbeat)
            try:
                response = _response(request, await connection.poll(received, wait))
            except InvalidSignal as exc:
                raise web.HTTPBadRequest(text=f"{exc}\n") from None
            await self._send(request, response)
        return response

    async def delete(self, request: web.Request) -> web.Response:
        """Say goodbye."""
        self._origins.check(request)
        try:
            self._find(request).take(_number(request, "received"))
        except InvalidSignal as exc:
            raise web.HTTPBadRequest(text=f"{exc}\n") from None
        return web.Response(status=204)

    async def end_all(self, _app: web.Application) -> None:
        """The server ends."""
        for connection in list(self._connections.values()):
            connection.end()

    def _open(self, address: str) -> Challenge:
        check_room(self._admission, address)
        name = secrets.token_urlsafe(32)

        def forget() -> None:
            self._admission.leave(address)
            self._hub.journal.closed("long-poll")
            del self._connections[name]

        self._admission.enter(address)
        self._hub.journal.opened("long-poll")
        connection = self._connections[name] = PollConnection(
            address, self._hub, self._access, self._settings, forget
        )
        return connection.challenge.model_copy(update={"connection": name})

    def _find(self, request: web.Request) -> PollConnection:
        name = request.headers.get(CONNECTION_HEADER)
        if name is None:
            raise web.HTTPBadRequest(text=f"{CONNECTION_HEADER}: the name of a connection is needed\n")
        connection = self._connections.get(name)
        if connection is None:
            raise web.HTTPNotFound(text="there is no such connection (any more); open another\n")
        return connection

    def _request_of(self, request: web.Request) -> PollConnection:
        """The connection that a request belongs to; to be held as a context while it is handled."""
        connection = self._find(request)
        if connection.is_busy:
            raise web.HTTPTooManyRequests(text="too many requests at once\n")
        return connection

    async def _send(self, request: web.Request, response: web.Response) -> None:
        """Send a response of any size. Who doesn't read it loses the request, and can make it again."""
        try:
            async with asyncio.timeout(self._settings.register_timeout):
                await response.prepare(request)
                await response.write_eof()
        except TimeoutError:
            if request.transport is not None:
                request.transport.abort()

    async def _read(self, request: web.Request) -> bytes:
        if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() not in ("identity", "gzip"):
            raise web.HTTPUnsupportedMediaType(text="Content-Encoding: use gzip, or none\n")
        try:
            # A client that sends its body by the byte holds a file descriptor for no longer than one that is silent.
            async with asyncio.timeout(self._settings.register_timeout):
                return await request.read()
        except TimeoutError:
            raise web.HTTPRequestTimeout(text="the body took too long\n") from None
        except web.RequestPayloadError as exc:
            raise web.HTTPBadRequest(text=f"{exc}\n") from None


def _number(request: web.Request, name: str) -> int:
    text = request.query.get(name, "")
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(MAX_NUMBER))):
        raise web.HTTPBadRequest(text=f"{name}: a number is needed\n")
    return int(text)


def _response(request: web.Request, messages: list[FromServer], *, status: int = 200) -> web.Response:
    # What is left over is still unacknowledged, so the next poll asks for it.
    body = next(pack(encode(message, Codec.JSON) for message in messages), b"")
    response = web.Response(
        status=status, body=body, content_type=CONTENT_TYPE, headers={hdrs.CACHE_CONTROL: "no-store"}
    )
    if len(body) >= MIN_COMPRESSED_SIZE and "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        response.enable_compression(web.ContentCoding.gzip)
    return response
