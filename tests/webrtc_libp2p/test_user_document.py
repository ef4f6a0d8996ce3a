"""The code of the document that the transport was asked for by, with other imports and nothing else changed."""

import logging

import pytest
import trio
from aiortc import RTCConfiguration, RTCIceServer
from libp2p import new_host
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr

from tests.webrtc_libp2p.hosts import (
    direct,
    make_host,
    relay_host,
    round_trip,
    running,
    settings,
    two_hosts,
)
from webrtc_libp2p import (
    WebRTCTransport,
    create_transport_for_multiaddr,
    create_webrtc_multiaddr,
    register_transport,
)
from webrtc_libp2p.signaling import (
    CircuitRelaySignalingChannel,
    WebRTCSignalingManager,
    WebSocketSignalingChannel,
)
from webrtc_transport.errors import SignalingUnavailable

pytestmark = pytest.mark.anyio

logger = logging.getLogger(__name__)


async def stream_handler(stream):
    """Handle incoming streams."""
    try:
        while True:
            data = await stream.read()
            if not data:
                break

            # Process data
            response = process_message(data)
            await stream.write(response)

    except Exception as e:
        logger.error(f"Stream error: {e}")  # noqa: G004, TRY400
    finally:
        await stream.close()


def process_message(data):
    return data.upper()


async def main(signaling_url, key_pair, listening):
    host = new_host(key_pair=key_pair)

    # Set up WebRTC signaling
    signaling_channel = WebSocketSignalingChannel(signaling_url, str(host.get_id()))
    signaling_manager = WebRTCSignalingManager(signaling_channel, str(host.get_id()))

    # Create WebRTC transport
    webrtc_transport = WebRTCTransport(signaling_manager=signaling_manager)

    # Register transport
    register_transport("webrtc", type(webrtc_transport))

    # Listen on WebRTC
    webrtc_addr = create_webrtc_multiaddr()

    # Register handler
    host.set_stream_handler("/my-protocol/1.0.0", stream_handler)

    async with host.run([webrtc_addr]):
        await signaling_manager.setup()
        listening(f"{webrtc_addr}/p2p/{host.get_id()}", host)
        await trio.sleep_forever()


async def test_basic_example_and_connection_handling(server, caplog):
    key_pair = create_new_key_pair()
    told = {}
    async with trio.open_nursery() as nursery:

        def listening(address, host):
            told["address"], told["host"] = address, host
            ready.set()

        ready = trio.Event()
        nursery.start_soon(main, server.url, key_pair, listening)
        with trio.fail_after(20):
            await ready.wait()
            host = told["host"]
            assert told["address"] == f"/webrtc/p2p/{host.get_id()}"
            # Peers can reach it as soon as setup() has returned.
            async with running(make_host(server.url)) as dialer:
                await dialer.connect(direct(host))
                peer_id = host.get_id()
                assert await round_trip(dialer, peer_id, b"hello", "/my-protocol/1.0.0") == b"HELLO"
                # Multiple streams over a single WebRTC connection
                stream1 = await dialer.new_stream(peer_id, ["/my-protocol/1.0.0"])
                stream2 = await dialer.new_stream(peer_id, ["/my-protocol/1.0.0"])
                for stream in (stream2, stream1):
                    await stream.write(b"both")
                    assert await stream.read() == b"BOTH"
                    await stream.close()
                assert len(dialer.get_network().get_connections(peer_id)) == 1
        nursery.cancel_scope.cancel()
    assert "Stream error" not in caplog.text


async def test_setup_after_the_host_runs_does_not_race(server):
    """However long registering takes, setup() returns after it, and whoever calls it waits."""
    host = new_host(key_pair=create_new_key_pair())
    channel = WebSocketSignalingChannel(server.url, str(host.get_id()))
    manager = WebRTCSignalingManager(channel, str(host.get_id()))
    transport = WebRTCTransport(signaling_manager=manager)
    register_transport("webrtc", type(transport))
    async with trio.open_nursery() as nursery:
        async with host.run([create_webrtc_multiaddr()]):
            with trio.fail_after(10):
                for _ in range(3):
                    nursery.start_soon(manager.setup)
                await manager.setup()
            assert host.get_addrs() == [create_webrtc_multiaddr(host.get_id())]


