"""webrtc-direct in py-libp2p hosts: a UDP port, dialed by its address."""

import contextlib
import hashlib
import os

import pytest
import trio
from libp2p.connection_types import ConnectionType
from libp2p.network.config import ConnectionConfig
from libp2p.network.exceptions import SwarmException
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.transport.exceptions import OpenConnectionError
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr

from tests.leaks import nothing_left
from tests.webrtc_libp2p.hosts import (
    DIRECT,
    identified,
    make_host,
    ping,
    round_trip,
    running,
    settings,
    until,
)
from webrtc_libp2p import WebRTCTransport

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def direct_hosts(**options):
    """A dialer that is connected to a listener, and the listener."""
    listener, dialer = make_host(**options), make_host(**options)
    async with running(listener, DIRECT), running(dialer):
        await dialer.connect(PeerInfo(listener.get_id(), listener.get_addrs()))
        yield dialer, listener


def no_retries(host):
    host.get_network().retry_config.max_retries = 0
    return host


async def dial(dialer, listener):
    """By the address alone, past the pause before dials of several addresses."""
    return await dialer.get_network().dial_addr(listener.get_addrs()[0], listener.get_id())


async def handle(connection):
    await trio.sleep_forever()


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_hosts_meet_identify_ping_and_echo(version):
    with trio.fail_after(30):
        async with direct_hosts(config=settings(direct_version=version)) as (dialer, listener):
            for host, peer in ((dialer, listener), (listener, dialer)):
                assert await ping(host, peer.get_id()) >= 0
                assert "/echo/1.0.0" in await identified(host, peer.get_id())
                data = os.urandom(2**20)
                echoed = await round_trip(host, peer.get_id(), data)
                assert hashlib.sha256(echoed).digest() == hashlib.sha256(data).digest()


async def test_its_addresses_are_those_to_dial():
    with trio.fail_after(20):
        async with running(make_host(), DIRECT) as host:
            (address,) = host.get_addrs()
            assert str(address).startswith("/ip4/127.0.0.1/udp/")
            names = [protocol.name for protocol in address.protocols()]
            assert names == ["ip4", "udp", "webrtc-direct", "certhash", "p2p"]
            assert address.get_peer_id() == str(host.get_id())
            # What others are told by identify is this, and they dial it.
            async with running(make_host()) as dialer:
                await dialer.connect(info_from_p2p_addr(address))
                assert await round_trip(dialer, host.get_id(), b"x") == b"x"
                told = await until(lambda: dialer.get_peerstore().addrs(host.get_id()))
                assert address in told


async def test_the_address_stays_the_same_for_a_key():
    host = make_host()
    async with running(host, DIRECT):
        (first,) = host.get_addrs()
    port = first.value_for_protocol("udp")
    key_pair = host.get_private_key(), host.get_public_key()
    from libp2p.crypto.keys import KeyPair

    again = make_host(key_pair=KeyPair(*key_pair))
    async with running(again, f"/ip4/127.0.0.1/udp/{port}/webrtc-direct"):
        assert again.get_addrs() == [first]


async def test_what_a_swarm_asks_for():
    async with direct_hosts() as (dialer, listener):
        (ours,) = dialer.get_network().get_connections(listener.get_id())
        (theirs,) = listener.get_network().get_connections(dialer.get_id())
        port = int(listener.get_addrs()[0].value_for_protocol("udp"))
        assert ours.muxed_conn.get_remote_address() == ("127.0.0.1", port)
        assert list(map(str, ours.get_transport_addresses())) == [f"/ip4/127.0.0.1/udp/{port}/webrtc-direct"]
        host, other_port = theirs.muxed_conn.get_remote_address()
        assert host == "127.0.0.1"
        assert list(map(str, theirs.get_transport_addresses())) == [
            f"/ip4/127.0.0.1/udp/{other_port}/webrtc-direct"
        ]
        assert ours.get_connection_type() is theirs.get_connection_type() is ConnectionType.DIRECT
        assert (ours.muxed_conn.is_initiator, theirs.muxed_conn.is_initiator) == (True, False)
        assert "host" in repr(ours.muxed_conn)


async def test_a_peer_id_that_is_not_who_answers():
    with trio.fail_after(20):
        async with running(make_host(), DIRECT) as listener, running(no_retries(make_host())) as dialer:
            own = Multiaddr(f"/p2p/{listener.get_id()}")
            other = make_host().get_id()
            with pytest.raises(SwarmException) as caught:
                await dialer.get_network().dial_addr(listener.get_addrs()[0].decapsulate(own), other)
            assert str(other) in str(caught.value.__cause__)
            assert not dialer.get_network().get_connections()
            await until(lambda: not listener.get_network().get_connections())
            # The listener serves on.
            await dial(dialer, listener)
            assert await round_trip(dialer, listener.get_id(), b"x") == b"x"


async def test_without_a_certhash_it_says_what_is_missing():
    transport = WebRTCTransport(config=settings())
    assert not transport.can_dial(Multiaddr("/ip4/127.0.0.1/udp/4001/webrtc-direct"))
    with pytest.raises(OpenConnectionError, match="certhash"):
        await transport.dial(Multiaddr("/ip4/127.0.0.1/udp/4001/webrtc-direct"))


