"""Listening: handlers, limits, and offers that are refused."""

from datetime import UTC, datetime

import anyio
import pytest

from tests.pairs import config, echo, read_all, transport
from webrtc_signaling.memory import MemoryBackend
from webrtc_transport import Certificate, Identity
from webrtc_transport.errors import (
    SignalingRejected,
)
from webrtc_transport.protocol.signals import Offer

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


async def test_a_description_that_is_malformed_is_refused():
    identity = Identity.generate()
    server = transport(identity=identity)

    async def offer(session):
        from webrtc_transport.protocol.signals import DescriptionData

        await session.send(Offer(data=DescriptionData(type="offer", sdp="v=0\r\nnonsense\r\n")))

    async with server, MemoryBackend(Identity.generate(), authenticated=True) as stranger:
        await server.listen("/webrtc")
        async with await stranger.connect(identity.peer_id) as session:
            await offer(session)
            with pytest.raises(SignalingRejected) as caught:
                await session.receive()
            # The listener's own backend doesn't prove the stranger, whatever the stranger's claims.
            assert caught.value.code == "invalid-proof"


async def test_a_replayed_offer_is_refused():
    offers = []

    def intercept(signal):
        if isinstance(signal, Offer):
            offers.append(signal)
        return [signal]

    server, client = transport(), transport(intercept=intercept)
    async with server, client:
        listener = await server.listen("/webrtc")
        async with await client.dial(listener.addresses[0]):
            pass
        async with MemoryBackend(client.identity) as replayer:
            async with await replayer.connect(server.peer_id) as session:
                await session.send(offers[0])
                with pytest.raises(SignalingRejected) as caught:
                    await session.receive()
                assert caught.value.code == "invalid-proof"


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


async def no_servers():
    raise OSError("no credentials today")


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(
            {"certificate": Certificate.generate(now=datetime(2020, 1, 1, tzinfo=UTC))}, id="certificate"
        ),
        pytest.param({"ice_servers": no_servers}, id="ice_servers"),
    ],
)
async def test_what_is_wrong_on_this_end_refuses_the_peer_and_harms_nothing_else(broken):
    async with transport(settings=config(**broken)) as server, transport() as client:
        listener = await server.listen("/webrtc")
        for _ in range(2):
            with pytest.raises(SignalingRejected) as caught:
                await client.dial(listener.addresses[0])
            assert caught.value.code == "connect-failed"


async def test_a_session_without_an_offer_ends_at_the_deadline():
    server = transport(settings=config(inbound_timeout=0.2))
    async with server, MemoryBackend(Identity.generate()) as idler:
        await server.listen("/webrtc")
        async with await idler.connect(server.peer_id) as session:
            with anyio.fail_after(5), pytest.raises(SignalingRejected, match="sent no offer"):
                await session.receive()


async def test_a_listener_that_is_replaced_says_so():
    identity = Identity.generate()
    async with transport(identity=identity) as first, transport(identity=identity) as second:
        listener = await first.listen("/webrtc")
        await second.listen("/webrtc")
        with pytest.raises(SignalingRejected) as caught:
            await listener.accept()
        assert caught.value.code == "replaced"


async def test_one_can_listen_again_at_once():
    async with transport() as server, MemoryBackend(Identity.generate()) as idler:
        for _ in range(2):
            listener = await server.listen("/webrtc")
            async with await idler.connect(server.peer_id):
                await anyio.wait_all_tasks_blocked()
                await listener.aclose()
                listener = await server.listen("/webrtc")
                with pytest.raises(anyio.BusyResourceError):
                    await server.listen("/webrtc")
                await listener.aclose()


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
