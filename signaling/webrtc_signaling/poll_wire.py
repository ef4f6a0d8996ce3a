"""A client's connection to the server by HTTP requests, where WebSockets don't get through. Runs on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import math
from collections import deque
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Final

import aiohttp
from aiohttp import hdrs
from yarl import URL

from webrtc_transport.errors import InvalidSignal

from .batch import CONNECTION_HEADER, CONTENT_TYPE, pack, unpack
from .channel import ReliableChannel
from .client import ClientOptions
from .codec import Codec, decode_bytes, encode_bytes
from .connect_errors import NO_POLLS, connect_reason
from .limits import MAX_BATCH_SIZE, MAX_POLL_TRIES, MIN_COMPRESSED_SIZE, MIN_POLL_INTERVAL
from .messages import Challenge, FromClient, Register, ServerMessage, parse_server_message
from .wire import Disconnected, both_ways

_PASSING: Final = frozenset(
    {
        HTTPStatus.REQUEST_TIMEOUT,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""What proxies say of a request that the server may have got, or may get the next time."""

_COMPRESSION: Final = 6
"""zlib's own default; more takes longer, and saves next to nothing."""

_REASON_LENGTH: Final = 200
"""Bytes that are shown of what an HTTP error says."""

_Received = list[tuple[ServerMessage, int]]


class _Failed(Disconnected):
    """A request failed; the next may not."""


class PollWire:
    """Carries messages by requests to ``url``. Every request may be made again: the numbers tell what is new."""

    def __init__(self, http: aiohttp.ClientSession, url: URL, options: ClientOptions) -> None:
        self._http = http
        self._url = url
        self._options = options
        self._headers: dict[str, str] = {}
        self._inbox: deque[tuple[ServerMessage, int]] = deque()
        """What came before :meth:`exchange`."""
        self._awake = asyncio.Event()
        self._closing = False

    async def open(self) -> None:
        """Begin the connection.

        :raises Disconnected: if it is refused
        :raises InvalidSignal: if it isn't a server of this protocol that answers
        """
        self._inbox += await self._try("POST", body=b"")
        message = self._inbox[0][0] if self._inbox else None
        if not isinstance(message, Challenge) or message.connection is None:
            raise InvalidSignal("no challenge with a connection")
        self._headers[CONNECTION_HEADER] = message.connection

    async def receive(self) -> tuple[ServerMessage, int]:
        if not self._inbox:
            raise Disconnected("no answer to the registration")
        return self._inbox.popleft()

    async def send(self, message: Register) -> None:
        # Once: a registration that came twice would be refused the second time.
        for body in pack([encode_bytes(message, Codec.JSON)]):
            self._inbox += await self._try("POST", body=body)

    async def exchange(
        self, channel: ReliableChannel[FromClient], handle: Callable[[ServerMessage, int], None]
    ) -> None:
        while self._inbox:
            handle(*self._inbox.popleft())
        reading, writing = self._read(channel, handle), self._write(channel, handle)
        await both_ways(reading, writing, until=asyncio.FIRST_COMPLETED)

    def wake(self) -> None:
        self._awake.set()

    def finish(self) -> None:
        self._closing = True
        self._awake.set()

    async def _read(
        self, channel: ReliableChannel[FromClient], handle: Callable[[ServerMessage, int], None]
    ) -> None:
        loop = asyncio.get_running_loop()
        wait = math.ceil(self._options.heartbeat)
        while True:
            begun = loop.time()
            query = {"received": str(channel.received), "wait": str(wait)}
            received = await self._request("GET", query=query, wait=wait)
            for message, size in received:
                # What comes after the end was decided isn't acknowledged, so it comes again.
                if not self._closing:
                    handle(message, size)
            if not received:
                await asyncio.sleep(begun + MIN_POLL_INTERVAL - loop.time())

    async def _write(
        self, channel: ReliableChannel[FromClient], handle: Callable[[ServerMessage, int], None]
    ) -> None:
        while True:
            self._awake.clear()
            closing = self._closing
            # Each poll acknowledges what has arrived, so that is never due here.
            messages = channel.transmit(-math.inf)
            for body in pack(encode_bytes(message, Codec.JSON) for message in messages):
                for message, size in await self._request("POST", body=body):
                    handle(message, size)
            if closing:
                await self._request("DELETE", query={"received": str(channel.received)})
                return
            await self._awake.wait()

    async def _request(
        self,
        method: str,
        *,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        wait: float = 0,
    ) -> _Received:
        """Make a request until it is answered, a few times.

        :raises Disconnected: if it isn't, or the server refuses
        :raises InvalidSignal: if the answer is malformed
        """
        pause = self._options.retry_initial
        for _ in range(MAX_POLL_TRIES - 1):
            with contextlib.suppress(_Failed):
                return await self._try(method, body=body, query=query, wait=wait)
            await asyncio.sleep(pause)
            pause *= 2
        return await self._try(method, body=body, query=query, wait=wait)

    async def _try(
        self,
        method: str,
        *,
        body: bytes | None = None,
        query: Mapping[str, str] | None = None,
        wait: float = 0,
    ) -> _Received:
        timeout = aiohttp.ClientTimeout(total=wait + self._options.heartbeat / 2)
        headers = dict(self._headers)
        if body:
            headers[hdrs.CONTENT_TYPE] = CONTENT_TYPE
            if len(body) >= MIN_COMPRESSED_SIZE:
                headers[hdrs.CONTENT_ENCODING] = "gzip"
                body = gzip.compress(body, _COMPRESSION)
        try:
            async with self._http.request(
                method, self._url, params=query, data=body, headers=headers, timeout=timeout
            ) as response:
                return _parse(await _read_answer(response))
        except aiohttp.ClientConnectorError:
            raise
        except TimeoutError:
            raise _Failed(f"no answer within {timeout.total:g} s") from None
        except aiohttp.ClientError as exc:
            raise _Failed(connect_reason(exc, str(self._url))) from None


async def _read_answer(response: aiohttp.ClientResponse) -> bytes:
    """The body of an answer.

    :raises Disconnected: if it says that the request failed
    :raises InvalidSignal: if it is too long
    """
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BATCH_SIZE:
            raise InvalidSignal(f"an answer of more than {MAX_BATCH_SIZE} bytes")
    if response.ok:
        return body
    text = body[:_REASON_LENGTH].decode(errors="replace").strip()
    # A server of ours says in plain text what is wrong; what answers with a page is something else.
    is_ours = response.content_type == "text/plain"
    reason = f"HTTP status {response.status}{f' {text!r}' if is_ours else NO_POLLS}"
    raise _Failed(reason) if response.status in _PASSING else Disconnected(reason)


def _parse(body: bytes) -> _Received:
    return [
        (parse_server_message(decode_bytes(line, Codec.JSON, is_text=True)), len(line))
        for line in unpack(body)
    ]