async def test_setup_tells_that_the_server_is_not_there():
    host = new_host(key_pair=create_new_key_pair())
    channel = WebSocketSignalingChannel("ws://127.0.0.1:9", str(host.get_id()))
    manager = WebRTCSignalingManager(channel, str(host.get_id()))
    transport = WebRTCTransport(signaling_manager=manager)
    register_transport("webrtc", type(transport))
    async with host.run([create_webrtc_multiaddr()]):
        with trio.fail_after(20), pytest.raises(SignalingUnavailable, match=r"127\.0\.0\.1:9"):
            await manager.setup()


@pytest.mark.parametrize("way", ["address", "peer id"])
async def test_circuit_relay_signaling(way):
    with trio.fail_after(60):
        async with relay_host() as (relay, address):
            host, dialer = make_host(transports=[TCP()]), make_host(transports=[TCP()])
            relay_peer_id = str(address if way == "address" else relay.get_id())
            if way == "peer id":
                # It leads to whom the host knows.
                info = info_from_p2p_addr(address)
                for knowing in (host, dialer):
                    knowing.get_peerstore().add_addrs(info.peer_id, info.addrs, 3600)
            signaling_channel = CircuitRelaySignalingChannel(host, relay_peer_id)
            signaling_manager = WebRTCSignalingManager(signaling_channel, str(host.get_id()))

            transport = WebRTCTransport(signaling_manager=signaling_manager)
            register_transport("webrtc", type(transport))
            async with running(host, "/webrtc"):
                await signaling_manager.setup()
                assert f"{address}/p2p-circuit/webrtc/p2p/{host.get_id()}" in map(str, host.get_addrs())

                # The same way at the other end: no relay in the address.
                channel = CircuitRelaySignalingChannel(dialer, relay_peer_id)
                manager = WebRTCSignalingManager(channel, str(dialer.get_id()))
                other = WebRTCTransport(signaling_manager=manager)
                register_transport("webrtc", type(other))
                async with running(dialer):
                    await dialer.connect(direct(host))
                    assert await round_trip(dialer, host.get_id(), b"hello") == b"hello"


def test_custom_ice_servers():
    # Custom STUN/TURN servers
    ice_servers = [
        RTCIceServer(urls="stun:your-stun-server.com:3478"),
        RTCIceServer(urls="turn:your-turn-server.com:3478", username="user", credential="pass"),
    ]

    config = RTCConfiguration(iceServers=ice_servers)
    transport = WebRTCTransport()
    transport._rtc_config = config

    assert transport._rtc_config is config
    used = trio.run(transport._current_ice_servers)
    assert [server.urls for server in used] == [
        ("stun:your-stun-server.com:3478",),
        ("turn:your-turn-server.com:3478",),
    ]
    assert (used[1].username, used[1].password) == ("user", "pass")
    # The same by an argument.
    assert trio.run(WebRTCTransport(ice_servers=ice_servers)._current_ice_servers) == used


async def test_transport_registry(server):
    upgrader = new_host(key_pair=create_new_key_pair()).get_network().upgrader
    # Automatically selects WebRTC transport for webrtc multiaddrs
    maddr = create_webrtc_multiaddr(make_host().get_id())
    transport = create_transport_for_multiaddr(maddr, upgrader)
    assert isinstance(transport, WebRTCTransport)
    assert create_transport_for_multiaddr(Multiaddr("/ip4/127.0.0.1/udp/9/quic-v1"), upgrader) is None

    # Of a host that has one, it is that one, and it dials.
    async with (
        running(make_host(server.url), "/webrtc") as listener,
        running(make_host(server.url)) as dialer,
    ):
        (address,) = listener.get_addrs()
        transport = create_transport_for_multiaddr(address, dialer.get_network().upgrader)
        connection = await transport.dial(address)
        assert connection.peer_id == listener.get_id()
        await connection.close()


async def test_debug_logging(server, caplog, monkeypatch):
    for name in ("libp2p.transport.webrtc", "aiortc"):
        # What pytest sets back afterwards.
        monkeypatch.setattr(logging.getLogger(name), "level", logging.WARNING)

    logging.getLogger("libp2p.transport.webrtc").setLevel(logging.DEBUG)
    logging.getLogger("aiortc").setLevel(logging.DEBUG)

    async with two_hosts(server.url, config=settings(engine="aiortc")) as (dialer, listener):
        assert await round_trip(dialer, listener.get_id(), b"hello") == b"hello"
    names = {record.name for record in caplog.records if record.levelno == logging.DEBUG}
    for name in ("libp2p.transport.webrtc", "aiortc"):
        assert any(logger.startswith(f"{name}.") for logger in names)
