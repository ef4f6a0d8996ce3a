"""Who may register, by WebSocket and by polls: tokens, their end, and rates."""

import contextlib
import time

import pytest

from tests.webrtc_signaling.browsers import health, http_url, serve
from tests.webrtc_signaling.pollers import Poller, registered
from tests.webrtc_signaling.samples import ALICE, ALICE_ID, BOB_ID, INSTANCE, OFFER
from webrtc_signaling.messages import Register
from webrtc_signaling.server import client
from webrtc_signaling.server.access import Access
from webrtc_signaling.server.auth import Refused
from webrtc_signaling.server.settings import ServerSettings
from webrtc_transport.errors import ConfigurationError

pytestmark = pytest.mark.anyio


def register_message(peer=ALICE_ID, **fields):
    return Register(peer=peer, instance=INSTANCE, **fields)


def test_without_a_key_no_token_is_needed(token):
    assert Access(ServerSettings()).check(register_message(token=token()), 0) is None


def test_a_key_that_is_none_is_told(tmp_path):
    with pytest.raises(ConfigurationError, match="the token key can't be read"):
        Access(ServerSettings(token_key_file=tmp_path / "missing"))


def test_a_peer_registers_only_so_often():
    access = Access(ServerSettings(max_registrations_per_second=1, max_registration_burst=2))
    for _ in range(2):
        access.check(register_message(), 0)
    with pytest.raises(Refused, match="registers too often") as caught:
        access.check(register_message(), 0)
    assert caught.value.code == "rate-limited"
    access.check(register_message(BOB_ID), 0)
    access.check(register_message(), 1)


def test_who_proves_nothing_uses_up_nothing_of_the_peer():
    access = Access(ServerSettings(max_registrations_per_second=1, max_registration_burst=1))
    access.check(register_message(), 0, unproven_from="192.0.2.1")
    with pytest.raises(Refused, match="registers too often"):
        access.check(register_message(), 0, unproven_from="192.0.2.1")
    access.check(register_message(), 0, unproven_from="192.0.2.2")
    access.check(register_message(), 0)


async def test_a_peer_that_is_named_without_proof_can_still_register():
    async with serve(insecure=True, max_registrations_per_second=0.001, max_registration_burst=1) as server:
        async with server.browser() as stranger:
            assert code(await stranger.register(public_key=None, signature=None)) == "registered"
        async with server.browser() as again:
            reply = await again.register(public_key=None, signature=None)
            assert code(reply) == "rate-limited"
        assert code(await by_websocket(server, ALICE)) == "registered"


async def by_websocket(server, identity, **fields):
    async with server.browser(identity) as browser:
        return await browser.register(**fields)


async def by_polls(server, identity, **fields):
    return await Poller(server, identity).register(**fields)


WAYS = pytest.mark.parametrize("register", [by_websocket, by_polls])


def code(reply):
    return "registered" if reply["type"] == "registered" else reply["data"]["code"]


@WAYS
async def test_who_has_a_token_gets_in_and_nobody_else(register, key_file, token):
    async with serve(token_key_file=key_file, token_audience="us") as server:
        for fields, expected in (
            ({"token": token(audience="us")}, "registered"),
            ({"token": token(audience="us", peers=[ALICE_ID])}, "registered"),
            ({"token": token(audience="us", peers=[BOB_ID])}, "invalid-token"),
            ({"token": token(audience="them")}, "invalid-token"),
            ({"token": token()}, "invalid-token"),
            ({"token": token(-1, audience="us")}, "token-expired"),
            ({}, "token-required"),
            ({"token": ""}, "invalid-token"),
            ({"token": 7}, "invalid-message"),
            ({"token": "x" * 5000}, "invalid-message"),
        ):
            assert code(await register(server, ALICE, **fields)) == expected, fields


@WAYS
async def test_a_token_is_no_proof(register, key_file, token):
    async with serve(token_key_file=key_file) as server:
        reply = await register(server, ALICE, token=token(peers=[BOB_ID]), peer=BOB_ID)
        assert code(reply) == "invalid-proof"


