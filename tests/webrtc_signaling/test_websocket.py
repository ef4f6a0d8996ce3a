import contextlib

import anyio
import pytest

from tests.webrtc_signaling.conformance import SignalingConformance
from tests.webrtc_signaling.servers import signaling_server
from webrtc_signaling.client import ClientOptions
from webrtc_signaling.codec import Codec
from webrtc_signaling.websocket import WebSocketBackend
from webrtc_transport.abc import SignalingContext
from webrtc_transport.config import TransportConfig
from webrtc_transport.identity import Identity
from webrtc_transport.portal import open_portal

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def backend(url, identity=None, **options):
    """A backend with a portal of its own, entered."""
    async with open_portal() as portal:
        context = SignalingContext(identity or Identity.generate(), TransportConfig(), portal)
        options = {"retry_initial": 0.01, **options}
        async with WebSocketBackend(url, context, options=ClientOptions(**options)) as entered:
            yield entered


class TestConformance(SignalingConformance):
    @contextlib.asynccontextmanager
    async def meet(self, alice, bob):
        async with (
            signaling_server() as server,
            backend(server.url, alice) as one,
            backend(server.url, bob, codec=Codec.MSGPACK) as two,
        ):
            yield one, two
