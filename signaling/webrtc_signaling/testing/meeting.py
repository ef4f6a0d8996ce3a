"""Two backends that meet."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine

import anyio

from webrtc_transport.abc import SignalingBackend, SignalingSession
from webrtc_transport.identity import PeerId

from .samples import OFFER

Handler = Callable[[SignalingSession], Coroutine[object, object, None]]


@contextlib.asynccontextmanager
async def serving(backend: SignalingBackend, handler: Handler) -> AsyncIterator[None]:
    """Let ``backend`` serve meanwhile."""
    async with anyio.create_task_group() as task_group:
        await task_group.start(backend.serve, handler)
        yield
        task_group.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def session_pair(
    alice: SignalingBackend, bob: SignalingBackend, bob_id: PeerId
) -> AsyncIterator[tuple[SignalingSession, SignalingSession]]:
    """Both ends of a session that has begun, the initiator's first."""
    inbound: list[SignalingSession] = []
    arrived, done = anyio.Event(), anyio.Event()

    async def handler(session: SignalingSession) -> None:
        inbound.append(session)
        arrived.set()
        await done.wait()

    async with serving(bob, handler):
        async with await alice.connect(bob_id) as session:
            await session.send(OFFER)
            await arrived.wait()
            assert await inbound[0].receive() == OFFER
            yield session, inbound[0]
        done.set()


def until_bye(handler: Handler) -> Handler:
    """The same handler, for which the end of the session is no error."""

    async def handle(session: SignalingSession) -> None:
        with contextlib.suppress(anyio.EndOfStream):
            await handler(session)

    return handle


async def echo(session: SignalingSession) -> None:
    """A handler that sends back what it receives."""
    while True:
        await session.send(await session.receive())
