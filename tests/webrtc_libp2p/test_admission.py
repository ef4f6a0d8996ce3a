import pytest
import trio
from libp2p.network.config import ConnectionConfig
from libp2p.network.exceptions import SwarmException

from tests.webrtc_libp2p.hosts import direct, make_host, round_trip, running, two_hosts, until

pytestmark = pytest.mark.anyio


def denying(*addresses):
    return ConnectionConfig(deny_list=list(addresses))


def no_retries(host):
    host.get_network().retry_config.max_retries = 0
    return host


async def test_the_gate_of_the_dialer_is_asked_with_the_real_address(server):
    dialer = no_retries(make_host(server.url, connection_config=denying("127.0.0.1")))
    with trio.fail_after(20):
        async with running(make_host(server.url), "/webrtc") as listener, running(dialer):
            with pytest.raises(SwarmException) as caught:
                await dialer.get_network().dial_addr(direct(listener).addrs[0], listener.get_id())
            assert "the connection gate refuses" in str(caught.value.__cause__)
            assert not dialer.get_network().get_connections()


async def test_the_gate_of_the_listener_is_asked_with_the_real_address(server):
    dialer = make_host(server.url)
    listener = make_host(server.url, connection_config=denying("127.0.0.0/8"))
    with trio.fail_after(20):
        async with running(listener, "/webrtc"), running(dialer):
            await dialer.get_network().dial_addr(direct(listener).addrs[0], listener.get_id())
            await until(lambda: not dialer.get_network().get_connections())
            assert not listener.get_network().get_connections()


async def test_other_addresses_pass(server):
    async with two_hosts(server.url, connection_config=denying("192.0.2.1")) as (dialer, listener):
        assert await round_trip(dialer, listener.get_id(), b"x") == b"x"


async def test_the_resource_manager_counts_by_the_real_address(server, monkeypatch):
    dialer, listener = make_host(server.url), make_host(server.url)
    asked = []

    def note(manager):
        open_connection = manager.open_connection

        def noted(peer_id=None, endpoint_ip=None, direction="inbound"):
            if peer_id is not None:
                asked.append((str(peer_id), endpoint_ip, direction))
            return open_connection(peer_id, endpoint_ip, direction)

        monkeypatch.setattr(manager, "open_connection", noted)
        return manager

    ours, theirs = (note(host.get_network()._resource_manager) for host in (dialer, listener))
    with trio.fail_after(20):
        async with running(listener, "/webrtc"), running(dialer):
            await dialer.connect(direct(listener))
            await until(lambda: len(asked) == 2)
            assert sorted(asked) == sorted(
                [
                    (str(listener.get_id()), "127.0.0.1", "outbound"),
                    (str(dialer.get_id()), "127.0.0.1", "inbound"),
                ]
            )
            assert ours._current_connections == theirs._current_connections == 1
            await dialer.disconnect(listener.get_id())
            await until(lambda: ours._current_connections == theirs._current_connections == 0)


@pytest.mark.parametrize("side", ["dialer", "listener"])
async def test_the_resource_manager_refuses(server, monkeypatch, side):
    hosts = {"dialer": no_retries(make_host(server.url)), "listener": make_host(server.url)}
    manager = hosts[side].get_network()._resource_manager
    open_connection = manager.open_connection

    def refuse(peer_id=None, endpoint_ip=None, direction="inbound"):
        return None if peer_id is not None else open_connection(peer_id, endpoint_ip, direction)

    monkeypatch.setattr(manager, "open_connection", refuse)
    with trio.fail_after(20):
        async with running(hosts["listener"], "/webrtc") as listener, running(hosts["dialer"]) as dialer:
            dial = dialer.get_network().dial_addr
            if side == "dialer":
                with pytest.raises(SwarmException) as caught:
                    await dial(direct(listener).addrs[0], listener.get_id())
                assert "the resource manager refuses" in str(caught.value.__cause__)
            else:
                await dial(direct(listener).addrs[0], listener.get_id())
                await until(lambda: not dialer.get_network().get_connections())
            assert not hosts[side].get_network().get_connections()


async def test_a_connection_that_the_swarm_refuses_gives_its_place_back(server, monkeypatch):
    listener, dialer = make_host(server.url), make_host(server.url)
    manager = listener.get_network()._resource_manager
    listener.get_network().connection_config.max_connections = 0
    with trio.fail_after(20):
        async with running(listener, "/webrtc"), running(dialer):
            await dialer.get_network().dial_addr(direct(listener).addrs[0], listener.get_id())
            await until(lambda: not dialer.get_network().get_connections())
            await until(lambda: manager._current_connections == 0)