async def test_a_token_in_the_query_counts_for_nothing(key_file, token):
    async with serve(token_key_file=key_file) as server:
        async with server.connect(f"/?token={token()}", headers={"Authorization": f"Bearer {token()}"}):
            pass
        async with server.browser() as browser:
            assert code(await browser.register()) == "token-required"


async def test_a_websocket_ends_with_its_token_and_resumes_with_another(key_file, token, caplog):
    async with serve(token_key_file=key_file) as server, server.browser() as alice:
        assert code(await alice.register(token=token(2))) == "registered"
        assert await alice.refusal() == "token-expired"
        async with server.browser() as again:
            reply = await again.register(token=token(), received=0)
            assert (code(reply), reply["resumed"]) == ("registered", True)
    assert "eyJ" not in caplog.text


async def test_so_do_polls(key_file, token):
    async with serve(token_key_file=key_file) as server:
        alice = await registered(server, ALICE, token=token(2))
        assert [message["data"]["code"] for message in await alice.poll()] == ["token-expired"]
        again = Poller(server, ALICE)
        assert (await again.register(token=token(), received=0))["resumed"]


async def test_what_another_connection_has_taken_over_does_not_end_with_the_old_token(key_file, token):
    async with serve(token_key_file=key_file, heartbeat=5) as server:
        await registered(server, ALICE, token=token(2))
        alice = await registered(server, ALICE, token=token(), received=0)
        assert await alice.poll(wait=3) == []
        assert (await health(server))["registrations"] == 1


async def test_a_token_that_is_good_for_long_is_looked_at_again(key_file, token, monkeypatch):
    """The clock may be set meanwhile, and no timer of the loop hears of that."""
    monkeypatch.setattr(client, "_TOKEN_CHECK", 0.05)
    async with serve(token_key_file=key_file) as server, server.browser() as alice:
        await alice.register(token=token(1000))
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 2000)
        assert await alice.refusal() == "token-expired"


@WAYS
async def test_an_address_connects_only_so_fast(register):
    limits = {"max_connections_per_second_per_address": 0.001, "max_connection_burst_per_address": 2}
    async with serve(**limits, trusted_proxies=["127.0.0.1"]) as server:
        for _ in range(2):
            assert code(await register(server, ALICE)) == "registered"
        for path in ("/poll", "/ws"):
            upgrade = {} if path == "/poll" else {"Upgrade": "websocket", "Connection": "Upgrade"}
            method = "POST" if path == "/poll" else "GET"
            async with server.http.request(method, http_url(server, path), headers=upgrade) as response:
                assert response.status == 429
        # Behind a proxy that is trusted, others are others.
        headers = {"X-Forwarded-For": "198.51.100.7"}
        async with server.http.post(http_url(server, "/poll"), headers=headers) as response:
            assert response.status == 201


async def test_behind_a_proxy_each_client_has_its_own_bound():
    async with (
        serve(max_clients_per_address=1, trusted_proxies=["127.0.0.0/8", "::1"]) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        for number in range(5):
            headers = {"X-Forwarded-For": f"203.0.113.250, 198.51.100.{number}"}
            await stack.enter_async_context(server.connect(headers=headers))
        async with server.http.post(http_url(server, "/poll"), headers=headers) as response:
            assert response.status == 429


async def test_no_proxy_no_word_on_where_one_comes_from():
    async with serve(max_clients_per_address=1) as server, server.connect():
        headers = {"X-Forwarded-For": "198.51.100.1"}
        async with server.http.post(http_url(server, "/poll"), headers=headers) as response:
            assert response.status == 429


async def test_a_signal_still_needs_a_registration(key_file):
    async with serve(token_key_file=key_file) as server, server.browser() as alice:
        await alice.receive()
        await alice.signal("offer", BOB_ID, OFFER.data.model_dump())
        assert await alice.refusal() == "invalid-message"
