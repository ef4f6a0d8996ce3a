"""Listening: handlers, limits, and offers that are refused."""

import contextlib
import signal

import anyio
import pytest

from tests import direct_pairs
from tests.engine_loop import ENDS, end_the_loop, ends_with_the_loop, portal_of
from tests.logs import own_records
from tests.pairs import config, echo, read_all, transport
from webrtc_signaling.memory import MemoryBackend
from webrtc_transport import Identity
from webrtc_transport.errors import (
    ConnectError,
    ConnectionEnded,
    EngineError,
    HandlerError,
    SignalingRejected,
    StreamError,
)
from webrtc_transport.task_group import bare_task_group
from webrtc_transport.wakeup import Wakeup

pytestmark = pytest.mark.anyio


async def test_listeners_serve_until_closed():
    async with transport() as server, transport() as client, anyio.create_task_group() as task_group:
        listener = await server.listen("/webrtc")
        served = anyio.Event()

        async def serve():
            await listener.serve(lambda connection: connection.serve(echo))
            served.set()

        task_group.start_soon(serve)
        async with await client.dial(listener.addresses[0]) as connection:
            async with await connection.open_stream() as stream:
                await stream.send(b"hello")
                await stream.send_eof()
                assert await read_all(stream) == b"hello"
        await listener.aclose()
        with anyio.fail_after(5):
            await served.wait()
        with pytest.raises(anyio.ClosedResourceError):
            await listener.accept()


async def test_a_busy_listener_says_so():
    held = anyio.Event()
    server = transport(settings=config(max_inbound_handshakes=1, inbound_timeout=5))
    async with server, transport() as client, MemoryBackend(Identity.generate()) as idler:
        listener = await server.listen("/webrtc")
        async with await idler.connect(server.peer_id):
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(SignalingRejected, match="1 handshakes are under way") as caught:
                await client.dial(listener.addresses[0])
            assert caught.value.code == "busy"
        held.set()


async def test_a_full_backlog_of_connections_says_so():
    server = transport(settings=config(accept_backlog=1))
    async with server, transport() as client:
        listener = await server.listen("/webrtc")
        await client.dial(listener.addresses[0])
        while not listener._accepted:
            await anyio.sleep(0.001)
        with pytest.raises(SignalingRejected, match="1 connections wait to be accepted"):
            await client.dial(listener.addresses[0])


async def test_closing_a_listener_closes_what_nobody_accepted_even_if_it_is_cancelled():
    async with transport() as server, transport() as client:
        listener = await server.listen("/webrtc")
        connections = [await client.dial(listener.addresses[0]) for _ in range(3)]
        while len(listener._accepted) < 3:
            await anyio.sleep(0.001)
        with anyio.CancelScope() as scope:
            scope.cancel()
            await listener.aclose()
        with anyio.fail_after(5):
            for connection in connections:
                await connection.wait_closed()


# --- handlers that fail ---------------------------------------------------------------------------------------------


async def careless(connection):
    async with await connection.accept_stream() as stream:
        int(await stream.receive())
        await stream.send(b"taken")


async def ask(client, address, question):
    async with await client.dial(address) as connection, await connection.open_stream() as stream:
        await stream.send(question)
        # Acknowledged with the question: the server is gone after its answer.
        await stream.send_eof()
        return await stream.receive()


async def test_a_stranger_cant_end_a_server_by_its_handler(caplog):
    async with transport() as server, transport() as client, anyio.create_task_group() as task_group:
        listener = await server.listen("/webrtc")
        task_group.start_soon(listener.serve, careless)
        with pytest.raises((StreamError, ConnectionEnded)):
            await ask(client, listener.addresses[0], b"no number")
        assert await ask(client, listener.addresses[0], b"5") == b"taken"
        task_group.cancel_scope.cancel()
    [record] = [record for record in own_records(caplog) if record.levelname == "ERROR"]
    assert record.name == "libp2p.transport.webrtc"
    assert str(client.peer_id) in record.getMessage()
    assert record.exc_info[0] is ValueError


async def test_an_error_of_a_handler_can_end_the_server_if_that_is_wanted():
    def fail(connection, error):
        raise error

    async with transport() as server, transport() as client, anyio.create_task_group() as task_group:
        listener = await server.listen("/webrtc")

        async def dial():
            with pytest.raises((StreamError, ConnectionEnded)):
                await ask(client, listener.addresses[0], b"no number")

        task_group.start_soon(dial)
        with pytest.raises(ValueError, match="no number"):
            await listener.serve(careless, on_error=fail)


def nothing(connection):
    """No handler: it isn't async."""


ENDPOINTS = [
    pytest.param(lambda: transport(settings=config(dial_timeout=3)), "/webrtc", id="webrtc"),
    pytest.param(lambda: direct_pairs.transport(dial_timeout=3), direct_pairs.ANY_PORT, id="webrtc-direct"),
]


@pytest.mark.parametrize("has_group", [False, True])
@pytest.mark.parametrize(("make", "address"), ENDPOINTS)
async def test_that_a_handler_is_not_async_is_told_once_however_many_are_there(make, address, has_group):
    async with make() as server, make() as client:
        listener = await server.listen(address)
        for _ in range(3):
            await client.dial(listener.addresses[0])
        with anyio.fail_after(10):
            while len(listener._accepted) < 3:
                await anyio.sleep(0.001)
            with pytest.raises(HandlerError, match="the handler nothing has to be an async"):
                async with bare_task_group() as group:
                    await listener.serve(nothing, group if has_group else None)


