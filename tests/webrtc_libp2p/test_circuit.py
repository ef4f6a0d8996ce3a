import pytest
import trio
from libp2p.connection_types import ConnectionType
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr

from tests.webrtc_libp2p.hosts import direct, relay_host, relayed_host, round_trip, running, until
from webrtc_libp2p import circuit, relay
from webrtc_libp2p.circuit import MAX_FOUND_RELAYS, CircuitSignaling
from webrtc_libp2p.relay import Reservation

pytestmark = pytest.mark.anyio


def kinds(host, peer):
    found = host.get_network().get_connections(peer.get_id())
    return sorted(connection.get_connection_type().value for connection in found)


async def test_hosts_meet_over_a_relay_that_the_listener_met():
    with trio.fail_after(30):
        async with relay_host() as (_, address), running(relayed_host(), "/webrtc") as listener:
            assert listener.get_addrs() == []
            await listener.connect(info_from_p2p_addr(address))
            # Announced, for identify to tell, as soon as the reservation stands.
            (announced,) = await until(listener.get_addrs)
            assert str(announced) == f"{address}/p2p-circuit/webrtc/p2p/{listener.get_id()}"
            async with running(relayed_host()) as dialer:
                connection = await dialer.get_network().dial_addr(announced, listener.get_id())
                assert connection.get_connection_type() is ConnectionType.DIRECT
                # The relayed connection stays, and what is new goes over the direct one.
                assert kinds(dialer, listener) == ["direct", "relayed"]
                stream = await dialer.new_stream(listener.get_id(), ["/echo/1.0.0"])
                assert stream.muxed_conn is connection.muxed_conn
                await stream.reset()
                assert await round_trip(listener, dialer.get_id(), b"back") == b"back"


async def test_a_relayed_connection_is_used_again(monkeypatch):
    with trio.fail_after(30):
        async with (
            relay_host() as (_, address),
            running(relayed_host(), "/webrtc") as listener,
            running(relayed_host()) as dialer,
        ):
            await listener.connect(info_from_p2p_addr(address))
            (announced,) = await until(listener.get_addrs)
            await relay.connect(dialer, info_from_p2p_addr(address), listener.get_id())
            assert kinds(dialer, listener) == ["relayed"]
            monkeypatch.setattr(relay, "connect", None)
            await dialer.get_network().dial_addr(announced, listener.get_id())
            assert kinds(dialer, listener) == ["direct", "relayed"]


async def test_the_peerstore_knows_the_way():
    """py-libp2p's own dials leave out addresses with a relay in them."""
    with trio.fail_after(30):
        async with (
            relay_host() as (_, address),
            running(relayed_host(), "/webrtc") as listener,
            running(relayed_host()) as dialer,
        ):
            await listener.connect(info_from_p2p_addr(address))
            (announced,) = await until(listener.get_addrs)
            await dialer.connect(PeerInfo(listener.get_id(), [announced, *direct(listener).addrs]))
            assert kinds(dialer, listener) == ["direct", "relayed"]


async def test_a_relay_that_goes_is_announced_no_more_and_again_when_it_is_back(monkeypatch):
    monkeypatch.setattr(circuit, "_RETRY", (0.05, 0.05))
    with trio.fail_after(30):
        async with (
            relay_host() as (host, address),
            running(relayed_host(), f"{address}/p2p-circuit/webrtc") as listener,
        ):
            assert listener.get_addrs()
            reserve = relay.reserve

            async def refuse(host, info):
                raise relay.SignalingUnavailable("not now")

            monkeypatch.setattr(relay, "reserve", refuse)
            await listener.disconnect(host.get_id())
            await until(lambda: not listener.get_addrs())
            monkeypatch.setattr(relay, "reserve", reserve)
            await until(listener.get_addrs)


async def test_a_place_at_a_relay_met_by_chance_is_kept_for_longer_than_identify_may_take(monkeypatch):
    reserve, reserved = relay.reserve, []

    async def count(host, info):
        reserved.append(await reserve(host, info))
        return reserved[-1]

    monkeypatch.setattr(relay, "reserve", count)
    monkeypatch.setattr(circuit, "IDENTIFY_TIMEOUT", 3)
    with trio.fail_after(30):
        async with relay_host() as (host, address), running(relayed_host(), "/webrtc") as listener:
            await listener.connect(info_from_p2p_addr(address))
            await until(listener.get_addrs)
            await trio.sleep(circuit.IDENTIFY_TIMEOUT)
            for meeting in (1, 2, 3):
                await until(listener.get_addrs)
                # Once for each connection, and not again for what identify tells of the relay.
                assert len(reserved) == meeting
                await host.disconnect(listener.get_id())
                await until(lambda seen=meeting: len(reserved) > seen)


async def test_a_reservation_is_renewed_at_half_its_time(monkeypatch):
    renewed = []
    reserve = relay.reserve

    async def short(host, info):
        reservation = await reserve(host, info)
        renewed.append(reservation)
        return Reservation(reservation.relay, reservation.addresses, expires=0)

    monkeypatch.setattr(relay, "reserve", short)
    with trio.fail_after(30):
        async with (
            relay_host() as (_, address),
            running(relayed_host(), f"{address}/p2p-circuit/webrtc") as listener,
        ):
            await until(lambda: len(renewed) >= 3)
            assert len(listener.get_addrs()) == 1


async def test_places_are_asked_for_at_a_few_relays_only():
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery, running(relayed_host(), "/webrtc") as listener:
            started = []

            async def serve():
                async with relay_host() as (_, address):
                    started.append(address)
                    await trio.sleep_forever()

            for _ in range(MAX_FOUND_RELAYS + 1):
                nursery.start_soon(serve)
            await until(lambda: len(started) == MAX_FOUND_RELAYS + 1)
            for address in started:
                await listener.connect(info_from_p2p_addr(address))
            await until(lambda: len(listener.get_addrs()) >= MAX_FOUND_RELAYS)
            await trio.sleep(0.5)
            assert len(listener.get_addrs()) == MAX_FOUND_RELAYS
            nursery.cancel_scope.cancel()


def test_without_a_relay_there_is_no_address():
    assert CircuitSignaling(relayed_host()).addresses() == []
