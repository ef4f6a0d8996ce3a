import hashlib
import os

import pytest
import trio
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.transport.exceptions import OpenConnectionError
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr

from tests.webrtc_libp2p.hosts import direct, make_host, ping, round_trip, running, settings, two_hosts
from webrtc_libp2p import WebRTCSignalingManager, WebRTCTransport, WebSocketSignalingChannel
from webrtc_transport import IceServer
from webrtc_transport.errors import ConfigurationError

pytestmark = pytest.mark.anyio


async def test_hosts_meet_identify_ping_and_echo(server):
    with trio.fail_after(30):
        async with two_hosts(server.url) as (dialer, listener):
            assert await ping(dialer, listener.get_id()) >= 0
            data = os.urandom(2**20)
            assert (
                hashlib.sha256(await round_trip(dialer, listener.get_id(), data)).digest()
                == hashlib.sha256(data).digest()
            )
            assert await round_trip(listener, dialer.get_id(), b"the other way") == b"the other way"


async def test_a_dial_that_is_cancelled_leaves_nothing(server):
    async with running(make_host(server.url)) as dialer:
        (transport,) = dialer.get_network().transport_manager.get_transports()
        async with running(make_host(server.url), "/webrtc") as listener:
            for seconds in (0.0, 0.005, 0.02):
                with trio.move_on_after(seconds):
                    await (await transport.dial(direct(listener).addrs[0])).close()
            assert transport._running._transport.statistics().connections == 0


async def test_a_peer_that_is_not_there(server):
    async with running(make_host(server.url)) as dialer:
        (transport,) = dialer.get_network().transport_manager.get_transports()
        with trio.fail_after(20), pytest.raises(OpenConnectionError, match="PeerUnreachable"):
            await transport.dial(direct(make_host()).addrs[0])


async def test_without_a_host_it_says_what_to_do():
    transport = WebRTCTransport()
    with pytest.raises(OpenConnectionError, match=r"new_host\(transports=\[…\]\)"):
        await transport.dial(direct(make_host()).addrs[0])
    await transport.close()


async def test_it_belongs_to_one_host(server):
    transport = WebRTCTransport(signaling=[server.url], config=settings())
    async with running(make_host(transports=[transport])):
        with pytest.raises(ConfigurationError, match="belongs to one host"):
            transport.set_swarm(make_host().get_network())


async def test_settings_that_do_not_work_leave_the_host_alone(caplog):
    transport = WebRTCTransport(signaling=["unheard-of://x"])
    host = make_host(transports=[TCP(), transport])
    with trio.fail_after(10):
        async with running(host, "/ip4/127.0.0.1/tcp/0"):
            with pytest.raises(OpenConnectionError, match="no plugin 'unheard-of'"):
                await transport.dial(direct(make_host()).addrs[0])
            assert host.get_addrs()
    assert "the WebRTC transport doesn't run" in caplog.text


async def test_a_signaling_manager_of_another_peer(server):
    other = str(make_host().get_id())
    manager = WebRTCSignalingManager(WebSocketSignalingChannel(server.url, other), other)
    async with running(make_host(transports=[WebRTCTransport(signaling_manager=manager)]), "/webrtc"):
        with trio.fail_after(10), pytest.raises(ConfigurationError, match="was made for"):
            await manager.setup()


def test_what_it_dials():
    transport = WebRTCTransport()
    assert transport.provides_native_muxing
    assert transport.protocols() == ["webrtc", "webrtc-direct"]
    peer = make_host().get_id()
    relay = f"/ip4/192.0.2.1/tcp/4001/p2p/{peer}"
    for address in ("/webrtc", f"/webrtc/p2p/{peer}", f"{relay}/p2p-circuit/webrtc/p2p/{peer}"):
        assert transport.can_dial(Multiaddr(address))
    for address in (f"{relay}/p2p-circuit/p2p/{peer}", relay, f"{relay}/p2p-circuit/webrtc"):
        assert not transport.can_dial(Multiaddr(address))
    for address in ("/webrtc", f"{relay}/p2p-circuit/webrtc"):
        assert transport.can_listen(Multiaddr(address))
    assert not transport.can_listen(Multiaddr(relay))


def test_it_comes_before_the_relay_transport():
    relay = make_host(transports=[TCP(), WebRTCTransport()])
    manager = relay.get_network().transport_manager

    class Greedy(TCP):
        def protocols(self):
            return ["p2p-circuit"]

        def can_dial(self, maddr):
            return True

    manager.add_transport(Greedy())
    peer = relay.get_id()
    address = Multiaddr(f"/ip4/192.0.2.1/tcp/4001/p2p/{peer}/p2p-circuit/webrtc/p2p/{peer}")
    assert isinstance(manager.transport_for_dialing(address), WebRTCTransport)


@pytest.mark.parametrize("engine", ["aiortc", "native"])
async def test_engines(server, engine):
    with trio.fail_after(30):
        async with two_hosts(server.url, config=settings(engine=engine)) as (dialer, listener):
            data = os.urandom(2**20)
            assert await round_trip(dialer, listener.get_id(), data) == data


async def test_an_application_s_function_for_ice_servers():
    asked = []

    async def servers():
        asked.append(True)
        return [IceServer(urls="stun:192.0.2.1")]

    transport = WebRTCTransport(config=settings(ice_servers=servers))
    assert [server.urls for server in await transport._current_ice_servers()] == [("stun:192.0.2.1",)]
    assert asked
    transport._rtc_config = None
    assert transport._rtc_config is None


async def test_an_address_whose_peer_id_is_taken_off(server):
    """As ``info_from_p2p_addr`` does it."""
    with trio.fail_after(20):
        async with (
            running(make_host(server.url), "/webrtc") as listener,
            running(make_host(server.url)) as dialer,
        ):
            await dialer.connect(info_from_p2p_addr(listener.get_addrs()[0]))
            assert await round_trip(dialer, listener.get_id(), b"x") == b"x"