@pytest.mark.parametrize("has_group", [False, True])
@pytest.mark.parametrize(("make", "address"), ENDPOINTS)
async def test_a_handler_of_connections_is_async_or_nobody_else_is_let_in(make, address, has_group):
    async with make() as server, make() as client:
        listener = await server.listen(address)
        reached = listener.addresses[0]
        with pytest.raises(HandlerError, match=r"has to be an async function \(async def\), not None"):
            await listener.serve(None)

        async def dial():
            with contextlib.suppress(ConnectError):
                await client.dial(reached)

        async def serve():
            with pytest.raises(
                HandlerError, match=r"the handler nothing has to be an async .*it returned None"
            ):
                async with bare_task_group() as group:
                    await listener.serve(nothing, group if has_group else None)

        with anyio.fail_after(10):
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(serve)
                task_group.start_soon(dial)
        with pytest.raises(anyio.ClosedResourceError):
            await listener.accept()
        with pytest.raises(ConnectError):
            await client.dial(reached)


async def test_one_task_accepts_at_a_time():
    async with transport() as server:
        listener = await server.listen("/webrtc")
        ways = (listener.accept, lambda: listener.serve(echo))
        for first in ways:
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(first)
                await anyio.wait_all_tasks_blocked()
                for second in ways:
                    with pytest.raises(anyio.BusyResourceError, match="accepting connections from"):
                        await second()
                task_group.cancel_scope.cancel()


# --- connections that end before they are accepted ------------------------------------------------------------------


async def ended_unaccepted(listener, client, *, sends=b""):
    """Dial and leave again, before the other end accepts."""
    async with await client.dial(listener.addresses[0]) as connection:
        if sends:
            async with await connection.open_stream() as stream:
                await stream.send(sends)
    while not listener._accepted or listener._accepted[-1].end_reason is None:
        await anyio.sleep(0.001)


async def test_who_has_left_takes_no_place_and_is_not_accepted():
    server = transport(settings=config(accept_backlog=1))
    async with server, transport() as client:
        listener = await server.listen("/webrtc")
        await ended_unaccepted(listener, client)
        async with await client.dial(listener.addresses[0]) as connection:
            with anyio.fail_after(5):
                accepted = await listener.accept()
            assert accepted.end_reason is None
            await connection.open_stream()


async def test_who_has_left_streams_to_be_read_is_accepted_all_the_same():
    async with transport() as server, transport() as client:
        listener = await server.listen("/webrtc")
        await ended_unaccepted(listener, client, sends=b"acknowledged")
        with anyio.fail_after(5):
            accepted = await listener.accept()
        assert accepted.end_reason is not None
        assert not accepted._is_spent
        assert await read_all(await accepted.accept_stream()) == b"acknowledged"
        assert accepted._is_spent


class Interrupted(Wakeup):
    async def wait(self):
        signal.raise_signal(signal.SIGINT)
        await super().wait()


def test_an_interrupt_leaves_serve_as_it_is(anyio_backend):
    """As ``except KeyboardInterrupt`` around ``anyio.run`` needs it, and one inside of it on trio."""
    backend, options = anyio_backend
    inside = []

    async def main():
        async with transport() as server:
            listener = await server.listen("/webrtc")
            listener._changed = Interrupted()
            try:
                await listener.serve(careless)
            except KeyboardInterrupt as exc:
                inside.append(exc)
                raise

    with pytest.raises(KeyboardInterrupt):
        anyio.run(main, backend=backend, backend_options=options)
    assert len(inside) == (backend == "trio")


# --- shares and limits ----------------------------------------------------------------------------------------------


async def test_one_peer_gets_a_share_of_the_handshakes():
    server = transport(settings=config(max_inbound_handshakes=16, inbound_timeout=30))
    identity = Identity.generate()
    async with server, transport() as client, MemoryBackend(identity) as greedy:
        listener = await server.listen("/webrtc")
        sessions = []
        for _ in range(3):
            sessions.append(await greedy.connect(server.peer_id))
            await anyio.wait_all_tasks_blocked()
        with pytest.raises(SignalingRejected, match="2 handshakes with you are under way") as caught:
            await sessions[2].receive()
        assert caught.value.code == "busy"
        await (await client.dial(listener.addresses[0])).aclose()
        for session in sessions:
            await session.aclose()


async def test_handshakes_under_way_have_their_place_in_the_backlog():
    server = transport(settings=config(accept_backlog=1))
    async with server, transport() as client, MemoryBackend(Identity.generate()) as idler:
        listener = await server.listen("/webrtc")
        async with await idler.connect(server.peer_id):
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(SignalingRejected, match="1 connections wait to be accepted"):
                await client.dial(listener.addresses[0])


async def test_what_is_closed_says_so():
    async with transport() as server:
        listener = await server.listen("/webrtc")
        await listener.aclose()
        with pytest.raises(anyio.ClosedResourceError, match="the listener is closed"):
            await listener.accept()


@pytest.mark.parametrize("way", ENDS)
async def test_who_waits_is_told_that_the_engine_has_ended(anyio_backend_name, way):
    if anyio_backend_name != "trio":
        return  # On asyncio the engine's loop is the application's.

    async with transport() as server:
        listener = await server.listen("/webrtc")
        await ends_with_the_loop(portal_of(server), way, listener.serve, echo)
        with pytest.raises(EngineError):
            await listener.accept()
        with anyio.fail_after(5):
            await listener.aclose()


async def test_nobody_listens_without_the_engine(anyio_backend_name):
    if anyio_backend_name != "trio":
        return
    async with transport() as server:
        await end_the_loop(portal_of(server))
        with pytest.raises(EngineError):
            await server.listen("/webrtc")
