import anyio
import pytest

from tests.pairs import config
from tests.webrtc_signaling.backends import TIMEOUT
from tests.webrtc_signaling.certificates import certificate_in
from tests.webrtc_signaling.servers import signaling_server
from webrtc_signaling.long_poll import LongPollBackend
from webrtc_signaling.manager import (
    SignalingChannel,
    WebRTCSignalingManager,
    WebSocketSignalingChannel,
)
from webrtc_signaling.memory import MemoryBackend
from webrtc_signaling.websocket import WebSocketBackend
from webrtc_transport import Identity, TransportConfig, WebRTCTransport
from webrtc_transport.abc import SignalingContext
from webrtc_transport.errors import (
    ConfigurationError,
    IdentityError,
    SignalingRejected,
    SignalingUnavailable,
)
from webrtc_transport.portal import open_portal

pytestmark = pytest.mark.anyio

OWN = Identity.generate()


class MemoryChannel(SignalingChannel):
    def create_backend(self, context):
        return MemoryBackend(context.identity)


def manager():
    return WebRTCSignalingManager(MemoryChannel(), OWN.peer_id)


async def waits(manager):
    """Whether setup() waits."""
    with anyio.move_on_after(0.01) as scope:
        await manager.setup()
    return scope.cancelled_caught


class TestChannel:
    @pytest.mark.parametrize(
        ("scheme", "backend"),
        [
            ("ws", WebSocketBackend),
            ("wss", WebSocketBackend),
            ("http", LongPollBackend),
            ("https", LongPollBackend),
        ],
    )
    async def test_it_makes_a_backend_of_its_own_peer(self, scheme, backend):
        channel = WebSocketSignalingChannel(f"{scheme}://localhost:8765", str(OWN.peer_id))
        async with open_portal() as portal:
            context = SignalingContext(OWN, TransportConfig(), portal)
            assert isinstance(channel.create_backend(context), backend)

    async def test_of_another_peer_it_makes_none(self):
        channel = WebSocketSignalingChannel("ws://localhost:8765", OWN.peer_id)
        async with open_portal() as portal:
            context = SignalingContext(Identity.generate(), TransportConfig(), portal)
            with pytest.raises(ConfigurationError, match="was made for"):
                channel.create_backend(context)

    def test_a_malformed_peer_id(self):
        with pytest.raises(IdentityError):
            WebSocketSignalingChannel("ws://localhost:8765", "nobody")

    def test_a_token_that_is_none(self):
        with pytest.raises(ConfigurationError, match="token"):
            WebSocketSignalingChannel("ws://localhost:8765", OWN.peer_id, token=b"eyJ")

    @pytest.mark.parametrize("scheme", ["wss", "https"])
    async def test_its_token_and_its_tls_let_two_peers_meet(self, scheme, tmp_path, key_file, token):
        made = certificate_in(tmp_path)

        async def fetch():
            return token()

        def transport(identity, token):
            channel = WebSocketSignalingChannel(url, identity.peer_id, token=token, ssl=made.client())
            return WebRTCTransport(identity, signaling=[channel.create_backend], config=config())

        async with signaling_server(token_key_file=key_file, **made.settings) as server:
            url = server.url.replace("wss", scheme)
            async with (
                transport(OWN, token()) as alice,
                transport(Identity.generate(), fetch) as bob,
                transport(Identity.generate(), None) as mallory,
            ):
                with anyio.fail_after(TIMEOUT):
                    listener = await bob.listen("/webrtc")
                    async with await alice.dial(listener.addresses[0]) as connection:
                        assert connection.remote_peer == bob.peer_id
                    with pytest.raises(SignalingRejected, match="token-required"):
                        await mallory.dial(listener.addresses[0])


class TestManager:
    async def test_its_backends_are_of_its_peer(self):
        other = WebSocketSignalingChannel("ws://localhost:8765", OWN.peer_id)
        managed = WebRTCSignalingManager(MemoryChannel(), OWN.peer_id, other)
        assert len(managed.backends()) == 2
        async with open_portal() as portal:
            first, _ = (make(SignalingContext(OWN, TransportConfig(), portal)) for make in managed.backends())
            assert isinstance(first, MemoryBackend)
            (only,) = managed.backends(but=WebSocketSignalingChannel)
            with pytest.raises(ConfigurationError, match="was made for"):
                only(SignalingContext(Identity.generate(), TransportConfig(), portal))

    async def test_setup_without_a_host_says_what_to_do(self):
        with pytest.raises(ConfigurationError, match="register_transport"):
            await manager().setup()

    async def test_setup_waits_for_the_host(self):
        managed = manager()
        managed.attached()
        assert await waits(managed)
        managed.connected()
        assert not await waits(managed)

    async def test_setup_waits_for_a_listener_that_is_under_way(self):
        managed = manager()
        managed.attached()
        managed.connecting()
        managed.connected()
        assert await waits(managed)
        managed.connected(listening=True)
        assert not await waits(managed)

    async def test_setup_wakes(self):
        managed = manager()
        managed.attached()
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(managed.setup)
            await anyio.wait_all_tasks_blocked()
            managed.connected()

    async def test_setup_tells_the_failure_each_time(self):
        managed = manager()
        managed.attached()
        managed.connecting()
        managed.failed(SignalingUnavailable("nobody there"))
        for _ in range(2):
            with pytest.raises(SignalingUnavailable, match="nobody there"):
                await managed.setup()
        managed.connecting()
        managed.connected()
        managed.connected(listening=True)
        await managed.setup()

    async def test_setup_after_the_host_has_ended(self):
        managed = manager()
        managed.attached()
        managed.connected()
        managed.detached()
        with pytest.raises(ConfigurationError):
            await managed.setup()
