"""Cancelling at any await leaves nothing behind."""

import types
from contextlib import suppress

import anyio
import pytest

from tests import direct_pairs
from tests.leaks import nothing_left
from tests.pairs import connected, read_all, serving, transport
from webrtc_transport.errors import (
    ConnectError,
)

pytestmark = pytest.mark.anyio


@types.coroutine
def cancelling(coroutine, scope, number):
    """Run ``coroutine``, and cancel ``scope`` when it waits for the ``number``th time."""
    value, error = None, None
    waits = 0
    while True:
        try:
            waited_for = coroutine.send(value) if error is None else coroutine.throw(error)
        except StopIteration as exc:
            return exc.value
        waits += 1
        if waits == number:
            scope.cancel()
        try:
            value, error = (yield waited_for), None
        except BaseException as exc:
            error = exc


async def cancel_everywhere(operation):
    """Cancel ``operation()`` at each of its awaits in turn, until it gets through without."""
    number = 0
    while True:
        number += 1
        with anyio.CancelScope() as scope:
            await cancelling(operation(), scope, number)
        if not scope.cancel_called:
            return number - 1


async def test_a_dial_can_be_cancelled_at_every_await():
    async with transport() as server, transport() as client, anyio.create_task_group() as task_group:
        listener = await server.listen("/webrtc")
        task_group.start_soon(listener.serve, lambda connection: connection.wait_closed())

        async def dial():
            async with await client.dial(listener.addresses[0]):
                pass

        await dial()
        async with nothing_left():
            assert await cancel_everywhere(dial) > 5
        task_group.cancel_scope.cancel()


async def test_a_direct_dial_can_be_cancelled_at_every_await():
    # A listener keeps whoever vanishes before DTLS for some seconds, so the census is taken when it is closed too.
    async with nothing_left(), direct_pairs.transport() as server, anyio.create_task_group() as task_group:
        listener = await server.listen(direct_pairs.ANY_PORT)
        task_group.start_soon(listener.serve, lambda connection: connection.wait_closed())
        async with direct_pairs.transport() as client:

            async def dial():
                async with await client.dial(listener.addresses[0]):
                    pass

            assert await cancel_everywhere(dial) > 3
            assert client.statistics().connections == 0
        task_group.cancel_scope.cancel()


async def test_an_inbound_direct_connection_can_be_cancelled_at_every_await():
    async with direct_pairs.transport() as client:

        async def accept():
            async with direct_pairs.transport() as server, anyio.create_task_group() as task_group:
                listener = await server.listen(direct_pairs.ANY_PORT)
                task_group.start_soon(dial, listener.addresses[0])
                async with await listener.accept():
                    task_group.cancel_scope.cancel()

        async def dial(address):
            with suppress(ConnectError):
                async with await client.dial(address) as connection:
                    await connection.wait_closed()

        await accept()
        async with nothing_left():
            assert await cancel_everywhere(accept) > 2


async def test_listening_can_be_cancelled_at_every_await():
    async def listen():
        async with transport() as server:
            listener = await server.listen("/webrtc")
            await listener.aclose()

    await listen()
    async with nothing_left():
        assert await cancel_everywhere(listen) > 2


async def test_an_inbound_connection_can_be_cancelled_at_every_await():
    async with transport() as client:

        async def accept():
            async with transport() as server, anyio.create_task_group() as task_group:
                listener = await server.listen("/webrtc")
                task_group.start_soon(dial, listener.addresses[0])
                async with await listener.accept():
                    pass

        async def dial(address):
            # Who leaves at once may be gone before it is accepted; then nobody is.
            with suppress(ConnectError):
                async with await client.dial(address) as connection:
                    await connection.wait_closed()

        await accept()
        async with nothing_left():
            assert await cancel_everywhere(accept) > 5


async def test_streams_can_be_cancelled_at_every_await():
    async with connected() as pair, serving(pair.listener):

        async def use():
            async with await pair.dialer.open_stream() as stream:
                await stream.send(bytes(800_000))
                await stream.send_eof()
                assert len(await read_all(stream)) == 800_000

        await use()
        async with nothing_left():
            assert await cancel_everywhere(use) > 20
        # The connection has come through all of that.
        await use()