async def test_nobody_is_there():
    config = settings(dial_timeout=1.0)
    async with running(make_host(config=config), DIRECT) as gone:
        (address,) = gone.get_addrs()
    async with running(no_retries(make_host(config=config))) as dialer:
        with trio.fail_after(10), pytest.raises(SwarmException) as caught:
            await dialer.get_network().dial_addr(address, gone.get_id())
        assert "in phase 'ice'" in str(caught.value.__cause__) or "IceFailed" in str(caught.value.__cause__)


async def test_a_port_that_is_taken_is_named():
    async with running(make_host(), DIRECT) as host, running(make_host()) as second:
        port = host.get_addrs()[0].value_for_protocol("udp")
        (transport,) = second.get_network().transport_manager.get_transports()
        listener = transport.create_listener(handle)
        with pytest.raises(OpenConnectionError, match="AddressError: can't listen on"):
            await listener.listen(Multiaddr(f"/ip4/127.0.0.1/udp/{port}/webrtc-direct"))
        assert listener.get_addrs() == ()


async def test_a_closed_listener_accepts_nobody_and_leaves_connections_alone():
    with trio.fail_after(20):
        async with direct_hosts(config=settings(dial_timeout=1.0)) as (dialer, listener):
            (address,) = listener.get_addrs()
            (port,) = listener.get_network().listeners.values()
            await port.close()
            await port.close()
            assert listener.get_addrs() == []
            async with running(no_retries(make_host(config=settings(dial_timeout=1.0)))) as late:
                with pytest.raises(SwarmException):
                    await late.get_network().dial_addr(address, listener.get_id())
            assert await round_trip(dialer, listener.get_id(), b"x") == b"x"


async def test_both_flavours_and_tcp_in_one_host(server):
    transport = WebRTCTransport(signaling=[server.url], config=settings())
    host = make_host(transports=[TCP(), transport])
    with trio.fail_after(30):
        async with running(host, "/webrtc", DIRECT, "/ip4/127.0.0.1/tcp/0"):
            addresses = {
                name: a
                for a in host.get_addrs()
                for name in ("webrtc", "webrtc-direct", "tcp")
                if f"/{name}/" in f"{a}/"
            }
            assert len(addresses) == len(host.get_addrs()) == 3
            for address in addresses.values():
                other = make_host(
                    transports=[TCP(), WebRTCTransport(signaling=[server.url], config=settings())]
                )
                async with running(other):
                    await other.get_network().dial_addr(address, host.get_id())
                    assert await round_trip(other, host.get_id(), b"x") == b"x"


async def test_a_host_leaves_nothing_behind():
    with trio.fail_after(60):
        async with nothing_left():
            async with direct_hosts() as (dialer, listener):
                assert await round_trip(dialer, listener.get_id(), b"x") == b"x"


# --- what the host asks before it lets a connection in ----------------------------------------------------------------


async def test_the_gate_of_the_dialer_is_asked_with_the_real_address():
    config = ConnectionConfig(deny_list=["127.0.0.1"])
    async with running(make_host(), DIRECT) as listener:
        async with running(no_retries(make_host(connection_config=config))) as dialer:
            with pytest.raises(SwarmException) as caught:
                await dial(dialer, listener)
            assert "the connection gate refuses" in str(caught.value.__cause__)


async def test_the_gate_of_the_listener_is_asked_with_the_real_address():
    config = ConnectionConfig(deny_list=["127.0.0.0/8"])
    async with running(make_host(connection_config=config), DIRECT) as listener:
        async with running(make_host()) as dialer:
            with contextlib.suppress(SwarmException):
                await dial(dialer, listener)
            await until(lambda: not dialer.get_network().get_connections())
            assert not listener.get_network().get_connections()


async def test_the_resource_manager_counts_by_the_real_address(monkeypatch):
    asked = []
    dialer, listener = make_host(), make_host()
    managers = [host.get_network()._resource_manager for host in (dialer, listener)]
    for manager in managers:

        def noted(peer_id=None, endpoint_ip=None, direction="inbound", ask=manager.open_connection):
            if peer_id is not None:
                asked.append((str(peer_id), endpoint_ip, direction))
            return ask(peer_id, endpoint_ip, direction)

        monkeypatch.setattr(manager, "open_connection", noted)
    async with running(listener, DIRECT), running(dialer):
        await dial(dialer, listener)
        await until(lambda: len(asked) == 2)
        assert set(asked) == {
            (str(listener.get_id()), "127.0.0.1", "outbound"),
            (str(dialer.get_id()), "127.0.0.1", "inbound"),
        }
        assert [manager._current_connections for manager in managers] == [1, 1]
        await dialer.disconnect(listener.get_id())
        await until(lambda: not any(manager._current_connections for manager in managers))


async def test_the_metrics_of_both_hosts_count_the_connection():
    with trio.fail_after(20):
        events = {}
        hosts = {"dialer": make_host(), "listener": make_host()}
        for name, host in hosts.items():
            host.get_network().metric_send_channel, events[name] = trio.open_memory_channel(16)
        async with running(hosts["listener"], DIRECT) as listener, running(hosts["dialer"]) as dialer:
            await dialer.connect(PeerInfo(listener.get_id(), listener.get_addrs()))
            assert (await events["dialer"].receive()).dial_attempt
            assert (await events["listener"].receive()).conn_incoming
