"""Peers at an address of HTTP, where WebSockets get through and where they don't."""

import collections
import contextlib
import logging

import anyio
import pytest
from aiohttp import web

from tests.webrtc_signaling.backends import TIMEOUT, backend, exchanging
from tests.webrtc_signaling.samples import ALICE, BOB
from tests.webrtc_signaling.servers import PollingServer, signaling_server
from webrtc_signaling.codec import Codec
from webrtc_signaling.long_poll import LongPollBackend
from webrtc_signaling.server.connection import ClientConnection
from webrtc_signaling.server.long_poll import PollConnection
from webrtc_signaling.testing import SignalingConformance
from webrtc_signaling.testing.meeting import echo, serving, session_pair
from webrtc_transport.abc import SignalingContext
from webrtc_transport.config import TransportConfig
from webrtc_transport.errors import ConfigurationError, SignalingUnavailable

pytestmark = pytest.mark.anyio


class TestConformance(SignalingConformance):
    @contextlib.asynccontextmanager
    async def service(self):
        async with PollingServer() as server:
            yield server.http_url


async def links(server):
    return await server.call(lambda: {type(r.link) for r in server.hub.roster._registrations.values()})


async def test_a_websocket_is_taken_where_it_gets_through():
    with anyio.fail_after(TIMEOUT):
        async with signaling_server() as server, backend(server.http_url) as alice, serving(alice, echo):
            assert await links(server) == {ClientConnection}


async def test_polls_take_over_where_it_does_not(caplog):
    caplog.set_level(logging.INFO, "libp2p.transport.webrtc.signaling")
    with anyio.fail_after(TIMEOUT):
        async with PollingServer() as server, backend(server.http_url) as alice, serving(alice, echo):
            assert await links(server) == {PollConnection}
            assert "no WebSocket to http://" in caplog.text
            assert "403" in caplog.text


async def test_secrets_in_the_url_are_not_shown(caplog):
    caplog.set_level(logging.DEBUG, "libp2p.transport.webrtc")
    with anyio.fail_after(TIMEOUT):
        async with PollingServer() as server:
            url = server.http_url.replace("//", "//anna:SECRET@") + "/?token=SECRET"
            async with backend(url) as alice, serving(alice, echo):
                assert await links(server) == {PollConnection}
    shown = server.http_url.replace("//", "//…@") + "/?…"
    assert f"no WebSocket to {shown} (HTTP status 403; " in caplog.text
    assert "SECRET" not in caplog.text


async def test_polls_have_the_query_of_the_url():
    tokens = []

    async def note(request, handle):
        tokens.append(request.query.get("token"))
        return await handle(request)

    with anyio.fail_after(TIMEOUT):
        async with PollingServer(note) as server, backend(f"{server.http_url}/?token=abc") as alice:
            async with serving(alice, echo):
                assert await links(server) == {PollConnection}
    assert set(tokens) == {"abc"}


@pytest.mark.parametrize("codec", list(Codec))
async def test_a_peer_that_polls_and_one_with_a_websocket_meet(codec):
    with anyio.fail_after(TIMEOUT):
        async with (
            PollingServer() as server,
            backend(server.http_url, ALICE) as alice,
            backend(server.websocket_url, BOB, codec=codec) as bob,
        ):
            async with (
                session_pair(alice, bob, BOB.peer_id) as (ours, theirs),
                exchanging(ours, theirs, count=20),
            ):
                pass
            async with (
                session_pair(bob, alice, ALICE.peer_id) as (ours, theirs),
                exchanging(ours, theirs, count=20),
            ):
                pass


async def test_sessions_outlive_connections_that_the_server_forgets():
    with anyio.fail_after(TIMEOUT):
        async with PollingServer() as server:
            async with backend(server.http_url, ALICE) as alice, backend(server.http_url, BOB) as bob:
                async with (
                    session_pair(alice, bob, BOB.peer_id) as (ours, theirs),
                    exchanging(ours, theirs, count=20),
                ):
                    for _ in range(5):
                        await server.cut()
                        await anyio.sleep(0.03)


async def test_sessions_outlive_a_restart_of_the_server():
    with anyio.fail_after(TIMEOUT):
        async with PollingServer() as server:
            async with backend(server.http_url, ALICE) as alice, backend(server.http_url, BOB) as bob:
                async with (
                    session_pair(alice, bob, BOB.peer_id) as (ours, theirs),
                    exchanging(ours, theirs, count=20),
                ):
                    for end in (server.stop, server.crash, server.crash):
                        await anyio.sleep(0.03)
                        await end()
                        await server.start()


async def test_requests_and_answers_that_are_lost_lose_no_signal(caplog):
    counts = collections.Counter()

    async def mishap(request, handle):
        """Every second request is lost, or its answer; the first of a connection opens it, or registers."""
        stream = (request.headers.get("Signaling-Connection"), request.method)
        number = counts[stream] % 6 if stream[0] else 0
        counts[stream] += 1
        if number == 1:
            request.transport.abort()
        if number == 3:
            raise web.HTTPBadGateway
        response = await handle(request)
        if number == 5:
            request.transport.abort()
        return response

    with anyio.fail_after(TIMEOUT):
        async with PollingServer(mishap) as server:
            async with backend(server.http_url, ALICE) as alice, backend(server.http_url, BOB) as bob:
                async with (
                    session_pair(alice, bob, BOB.peer_id) as (ours, theirs),
                    exchanging(ours, theirs, count=20),
                ):
                    pass
    assert min(counts[stream] for stream in counts if stream[0] and stream[1] != "DELETE") > 6
    assert "reconnecting" not in caplog.text


async def test_polls_take_over_where_websockets_open_and_nothing_comes_through():
    with anyio.fail_after(TIMEOUT):
        async with PollingServer(swallow=True) as server:
            async with backend(server.http_url, connect_timeout=2, close_timeout=0.1) as alice:
                async with serving(alice, echo):
                    assert await links(server) == {PollConnection}


@pytest.mark.parametrize("url", ["ws://host", "http://", "https://:80", "http://host#x", "http"])
def test_another_address_is_refused(url):
    with pytest.raises(ConfigurationError, match="https://host:port"):
        LongPollBackend(url, SignalingContext(ALICE, TransportConfig(), None))


async def test_where_nobody_is_polls_are_not_tried(caplog):
    caplog.set_level(logging.INFO, "libp2p.transport.webrtc.signaling")
    with anyio.fail_after(TIMEOUT):
        async with backend("http://127.0.0.1:1") as alice:
            with pytest.raises(SignalingUnavailable, match="connection refused; is the server running there"):
                await alice.connect(BOB.peer_id)
    assert "polling" not in caplog.text
