"""What carries messages, and one WebSocket that does, for clients and for the server. Runs on asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import math
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from typing import Generic, Protocol, TypeAlias, TypeVar

import aiohttp
from aiohttp import WSCloseCode, WSMsgType, web

from .channel import ReliableChannel
from .codec import Codec, Frame, decode, encode
from .messages import Failure, FromClient, Message, Register, ServerMessage, ToClient

Socket: TypeAlias = web.WebSocketResponse | aiohttp.ClientWebSocketResponse
Outgoing = TypeVar("Outgoing", bound=FromClient | ToClient)
_M = TypeVar("_M")


class Disconnected(Exception):
    """The connection is over; ``code`` is the close code of a WebSocket, if the other end sent one."""

    def __init__(self, reason: str, code: int | None = None) -> None:
        super().__init__(reason)
        self.code = code


class Carrier(Protocol):
    """A client's connection to the server: a WebSocket, or polls."""

    @abstractmethod
    async def receive(self) -> tuple[ServerMessage, int]:
        """Wait for a message; returns it with its size. Until :meth:`exchange` is called.

        :raises InvalidSignal: if it is malformed
        :raises Disconnected: at the end
        """

    @abstractmethod
    async def send(self, message: Register) -> None:
        """Send the registration.

        :raises Disconnected: if the connection is over
        """

    @abstractmethod
    async def exchange(
        self, channel: ReliableChannel[FromClient], handle: Callable[[ServerMessage, int], None]
    ) -> None:
        """Move messages both ways until :meth:`finish`; ``handle`` gets each that arrives until then, with its size.

        :raises Disconnected: if the connection ends otherwise
        :raises InvalidSignal: if the other end sends what isn't a message
        """

    @abstractmethod
    def wake(self) -> None:
        """The channel has something to transmit, or an acknowledgement to make."""

    @abstractmethod
    def finish(self) -> None:
        """Send what the channel still has, say goodbye, and close."""


class Wire(Generic[_M]):
    """Sends and receives messages over ``socket``; ``parse`` checks what arrives."""

    def __init__(self, socket: Socket, codec: Codec, parse: Callable[[object], _M]) -> None:
        self._socket = socket
        self._codec = codec
        self._parse = parse
        self._awake = asyncio.Event()
        self._closing = False
        self._dropped = False
        self._farewell: Failure | None = None
        self._first: tuple[_M, int] | None = None

    async def wait_for_first(self) -> None:
        """Wait until there is something to :meth:`receive`: some networks let a WebSocket open, and nothing through."""
        self._first = await self.receive()

    async def receive(self) -> tuple[_M, int]:
        """Wait for a message; returns it with its size.

        :raises InvalidSignal: if it is malformed
        :raises Disconnected: at the end
        """
        if self._first is not None:
            first, self._first = self._first, None
            return first
        received = await self._socket.receive()
        if received.type in (WSMsgType.TEXT, WSMsgType.BINARY):
            frame: Frame = received.data
            return self._parse(decode(frame, self._codec)), len(frame)
        error = self._socket.exception()
        reason = f"closed by the other end {received.extra or ''!r}" if error is None else str(error)
        raise Disconnected(reason, self._socket.close_code)

    async def send(self, message: Message) -> None:
        """Send a message; waits while the other end doesn't read.

        :raises Disconnected: if the connection is over
        """
        frame = encode(message, self._codec)
        try:
            if isinstance(frame, str):
                await self._socket.send_str(frame)
            else:
                await self._socket.send_bytes(frame)
        except (ConnectionError, aiohttp.ClientError) as exc:
            # A reset is told by the transport, in words about itself.
            raise Disconnected(
                "the connection has broken" if isinstance(exc, ConnectionError) else str(exc)
            ) from None

    async def exchange(self, channel: ReliableChannel[Outgoing], handle: Callable[[_M, int], None]) -> None:
        """Move messages both ways until :meth:`finish`; ``handle`` gets each that arrives until then, with its size.

        :raises Disconnected: if the connection ends otherwise
        :raises InvalidSignal: if the other end sends what isn't a message
        """
        await both_ways(self._read(handle), self._write(channel), until=asyncio.FIRST_EXCEPTION)

    def wake(self) -> None:
        """The channel has something to transmit, or an acknowledgement to make."""
        self._awake.set()

    def finish(self, farewell: Failure | None = None) -> None:
        """Send what the channel still has, and then ``farewell``, and close."""
        if not self._closing:
            self._closing, self._farewell = True, farewell
            self._awake.set()

    def drop(self) -> None:
        """Transmit nothing any more: another connection has taken the channel over."""
        self._dropped = True
        self._awake.set()

    async def close(self, farewell: Failure | None) -> None:
        """Send ``farewell``, and close.

        :raises Disconnected: if the connection is over
        """
        if farewell is None:
            await self._socket.close()
        else:
            await self.send(farewell)
            await self._socket.close(code=WSCloseCode.POLICY_VIOLATION)

    async def _read(self, handle: Callable[[_M, int], None]) -> None:
        while True:
            try:
                message, size = await self.receive()
            except Disconnected:
                if self._closing:
                    return
                raise
            # What comes after the end was decided isn't acknowledged, so it comes again.
            if not self._closing and not self._dropped:
                handle(message, size)

    async def _write(self, channel: ReliableChannel[Outgoing]) -> None:
        loop = asyncio.get_running_loop()
        while not self._dropped:
            self._awake.clear()
            closing = self._closing
            for message in channel.transmit(math.inf if closing else loop.time()):
                await self.send(message)
            if closing:
                await self.close(self._farewell)
                return
            await self._wait(channel.ack_at)
        raise Disconnected("another connection took over")

    async def _wait(self, deadline: float | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await self._awake.wait()


async def both_ways(
    reading: Coroutine[object, object, None], writing: Coroutine[object, object, None], *, until: str
) -> None:
    """Read and write side by side, and leave no task behind; raises what either of them raised.

    :param until: when it is over, in the words of ``asyncio.wait``
    """
    tasks = [asyncio.create_task(reading), asyncio.create_task(writing)]
    try:
        await asyncio.wait(tasks, return_when=until)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception):
            raise result
