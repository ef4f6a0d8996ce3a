"""Links that signaling sets up, when something fails below them."""

import anyio
import pytest

from tests.pairs import config
from webrtc_transport import Identity
from webrtc_transport.abc import PeerSettings
from webrtc_transport.errors import ConnectError, ConnectionClosed
from webrtc_transport.portal import SameLoopPortal
from webrtc_transport.signaled_link import SignaledLink

pytestmark = pytest.mark.anyio

PEER = Identity.generate().peer_id


async def test_a_link_that_is_closed_while_the_engine_builds_its_peer_closes_that():
    class Peer:
        def __init__(self):
            self.reason = None

        def close(self, reason):
            self.reason = reason

    class Slow(SameLoopPortal):
        def post(self, func, *args):
            func(*args)

        async def call(self, func, *args):
            await link.close(ConnectionClosed("the transport was closed"))
            return func(*args)

    peer, ends = Peer(), []
    settings = PeerSettings(offerer=True, certificate=None, ice_servers=(), config=config())
    link = SignaledLink(Slow(), settings.config, PEER, on_end=ends.append)
    with pytest.raises(ConnectError, match="the transport was closed"):
        await link.open("slow", lambda _settings, _events: peer, settings)
    assert isinstance(peer.reason, ConnectionClosed)
    assert ends == [link]


async def test_a_link_closes_when_the_engines_thread_has_died():
    class Dead(SameLoopPortal):
        def post(self, func, *args):
            pass

        async def call(self, func, *args):
            if func is not print:
                raise anyio.ClosedResourceError("its engine's thread has died")
            return Peer()

    class Peer:
        gather = close = None

    ends = []
    settings = PeerSettings(offerer=True, certificate=None, ice_servers=(), config=config())
    link = SignaledLink(Dead(), settings.config, PEER, on_end=ends.append)
    await link.open("dead", print, settings)
    with anyio.fail_after(5):
        await link.close(ConnectionClosed("the transport was closed"))
    assert ends == [link]
