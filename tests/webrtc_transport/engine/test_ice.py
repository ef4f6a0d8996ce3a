"""ICE agents wired to each other, without anything above them; TURN by a real server."""

import asyncio
import contextlib
import socket
import time
import uuid

import pytest
from aioice import mdns
from aioice.ice import CandidatePair as AioicePair

from tests.webrtc_transport.engine.ice_ends import (
    establish,
    exchange,
    host_candidate,
    introduce,
    stun_url,
    turn_url,
    two,
)
from tests.webrtc_transport.engine.turn_server import dead_server, turn_server
from webrtc_transport.engine.ice_port import IcePort
from webrtc_transport.errors import IceFailed
from webrtc_transport.protocol.limits import MAX_REMOTE_CANDIDATES

pytestmark = pytest.mark.anyio


# --- host candidates -------------------------------------------------------------------------------------------------


async def test_two_agents_connect_and_carry_packets():
    async with two() as (a, b):
        assert await establish(a, b) < 1
        await exchange(a, b)
        assert a.kinds == b.kinds == ["host", None]
        assert a.agent.selected_pair.local == b.agent.selected_pair.remote == a.candidates[0]
        assert a.agent.selected_pair.kind == "host"


async def test_ipv6():
    async with two(bind=("::1",)) as (a, b):
        await establish(a, b)
        await exchange(a, b)


# --- trickling -------------------------------------------------------------------------------------------------------


async def test_candidates_that_come_late_are_checked_at_once():
    async with two(trickle=False) as (a, b):
        introduce(a, b)
        both = asyncio.gather(a.establish(), b.establish())
        await asyncio.sleep(0.1)
        assert not both.done()
        a.agent.add_remote(b.candidates[0])
        started = time.monotonic()
        await both
        assert time.monotonic() - started < 1
        await exchange(a, b)


async def test_checks_that_come_before_the_description_are_kept():
    async with two() as (a, b):
        a.agent.gather()
        checks = asyncio.create_task(b.establish())
        await a.journal.until(lambda: a.agent._early_checks)
        await a.establish()
        await checks
        await exchange(a, b)


async def test_a_packet_that_comes_before_the_description_is_told_if_a_check_came_first():
    # Answerers that are DTLS client send the ClientHello as soon as their own check is answered.
    async with two(trickle=False) as (a, b):
        introduce(a, b)
        checks = asyncio.create_task(b.establish())
        a.agent.gather()
        await a.journal.until(lambda: a.candidates)
        b.agent.add_remote(a.candidates[0])
        await a.journal.until(lambda: a.agent._early_checks)
        b.port.send(b"\x16early", a.port.address)
        await a.journal.until(lambda: a.packets == [b"\x16early"], 2)
        await a.establish()
        await checks


async def test_what_cannot_be_used_is_ignored():
    async with two() as (a, b):
        for candidate in (
            host_candidate(9, transport="tcp", tcp_type="active"),
            host_candidate(9, component=2),
            host_candidate(9, type="prflx"),
            host_candidate(9, host="2001:db8::1"),
        ):
            a.agent.add_remote(candidate)
        await establish(a, b)
        await exchange(a, b)
        assert len(a.agent._check_list) == 1


async def test_a_candidate_that_is_told_twice_is_checked_once():
    async with two() as (a, b):
        await b.gathered()
        for _ in range(3):
            a.agent.add_remote(b.candidates[0])
        await establish(a, b)
        assert len(a.agent._check_list) == 1


async def test_the_number_of_candidates_is_bounded():
    async with two(trickle=False) as (a, _):
        a.agent.gather()
        for port in range(1000, 1000 + 2 * MAX_REMOTE_CANDIDATES):
            a.agent.add_remote(host_candidate(port))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(a.agent.remote_candidates) == MAX_REMOTE_CANDIDATES


