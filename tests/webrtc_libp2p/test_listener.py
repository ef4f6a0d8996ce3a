import pytest
import trio
from libp2p.network.exceptions import SwarmException
from libp2p.transport.exceptions import OpenConnectionError
from multiaddr import Multiaddr

from tests.webrtc_libp2p.hosts import (
    direct,
    make_host,
    relay_host,
    relayed_host,
    round_trip,
    running,
    settings,
    until,
)
from webrtc_libp2p import WebRTCTransport

pytestmark = pytest.mark.anyio

WEBRTC = Multiaddr("/webrtc")


async def handle(connection):
    await trio.sleep_forever()


async def test_its_addresses_are_those_that_work(server):
    host = make_host(server.url)
    async with running(host):
        (transport,) = host.get_network().transport_manager.get_transports()
        listener = transport.create_listener(handle)
        assert listener.get_addrs() == ()
        await listener.listen(WEBRTC)
        assert listener.get_addrs() == (WEBRTC,)
        await listener.close()
        await listener.close()
        assert listener.get_addrs() == ()


async def test_two_listeners_share_what_comes_in(server):
    with trio.fail_after(20):
        host = make_host(server.url)
        async with running(host, "/webrtc"), running(make_host(server.url)) as dialer:
            (transport,) = host.get_network().transport_manager.get_transports()
            second = transport.create_listener(handle)
            await second.listen(WEBRTC)
            await second.close()
            # The host's own goes on.
            await dialer.connect(direct(host))
            assert await round_trip(dialer, host.get_id(), b"x") == b"x"


async def test_a_closed_listener_accepts_nobody_and_leaves_connections_alone(server):
    with trio.fail_after(20):
        host = make_host(server.url)
        first, second = make_host(server.url), make_host(server.url)
        second.get_network().retry_config.max_retries = 0
        async with running(host, "/webrtc"), running(first), running(second):
            await first.connect(direct(host))
            await host.get_network().listeners["/webrtc"].close()
            with pytest.raises(SwarmException) as caught:
                await second.get_network().dial_addr(direct(host).addrs[0], host.get_id())
            assert "PeerUnreachable" in str(caught.value.__cause__)
            assert await round_trip(first, host.get_id(), b"x") == b"x"


async def test_a_server_that_is_not_there_is_named():
    host = make_host("ws://127.0.0.1:9")
    async with running(host):
        (transport,) = host.get_network().transport_manager.get_transports()
        with (
            trio.fail_after(20),
            pytest.raises(OpenConnectionError, match="SignalingUnavailable: no connection to ws"),
        ):
            await transport.create_listener(handle).listen(WEBRTC)
        assert not host.get_addrs()


@pytest.mark.parametrize("address", ["/ip4/127.0.0.1/tcp/1", "/webrtc-direct", "/webrtc/p2p-circuit"])
async def test_other_addresses_are_refused(address, server):
    async with running(make_host(server.url)) as host:
        (transport,) = host.get_network().transport_manager.get_transports()
        assert not transport.can_listen(Multiaddr(address))
        with pytest.raises(OpenConnectionError, match="AddressError"):
            await transport.create_listener(handle).listen(Multiaddr(address))


async def test_listening_through_a_relay_by_its_address():
    with trio.fail_after(30):
        async with (
            relay_host() as (_, address),
            running(relayed_host(), f"{address}/p2p-circuit/webrtc") as listener,
        ):
            (announced,) = listener.get_addrs()
            assert str(announced) == f"{address}/p2p-circuit/webrtc/p2p/{listener.get_id()}"
            async with running(relayed_host()) as dialer:
                await dialer.get_network().dial_addr(announced, listener.get_id())
                assert await round_trip(dialer, listener.get_id(), b"x") == b"x"


async def test_a_relay_beside_a_server(server):
    with trio.fail_after(30):
        transport = WebRTCTransport(signaling=[server.url], config=settings())
        from libp2p.transport.tcp.tcp import TCP

        host = make_host(transports=[TCP(), transport])
        async with relay_host() as (_, address), running(host, "/webrtc", f"{address}/p2p-circuit/webrtc"):
            both = {f"/webrtc/p2p/{host.get_id()}", f"{address}/p2p-circuit/webrtc/p2p/{host.get_id()}"}
            assert set(map(str, host.get_addrs())) == both


async def test_a_relay_that_is_not_there():
    host = relayed_host()
    relay = make_host().get_id()
    async with running(host):
        transport = host.get_network().transport_manager.transport_for_dialing(direct(host).addrs[0])
        listener = transport.create_listener(handle)
        with (
            trio.fail_after(20),
            pytest.raises(OpenConnectionError, match=f"the relay {relay} gives no reservation"),
        ):
            await listener.listen(Multiaddr(f"/ip4/127.0.0.1/tcp/9/p2p/{relay}/p2p-circuit/webrtc"))


async def test_a_connection_that_ends_frees_its_place_in_the_host(server):
    listener = make_host(server.url)
    limiter = listener.get_network()._inbound_limiter
    with trio.fail_after(30):
        async with running(listener, "/webrtc"), running(make_host(server.url)) as dialer:
            for _ in range(3):
                await dialer.connect(direct(listener))
                await until(lambda: limiter.borrowed_tokens == 1)
                await dialer.disconnect(listener.get_id())
                await until(lambda: limiter.borrowed_tokens == 0)
