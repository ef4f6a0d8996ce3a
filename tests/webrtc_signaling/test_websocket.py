import socket

import anyio
import pytest

from tests.engine_loop import end_the_loop
from tests.leaks import nothing_left
from tests.webrtc_signaling.backends import TIMEOUT, backend, exchanging, two_backends
from tests.webrtc_signaling.conformance import SignalingConformance, serving, session_pair
from tests.webrtc_signaling.samples import (
    ALICE,
    BOB,
    OFFER,
    PROOF,
)
from tests.webrtc_signaling.servers import signaling_server
from webrtc_signaling.codec import Codec
from webrtc_signaling.websocket import WebSocketBackend
from webrtc_transport.abc import SignalingContext
from webrtc_transport.config import TransportConfig
from webrtc_transport.errors import (
    ConfigurationError,
    PeerUnreachable,
    SignalingRejected,
    SignalingUnavailable,
)
from webrtc_transport.portal import open_portal

pytestmark = pytest.mark.anyio


@pytest.fixture
def free_port():
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class TestConformance(SignalingConformance):
    def service(self):
        return signaling_server()

    def backend(self, service, identity):
        return backend(service.url, identity, codec=Codec.MSGPACK if identity is self.bob else Codec.JSON)


async def test_json_and_msgpack_meet():
    with anyio.fail_after(TIMEOUT):
        async with (
            signaling_server() as server,
            backend(server.url, ALICE, codec=Codec.JSON) as alice,
            backend(server.url, BOB, codec=Codec.MSGPACK) as bob,
            session_pair(alice, bob, BOB.peer_id) as (ours, theirs),
        ):
            for sender, receiver in ((ours, theirs), (theirs, ours)):
                await sender.send(OFFER)
                received = await receiver.receive()
                assert received == OFFER
                assert received.proof.signature == PROOF.signature
            async with exchanging(ours, theirs, pause=0):
                pass


async def test_a_second_backend_of_a_peer_replaces_the_first():
    with anyio.fail_after(TIMEOUT):
        async with signaling_server() as server, two_backends(server.url) as (alice, bob):
            async with anyio.create_task_group() as task_group:

                async def first(*, task_status):
                    with pytest.raises(SignalingRejected, match="another client") as caught:
                        await bob.serve(None, task_status=task_status)
                    assert caught.value.code == "replaced"

                await task_group.start(first)
                async with backend(server.url, BOB) as second, session_pair(alice, second, BOB.peer_id):
                    pass
            with pytest.raises(SignalingRejected):
                await bob.connect(ALICE.peer_id)


async def test_too_many_sessions_are_refused_by_name(monkeypatch):
    monkeypatch.setattr("webrtc_signaling.session_book.MAX_OPEN_SESSIONS", 1)
    with anyio.fail_after(TIMEOUT):
        async with signaling_server() as server, two_backends(server.url) as (alice, bob):
            async with await alice.connect(BOB.peer_id):
                with pytest.raises(SignalingRejected, match="1 sessions are open"):
                    await alice.connect(BOB.peer_id)
            assert not alice._caller.sessions
            # Of those that peers open, the second is told that we are busy.
            async with session_pair(alice, bob, BOB.peer_id), backend(server.url) as dave:
                async with await dave.connect(BOB.peer_id) as session:
                    await session.send(OFFER)
                    with pytest.raises(SignalingRejected) as caught:
                        await session.receive()
                    assert caught.value.code == "busy"


async def test_an_offer_that_crosses_the_end_of_serving_is_refused():
    with anyio.fail_after(TIMEOUT):
        async with signaling_server() as server, two_backends(server.url) as (alice, bob):
            async with serving(bob, None):
                pass
            # As if it had been on its way from the engine's loop to ours.
            bob._caller.listen(True)
            async with await alice.connect(BOB.peer_id) as session:
                await session.send(OFFER)
                with pytest.raises(PeerUnreachable, match="not-listening"):
                    await session.receive()
            assert not bob._caller.sessions


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "ws://",
        "ws://:80",
        "ws://host:port",
        "ws://host:99999",
        "ws://host#x",
        "wss",
        "ws://[::1",
    ],
)
def test_another_address_is_refused(url):
    with pytest.raises(ConfigurationError, match="ws://host:port"):
        WebSocketBackend(url, SignalingContext(ALICE, TransportConfig(), None))


async def test_nothing_happens_before_it_is_used(free_port):
    async with nothing_left(), backend(f"ws://127.0.0.1:{free_port}"):
        pass


async def test_the_url_is_enough():
    with anyio.fail_after(TIMEOUT):
        async with signaling_server() as server, open_portal() as portal:
            context = SignalingContext(ALICE, TransportConfig(), portal)
            async with WebSocketBackend.from_url(server.url, context) as entered, serving(entered, None):
                assert await server.call(len, server.hub) == 1


async def test_after_its_end_it_says_so():
    async with signaling_server() as server:
        async with backend(server.url) as entered, serving(entered, None):
            pass
        with pytest.raises((SignalingUnavailable, anyio.ClosedResourceError)):
            await entered.connect(BOB.peer_id)


async def test_it_is_left_in_peace_after_the_end_of_its_loop(anyio_backend_name):
    if anyio_backend_name != "trio":
        return  # On asyncio that is the application's own.
    with anyio.fail_after(TIMEOUT):
        async with signaling_server() as server, open_portal() as portal:
            context = SignalingContext(ALICE, TransportConfig(), portal)
            async with WebSocketBackend.from_url(server.url, context) as entered:
                await entered.connect(BOB.peer_id)
                await end_the_loop(portal)
                with pytest.raises(anyio.ClosedResourceError, match="thread has died"):
                    await entered.connect(BOB.peer_id)