async def test_the_number_of_addresses_that_a_peer_sends_from_is_bounded():
    async with two() as (a, b):
        await establish(a, b)
        check = b.agent.build_request(b.agent._check_list[0], nominate=False)
        check.add_message_integrity(a.pwd.encode())
        for port in range(1000, 1000 + 3 * MAX_REMOTE_CANDIDATES):
            a.agent.request_received(check, ("127.0.0.1", port), a.port)
        assert len(a.agent.remote_candidates) == 2 * MAX_REMOTE_CANDIDATES
        await exchange(a, b)


async def test_candidates_after_their_end_are_ignored():
    async with two(trickle=False) as (a, b):
        introduce(a, b)
        a.agent.add_remote(None)
        a.agent.add_remote(None)
        a.agent.add_remote(host_candidate(9))
        with pytest.raises(IceFailed, match="the peer sent no usable candidate; ours were host"):
            await a.establish()


async def test_the_end_of_candidates_may_come_before_our_own_relays(turn):
    options = {"turn": [turn_url(turn.port)], "relay_only": True}
    async with two(trickle=False, **options) as (a, b):
        theirs = await b.gathered()
        a.other, b.other = b, a
        a.on_local_candidate = b.agent.add_remote
        for candidate in (*theirs, None):
            a.agent.add_remote(candidate)
        assert not a.candidates
        await establish(a, b)
        await exchange(a, b)


async def test_a_peer_that_names_no_candidate_may_still_check():
    async with two(trickle=False) as (a, b):
        introduce(a, b)
        ours = asyncio.create_task(b.establish())
        a.agent.gather()
        await a.journal.until(lambda: a.candidates)
        b.agent.add_remote(a.candidates[0])
        # Its first check is here before we know its description, which tells no candidate and their end.
        await a.journal.until(lambda: a.agent._early_checks)
        a.agent.add_remote(None)
        await a.establish()
        await ours
        await exchange(a, b)
        assert a.agent.selected_pair.kind == "prflx"
        await a.journal.until(lambda: a.agent._query_consent_task is not None)


# --- names instead of addresses --------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def published(address):
    publisher = await mdns.create_mdns_protocol()
    try:
        name = f"{uuid.uuid4()}.local"
        await publisher.publish(name, address)
        yield name
    except OSError as exc:
        pytest.skip(f"this host has no multicast: {exc}")
    finally:
        await publisher.close()


async def test_a_candidate_behind_a_name():
    async with two(trickle=False) as (a, b), published("127.0.0.1") as name:
        introduce(a, b)
        b.agent.gather()
        await b.journal.until(lambda: b.candidates)
        a.agent.add_remote(host_candidate(b.candidates[0].port, host=name))
        a.agent.add_remote(None)
        await establish(a, b)
        await exchange(a, b)
        # What the peer hides isn't told to anybody.
        assert a.agent.selected_pair.remote.address == name
        assert "127.0.0.1" not in repr(a.agent.selected_pair.remote)
        assert a.agent.selected_pair.remote_ip == "127.0.0.1"


async def test_a_name_is_not_told_to_a_turn_server(turn, monkeypatch):
    async def resolve(name):
        raise AssertionError(f"{name} was looked up")

    monkeypatch.setattr("webrtc_transport.engine.ice.resolve_mdns", resolve)
    async with two(turn=[turn_url(turn.port)], relay_only=True, trickle=False) as (a, _):
        await a.gathered()
        a.agent.add_remote(host_candidate(9, host=f"{uuid.uuid4()}.local"))
        await asyncio.sleep(0)
        assert not a.agent.remote_candidates


# --- TURN servers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_relay_to_relay(turn, transport):
    async with two(turn=[turn_url(turn.port, transport)], relay_only=True) as (a, b):
        assert await establish(a, b) < 1
        await exchange(a, b)
        assert a.kinds == b.kinds == ["relay", None]
        assert a.agent.selected_pair.kind == b.agent.selected_pair.kind == "relay"
        # The policy hides our own address.
        assert (a.candidates[0].related_address, a.candidates[0].related_port) == ("0.0.0.0", 9)


