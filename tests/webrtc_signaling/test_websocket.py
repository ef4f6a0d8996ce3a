import contextlib
import socket

import anyio
import pytest

from tests.engine_loop import end_the_loop
from tests.leaks import nothing_left
from tests.webrtc_signaling.backends import TIMEOUT, backend, exchanging
from tests.webrtc_signaling.samples import (
    ALICE,
    BOB,
    OFFER,
    PROOF,
)
from tests.webrtc_signaling.servers import signaling_server
from webrtc_signaling.codec import Codec
from webrtc_signaling.testing import SignalingConformance
from webrtc_signaling.testing.meeting import echo, serving, session_pair
from webrtc_signaling.websocket import WebSocketBackend
from webrtc_transport.abc import SignalingContext
from webrtc_transport.config import TransportConfig
from webrtc_transport.errors import (
    ConfigurationError,
)
from webrtc_transport.portal import open_portal

pytestmark = pytest.mark.anyio


@pytest.fixture
def free_port():
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class TestConformance(SignalingConformance):
    @contextlib.asynccontextmanager
    async def service(self):
        async with signaling_server() as server:
            yield server.url

    def backend(self, url, identity):
        return backend(url, identity, codec=Codec.MSGPACK if identity is self.bob else Codec.JSON)


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


@pytest.mark.parametrize("url", ["ws://anna:SECRET@:80", "ws://host:port?token=SECRET", "ws://[SECRET@::1"])
def test_secrets_in_a_wrong_one_are_not_shown(url):
    with pytest.raises(ConfigurationError, match=r"….* is no address of a signaling server") as caught:
        WebSocketBackend(url, SignalingContext(ALICE, TransportConfig(), None))
    assert "SECRET" not in str(caught.value)


async def test_nothing_happens_before_it_is_used(free_port):
    async with nothing_left(), backend(f"ws://127.0.0.1:{free_port}"):
        pass


async def test_the_url_is_enough():
    with anyio.fail_after(TIMEOUT):
        async with signaling_server() as server, open_portal() as portal:
            context = SignalingContext(ALICE, TransportConfig(), portal)
            async with WebSocketBackend.from_url(server.url, context) as entered, serving(entered, echo):
                assert await server.call(len, server.hub) == 1


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
