"""A server that is named once: its token, its TLS, and the TURN servers that it lends."""

import ssl

import anyio
import pytest

from tests.pairs import config
from tests.webrtc_signaling.backends import TIMEOUT
from tests.webrtc_signaling.certificates import certificate_in
from tests.webrtc_signaling.servers import signaling_server
from webrtc_signaling import RendezvousServer
from webrtc_signaling.client import ClientOptions
from webrtc_transport import Identity, WebRTCTransport
from webrtc_transport.errors import ConfigurationError, SignalingUnavailable

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return certificate_in(tmp_path_factory.mktemp("tls"))


async def connect_over(server):
    """Two transports meet there, and talk."""
    with anyio.fail_after(TIMEOUT):
        async with (
            WebRTCTransport(Identity.generate(), signaling=[server()], config=config()) as alice,
            WebRTCTransport(Identity.generate(), signaling=[server()], config=config()) as bob,
        ):
            listener = await bob.listen("/webrtc")
            async with await alice.dial(listener.addresses[0]) as ours, await listener.accept() as theirs:
                assert (ours.remote_peer, theirs.remote_peer) == (bob.peer_id, alice.peer_id)


@pytest.mark.parametrize("scheme", ["wss", "https"])
async def test_a_private_authority_is_trusted_if_it_is_named(made, scheme):
    async with signaling_server(**made.settings) as server:
        url = server.url.replace("wss", scheme)
        await connect_over(lambda: RendezvousServer(url, ssl=made.client()))


@pytest.mark.parametrize("scheme", ["wss", "https"])
async def test_and_not_otherwise(made, scheme):
    async with signaling_server(**made.settings) as server:
        with pytest.raises(SignalingUnavailable, match=r"RendezvousServer\(url, ssl="):
            await connect_over(lambda: RendezvousServer(server.url.replace("wss", scheme)))


async def test_plain_text_to_a_server_with_tls_says_so(made):
    async with signaling_server(**made.settings) as server:
        with pytest.raises(SignalingUnavailable, match="wss://"):
            await connect_over(lambda: RendezvousServer(server.url.replace("wss", "ws")))


def test_it_shows_no_secrets():
    server = RendezvousServer("wss://user:secret@a.example/?key=secret", token="secret")
    assert repr(server) == "RendezvousServer('wss://…@a.example/?…')"


@pytest.mark.parametrize("url", ["stun:a", "", "a.example", "ftp://a"])
def test_other_urls_are_refused(url):
    with pytest.raises(ConfigurationError, match="it begins with one of ws://, wss://, http://, https://"):
        RendezvousServer(url)


def test_what_is_no_url_and_no_context_is_refused():
    with pytest.raises(TypeError, match=r"url has to be str, not NoneType; write one like 'wss://"):
        RendezvousServer(None)
    # aiohttp takes False for "trust everybody".
    with pytest.raises(TypeError, match="ssl has to be SSLContext, not bool"):
        RendezvousServer("wss://a.example", ssl=False)


def test_options_go_along():
    context = ssl.create_default_context()
    server = RendezvousServer("wss://a.example", ssl=context, options=ClientOptions(heartbeat=3))
    assert (server._options.heartbeat, server._options.ssl) == (3, context)


async def test_ice_servers_need_a_transport():
    with pytest.raises(
        SignalingUnavailable, match=r"no transport uses RendezvousServer\('ws://a'\); pass it"
    ):
        await RendezvousServer("ws://a").ice_servers()