async def test_one_end_may_be_relayed(turn):
    async with two(a={"turn": [turn_url(turn.port)], "relay_only": True}) as (a, b):
        await establish(a, b)
        await exchange(a, b)
        assert a.agent.selected_pair.kind == b.agent.selected_pair.kind == "relay"
        assert b.kinds == ["host", None]


async def test_a_direct_path_is_preferred(turn):
    async with two(turn=[turn_url(turn.port)]) as (a, b):
        await establish(a, b)
        await a.journal.until(lambda: None in a.kinds and None in b.kinds)
        assert sorted(filter(None, a.kinds)) == ["host", "relay"]
        assert a.agent.selected_pair.kind == b.agent.selected_pair.kind == "host"


async def test_close_does_not_wait_for_a_dead_turn_server():
    with dead_server() as dead:
        async with two(turn=[turn_url(dead)], gathering_timeout=30) as (a, b):
            await establish(a, b)
            # two() checks that close() takes under a second.


async def test_a_turn_server_that_dies_ends_consent_and_close_is_bounded(tmp_path):
    with turn_server(tmp_path) as server:
        a_and_b = two(turn=[turn_url(server.port)], relay_only=True, liveness_timeout=1.0)
        async with a_and_b as (a, b):
            await establish(a, b)
            server.kill()
            await a.journal.until(lambda: "expired" in a.consent and "expired" in b.consent, 3)


# --- checks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("controlling", [True, False])
async def test_a_role_conflict_is_repaired(controlling):
    async with two(a={"controlling": controlling}, b={"controlling": controlling}) as (a, b):
        await establish(a, b)
        await exchange(a, b)
        assert a.agent.ice_controlling is not b.agent.ice_controlling


async def test_a_peer_that_only_answers_makes_us_controlling():
    async with two(a={"controlling": False}, b={"controlling": False}) as (a, b):
        await asyncio.gather(a.establish(is_lite=True), b.establish())
        await exchange(a, b)
        assert a.agent.ice_controlling


async def test_pairs_that_do_not_work_fail_by_name(monkeypatch):
    monkeypatch.setattr(IcePort.request, "__defaults__", (None, None, 0.2))
    with dead_server() as dead:
        async with two(trickle=False) as (a, b):
            a.other = b
            a.agent.add_remote(host_candidate(dead))
            a.agent.add_remote(None)
            with pytest.raises(IceFailed, match="tried host to host; no TURN server is configured"):
                await a.establish()


async def test_a_dead_candidate_does_not_hold_the_others_up():
    with dead_server() as dead:
        async with two() as (a, b):
            for end in (a, b):
                end.agent.add_remote(host_candidate(dead, priority=2147483647))
            assert await establish(a, b) < 1


async def test_a_strangers_packets_are_not_passed_on():
    async with two() as (a, b):
        await establish(a, b)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            stranger.sendto(b"\x16forged", a.port.address)
        b.agent.transmit([b"\x16genuine"])
        await a.journal.until(lambda: a.packets)
        assert a.packets == [b"\x16genuine"]


async def test_a_strangers_request_repeats_no_check(monkeypatch):
    with dead_server() as dead:
        async with two(trickle=False) as (a, b):
            introduce(a, b)
            a.agent.add_remote(host_candidate(dead))
            task = asyncio.create_task(a.establish())
            await a.journal.until(lambda: a.agent._protocols and a.port._transactions)
            sent = []
            monkeypatch.setattr(a.port, "send", lambda data, address: sent.append((data[:2], address)))
            # As if from the address that is being checked: it would be sent more than it sends.
            forged = bytes.fromhex("000100002112a442") + bytes(12)
            a.port.datagram_received(forged, ("127.0.0.1", dead))
            assert sent == [(b"\x01\x11", ("127.0.0.1", dead))]
            task.cancel()
            await asyncio.wait([task])


