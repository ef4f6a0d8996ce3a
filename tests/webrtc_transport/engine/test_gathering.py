"""Local candidates: of our own addresses, and of real STUN and TURN servers, dead ones among them."""

import asyncio
import time

import pytest
from aioice import stun

from tests.webrtc_transport.engine.ice_ends import Nat, establish, exchange, stun_url, turn_url, two
from tests.webrtc_transport.engine.turn_server import dead_server
from webrtc_transport.engine.driver import AsyncioDriver
from webrtc_transport.engine.udp_port import UdpPort
from webrtc_transport.errors import IceFailed
from webrtc_transport.protocol.ice_url import parse_ice_url

pytestmark = pytest.mark.anyio


async def test_host_candidates_are_told_within_a_turn_of_the_loop():
    async with two(trickle=False) as (a, _):
        a.agent.gather()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert a.kinds[:1] == ["host"]


async def test_all_addresses_but_loopbacks_by_default(monkeypatch):
    monkeypatch.setattr(
        "webrtc_transport.engine.gathering.get_host_addresses", lambda **_: ["127.0.0.2", "::1"]
    )
    async with two(a={"bind": None}, trickle=False) as (a, _):
        assert [candidate.address for candidate in await a.gathered()] == ["127.0.0.2", "::1"]


async def test_a_host_without_a_network_talks_to_itself(monkeypatch):
    monkeypatch.setattr("webrtc_transport.engine.gathering.get_host_addresses", lambda **_: [])
    async with two(bind=None) as (a, b):
        await establish(a, b)
        assert a.agent.selected_pair.local.address == "127.0.0.1"


async def test_an_address_that_cannot_be_bound_is_left_out():
    async with two(a={"bind": ("203.0.113.1", "127.0.0.1")}) as (a, b):
        await establish(a, b)
        assert a.kinds == ["host", None]


async def test_without_any_address_it_fails_at_once():
    async with two(a={"bind": ("203.0.113.1",)}) as (a, _):
        with pytest.raises(IceFailed, match="no local address could be bound; check bind_addresses; no TURN"):
            await a.establish()


async def test_a_reflexive_candidate_behind_a_nat(turn):
    with Nat(("127.0.0.1", turn.port)) as nat:
        async with two(a={"stun": [stun_url(nat.inside.address[1])]}, trickle=False) as (a, _):
            host, reflexive = await a.gathered()
            assert (reflexive.address, reflexive.port) == nat.outside.address
            assert (reflexive.related_address, reflexive.related_port) == (host.address, host.port)
            assert reflexive.type == "srflx"
            assert reflexive.priority < host.priority


async def test_without_a_nat_there_is_no_reflexive_candidate(turn):
    async with two(a={"stun": [stun_url(turn.port)]}, trickle=False) as (a, _):
        await a.gathered()
        assert a.kinds == ["host", None]


async def test_servers_that_see_the_same_address_tell_it_once(turn):
    with Nat(("127.0.0.1", turn.port)) as nat:
        urls = [stun_url(nat.inside.address[1]), stun_url(nat.inside.address[1], "localhost")]
        async with two(a={"stun": urls}, trickle=False) as (a, _):
            await a.gathered()
            assert a.kinds == ["host", "srflx", None]


async def test_each_host_port_has_its_own_reflexive_candidate(turn):
    # As from two interfaces behind one NAT: one address, two ports.
    with Nat(("127.0.0.1", turn.port)) as one, Nat(("127.0.0.1", turn.port)) as two_:
        urls = [stun_url(nat.inside.address[1]) for nat in (one, two_)]
        async with two(a={"stun": urls}, trickle=False) as (a, _):
            found = await a.gathered()
            reflexive = {(c.address, c.port) for c in found if c.type == "srflx"}
            assert reflexive == {one.outside.address, two_.outside.address}


