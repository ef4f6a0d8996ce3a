"""This library, through its public facade.

    python -m benchmarks.peers.facade <engine> asyncio|trio accept|dial <role> <parameters>

Signals travel on the lines between the two processes, by a signaling backend as a plugin would bring it. Between two
facades descriptions are signed; other libraries don't sign, so for them the lines count as authenticated.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from typing import Self

import anyio
from anyio.abc import TaskGroup, TaskStatus

from webrtc_signaling.session import BufferedSession
from webrtc_transport import Connection, Identity, Listener, PeerId, Stream, TransportConfig, WebRTCTransport
from webrtc_transport.abc import SignalingBackend, SignalingContext, SignalingSession
from webrtc_transport.errors import ConfigurationError
from webrtc_transport.protocol.proof import new_session_id
from webrtc_transport.protocol.signals import Bye, Error, Offer, Signal, parse_signal

from .lines import Line, Lines
from .roles import Channel, Link, Peer, run


class LineSession(BufferedSession):
    """A session whose signals are lines."""

    def __init__(self, backend: LineBackend, remote: PeerId, session_id: str, *, is_signed: bool) -> None:
        super().__init__(remote, session_id, authenticated=not is_signed)
        self._backend = backend

    async def _send(self, signal: Signal) -> None:
        self._backend.write(self, signal)

    def _forget(self, farewell: Bye | Error | None) -> None:
        del self._backend.sessions[self.session_id]
        if farewell is not None:
            self._backend.write(self, farewell)


class LineBackend(SignalingBackend):
    """Reaches the process at the other end of the lines."""

    def __init__(self, lines: Lines, own: PeerId) -> None:
        self._lines = lines
        self._own = own
        self.foreign = Identity.generate().peer_id
        """Stands for a peer that isn't libp2p's, and so has no id."""
        self.sessions: dict[str, LineSession] = {}
        self._offers, self._offered = anyio.create_memory_object_stream[LineSession](64)
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup | None = None
        self._is_reading = False

    @classmethod
    def from_url(cls, url: str, context: SignalingContext) -> Self:  # noqa: ARG003 - the contract's name
        raise ConfigurationError(f"{url!r}: lines between processes have no address")

    async def __aenter__(self) -> Self:
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        await self._stack.aclose()

    async def connect(self, peer: PeerId) -> SignalingSession:
        self._start_reading()
        return self._session(None if peer == self.foreign else peer, new_session_id())

    async def serve(
        self,
        handler: Callable[[SignalingSession], Coroutine[object, object, None]],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        self._start_reading()
        task_status.started()
        async with anyio.create_task_group() as task_group:
            async for session in self._offered:
                task_group.start_soon(handler, session)

    def write(self, session: LineSession, signal: Signal) -> None:
        """Send a signal of a session."""
        peers = {"from": str(self._own), "to": str(session.remote_peer)}
        self._lines.write({"session": session.session_id, **peers, "signal": signal.model_dump(mode="json")})

    def _start_reading(self) -> None:
        # Not before: the first line is the other end's address.
        if not self._is_reading:
            assert self._tasks is not None
            self._is_reading = True
            self._tasks.start_soon(self._read)

    async def _read(self) -> None:
        while True:
            line = await self._lines.read()
            signal = parse_signal(line["signal"])
            session = self.sessions.get(line["session"])
            if session is not None:
                session.feed(signal)
            elif isinstance(signal, Offer) and line.get("to", str(self._own)) == str(self._own):
                remote = PeerId.from_string(line["from"]) if "from" in line else None
                session = self._session(remote, line["session"])
                session.feed(signal)
                self._offers.send_nowait(session)

    def _session(self, remote: PeerId | None, session_id: str) -> LineSession:
        is_signed = remote is not None
        session = LineSession(self, remote or self.foreign, session_id, is_signed=is_signed)
        self.sessions[session_id] = session
        return session


class FacadeChannel(Channel):
    """A stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._surplus = 0

    async def send(self, data: bytes) -> None:
        await self._stream.send(data)

    async def receive(self, size: int) -> None:
        missing = size - self._surplus
        while missing > 0:
            missing -= len(await self._stream.receive())
        self._surplus = -missing

    async def close(self) -> None:
        await self._stream.aclose()


class FacadeLink(Link):
    """A connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def open(self) -> Channel:
        return FacadeChannel(await self._connection.open_stream())

    async def accept(self) -> Channel:
        return FacadeChannel(await self._connection.accept_stream())

    async def serve_echo(self) -> None:
        await self._connection.serve(echo)

    async def close(self) -> None:
        await self._connection.aclose()


async def echo(stream: Stream) -> None:
    """Send back what arrives."""
    async for chunk in stream:
        await stream.send(chunk)


class FacadePeer(Peer):
    """A transport, and its listener."""

    def __init__(self, lines: Lines) -> None:
        super().__init__(lines)
        self._identity = Identity.generate()
        self._backend = LineBackend(lines, self._identity.peer_id)
        self._transport = WebRTCTransport(
            self._identity, signaling=[self._backend], config=TransportConfig(engine=sys.argv[1])
        )
        self._listener: Listener | None = None

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        if sys.argv[-3] == "accept":
            self._listener = await self._transport.listen("/webrtc")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._transport.__aexit__(None, None, None)

    @property
    def address(self) -> Line:
        return {"peer": str(self._identity.peer_id), "silent": str(Identity.generate().peer_id)}

    async def dial(self, address: Line) -> Link:
        peer = address.get("peer") or self._backend.foreign
        return FacadeLink(await self._transport.dial(f"/webrtc/p2p/{peer}"))

    async def accept(self) -> Link:
        assert self._listener is not None
        return FacadeLink(await self._listener.accept())


if __name__ == "__main__":
    run(FacadePeer, sys.argv[2])