# --- consent ---------------------------------------------------------------------------------------------------------


async def test_consent_is_missed_and_comes_back(monkeypatch):
    async with two(liveness_timeout=1.2) as (a, b):
        await establish(a, b)
        monkeypatch.setattr(b.port, "send", lambda *_: None)
        await a.journal.until(lambda: a.consent, 2)
        assert a.consent == ["missed"]
        monkeypatch.undo()
        await a.journal.until(lambda: len(a.consent) == 2, 2)
        assert a.consent == ["missed", "fresh"]
        await exchange(a, b)


async def test_consent_expires(monkeypatch):
    async with two(liveness_timeout=1.0) as (a, b):
        await establish(a, b)
        monkeypatch.setattr(b.port, "send", lambda *_: None)
        elapsed = await a.journal.until(lambda: "expired" in a.consent, 3)
        assert 0.7 < elapsed < 1.3
        assert a.consent == ["missed", "expired"]


@contextlib.contextmanager
def silenced(port):
    """Nothing goes out at this port, and nothing comes in."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(port, "send", lambda *_: None)
        patch.setattr(port, "datagram_received", lambda *_: None)
        # The socket has the method that it was made with.
        patch.setattr(port._port, "_on_datagram", lambda *_: None)
        yield


async def test_a_peer_may_move_to_another_pair_when_its_path_is_gone():
    ends = {"a": {"controlling": False}, "b": {"controlling": True, "bind": ("127.0.0.1", "127.0.0.2")}}
    async with two(**ends, liveness_timeout=2.0) as (a, b):
        await b.gathered()
        first, second = b.agent._protocols
        with silenced(second):
            # The check of the second pair is under way when the first one makes it.
            await establish(a, b)
            await a.journal.until(lambda: a.agent._query_consent_task is not None)
        assert a.agent.selected_pair.remote.address == "127.0.0.1"
        with silenced(first):
            await a.journal.until(lambda: "missed" in a.consent and "missed" in b.consent, 3)
            pair = AioicePair(second, b.agent.remote_candidates[0])
            b.agent._check_list.append(pair)
            await b.agent.check_start(pair)
            await a.journal.until(lambda: a.agent.selected_pair.remote.address == "127.0.0.2", 2)
            await exchange(a, b)
            await a.journal.until(lambda: a.consent[-1] == b.consent[-1] == "fresh", 2)


# --- the end ---------------------------------------------------------------------------------------------------------


async def test_close_without_having_begun():
    async with two() as (a, _):
        await a.agent.close()
        a.agent.gather()
        a.agent.add_remote(host_candidate(9))
        a.agent.add_remote(None)
        await asyncio.sleep(0.01)
        assert not a.candidates


async def test_close_while_gathering():
    with dead_server() as dead:
        async with two(stun=[stun_url(dead)], turn=[turn_url(dead), turn_url(dead, "tcp")]) as (a, _):
            a.agent.gather()
            await asyncio.sleep(0.05)
            await a.agent.close()
            assert a.kinds == ["host"]


async def test_close_during_the_checks():
    with dead_server() as dead:
        async with two(trickle=False) as (a, b):
            introduce(a, b)
            a.agent.add_remote(host_candidate(dead))
            task = asyncio.create_task(a.establish())
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.wait([task])
            await a.agent.close()


async def test_close_while_a_name_is_looked_up():
    async with two(trickle=False) as (a, _):
        a.agent.gather()
        a.agent.add_remote(host_candidate(9, host=f"{uuid.uuid4()}.local"))
        a.agent.add_remote(None)
        await asyncio.sleep(0.02)


async def test_close_twice_at_once():
    async with two() as (a, b):
        await establish(a, b)
        await asyncio.gather(a.agent.close(), a.agent.close())
        a.agent.transmit([b"\x16to nobody"])