async def test_a_dead_stun_server_delays_nothing_that_works_without_it(turn):
    with dead_server() as dead, Nat(("127.0.0.1", turn.port)) as nat:
        servers = [stun_url(dead), stun_url(nat.inside.address[1])]
        async with two(stun=servers, gathering_timeout=1.5) as (a, b):
            assert await establish(a, b) < 1
            await a.journal.until(lambda: "srflx" in a.kinds)
            assert None not in a.kinds
            await a.journal.until(lambda: None in a.kinds)
            assert f"stun:127.0.0.1:{dead}: no answer within 1.5 s" in a.agent._gathering.describe_failure()


async def test_a_stun_server_whose_name_is_unknown_is_left_out():
    async with two(stun=[parse_ice_url("stun:does-not-exist.invalid")]) as (a, b):
        await establish(a, b)
        await a.journal.until(lambda: None in a.kinds)
        assert "stun:does-not-exist.invalid:3478: " in a.agent._gathering.describe_failure()


async def test_a_relay_tells_what_the_server_sees(turn):
    async with two(a={"turn": [turn_url(turn.port)]}, trickle=False) as (a, _):
        relay = next(candidate for candidate in await a.gathered() if candidate.type == "relay")
        assert relay.related_address == "127.0.0.1"
        assert relay.related_port not in (0, 9, relay.port)


async def test_several_turn_servers_of_which_one_works(turn):
    with dead_server() as dead:
        servers = [turn_url(dead), turn_url(turn.port, password="wrong"), turn_url(turn.port)]
        async with two(turn=servers, relay_only=True) as (a, b):
            assert await establish(a, b) < 1
            await exchange(a, b)


async def test_wrong_credentials_fail_by_name(turn):
    async with two(turn=[turn_url(turn.port, password="wrong")], relay_only=True) as (a, _):
        started = time.monotonic()
        with pytest.raises(IceFailed, match=r"no TURN server gave a relay; check ice_servers; turn:.*401"):
            await a.establish()
        assert time.monotonic() - started < 1


async def test_wrong_credentials_are_told_after_a_failure(turn):
    async with two(turn=[turn_url(turn.port, password="wrong")]) as (a, b):
        await establish(a, b)
        await a.journal.until(lambda: None in a.kinds)
        assert "check ice_servers; turn:127.0.0.1" in a.agent._gathering.describe_failure()


async def test_a_dead_turn_server_fails_at_the_gathering_timeout():
    with dead_server() as dead:
        async with two(turn=[turn_url(dead)], relay_only=True, gathering_timeout=0.4) as (a, _):
            started = time.monotonic()
            with pytest.raises(IceFailed, match=r"check ice_servers; turn:.*: no answer within 0\.4 s"):
                await a.establish()
            assert 0.3 < time.monotonic() - started < 1


async def test_the_relay_only_policy_without_a_turn_server():
    async with two(relay_only=True) as (a, _):
        with pytest.raises(
            IceFailed, match="relay only and no TURN server gave a relay; no TURN server is configured"
        ):
            await a.establish()
        assert a.kinds == [None]


async def test_a_stun_server_that_tells_an_impossible_address_is_left_out():
    def answer(data, address):
        request = stun.parse_message(data)
        response = stun.Message(stun.Method.BINDING, stun.Class.RESPONSE, request.transaction_id)
        response.attributes["XOR-MAPPED-ADDRESS"] = ("203.0.113.1", 0)
        server.send(bytes(response), address)

    server = UdpPort(AsyncioDriver(), "127.0.0.1", answer)
    async with two(a={"stun": [stun_url(server.address[1])]}, trickle=False) as (a, _):
        await a.gathered()
        assert a.kinds == ["host", None]
        assert "candidate port is not in 1..65535" in a.agent._gathering.describe_failure()
    server.close()


async def test_a_turn_server_that_tells_an_impossible_address_is_left_out(turn, monkeypatch):
    monkeypatch.setattr("webrtc_transport.engine.ice_port.RelayPort.mapped_address", ("203.0.113.1", 70000))
    async with two(a={"turn": [turn_url(turn.port)]}, trickle=False) as (a, _):
        await a.gathered()
        assert a.kinds == ["host", None]
        assert "candidate related port is not in 0..65535" in a.agent._gathering.describe_failure()
