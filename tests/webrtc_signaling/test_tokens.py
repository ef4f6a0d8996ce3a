"""Tokens of the application, in the application's own event loop, and what a client makes of refusals."""

import contextlib

import anyio
import anyio.lowlevel
import pytest
import sniffio

from tests.logs import LOGGER
from tests.webrtc_signaling.backends import TIMEOUT
from tests.webrtc_signaling.samples import ALICE, BOB, OFFER
from tests.webrtc_signaling.servers import signaling_server
from webrtc_signaling.client import ClientOptions
from webrtc_signaling.long_poll import LongPollBackend
from webrtc_signaling.testing.meeting import serving, session_pair
from webrtc_signaling.tokens import TokenDesk, check_token_source
from webrtc_signaling.websocket import WebSocketBackend
from webrtc_transport.abc import SignalingContext
from webrtc_transport.config import TransportConfig
from webrtc_transport.errors import ConfigurationError, SignalingRejected, SignalingUnavailable
from webrtc_transport.portal import open_portal

pytestmark = pytest.mark.anyio


@contextlib.asynccontextmanager
async def entered(url, token, identity=ALICE, **options):
    """A backend with a token, and a portal of its own."""
    kind = LongPollBackend if url.startswith("http") else WebSocketBackend
    options = ClientOptions(retry_initial=0.01, **options)
    async with open_portal() as portal:
        context = SignalingContext(identity, TransportConfig(), portal)
        async with kind(url, context, options=options, token=token) as backend:
            yield backend


async def refused(url, token):
    with anyio.fail_after(TIMEOUT):
        async with entered(url, token) as backend:
            with pytest.raises(SignalingRejected) as caught:
                await backend.connect(BOB.peer_id)
    assert "eyJ" not in str(caught.value)
    return caught.value.code, str(caught.value)


async def test_a_token_lets_in(key_file, token):
    async with signaling_server(token_key_file=key_file) as server:
        for url in (server.url, server.http_url):
            async with entered(url, token()) as backend, await backend.connect(BOB.peer_id):
                pass


async def test_refusals_are_final_and_say_what_to_do(key_file, token):
    async with signaling_server(token_key_file=key_file) as server:
        for wrong_token, code, cure in (
            (None, "token-required", "RendezvousServer(url, token=…) has one"),
            (token(peers=[str(BOB.peer_id)]), "invalid-token", "ask the operator"),
            (token(-1), "token-expired", "takes an async function that gets fresh ones"),
        ):
            assert (await refused(server.url, wrong_token))[0] == code
            assert cure in (await refused(server.http_url, wrong_token))[1]


async def test_a_function_is_called_for_each_connection_where_the_application_runs(key_file, token, caplog):
    caplog.set_level("WARNING", LOGGER)
    libraries = []

    async def fetch():
        libraries.append(sniffio.current_async_library())
        await anyio.lowlevel.checkpoint()
        return token(2 if len(libraries) == 1 else 60)

    async with signaling_server(token_key_file=key_file) as server:
        with anyio.fail_after(TIMEOUT):
            async with entered(server.url, fetch) as alice, entered(server.url, token(), BOB) as bob:
                async with session_pair(alice, bob, BOB.peer_id) as (ours, theirs):
                    while len(libraries) < 2:
                        await anyio.sleep(0.01)
                    # The session has outlived the token with which it began.
                    await ours.send(OFFER)
                    assert await theirs.receive() == OFFER
    assert libraries == [sniffio.current_async_library()] * 2
    assert "token-expired" in caplog.text
    assert "eyJ" not in caplog.text


async def failing():
    raise LookupError("no token today")


async def wrong():
    return b"eyJ"


def not_async():
    return "eyJ"


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (failing, "the function token raised LookupError: no token today"),
        (wrong, "what the function token returned is no token: a token is text, not bytes"),
        (not_async, "the function token isn't async; write it with `async def`"),
    ],
)
async def test_a_function_that_fails_costs_an_attempt(key_file, function, reason):
    async with signaling_server(token_key_file=key_file) as server:
        with anyio.fail_after(TIMEOUT):
            async with entered(server.url, function) as backend:
                with pytest.raises(SignalingUnavailable, match=reason):
                    await backend.connect(BOB.peer_id)


async def test_a_function_that_never_returns_costs_no_more_than_an_attempt(key_file):
    async with signaling_server(token_key_file=key_file) as server:
        with anyio.fail_after(TIMEOUT):
            async with entered(server.url, anyio.sleep_forever, connect_timeout=0.2) as backend:
                with pytest.raises(
                    SignalingUnavailable, match=r"no token from the application's function within 0\.2 s"
                ):
                    await backend.connect(BOB.peer_id)


async def test_a_function_may_fail_and_then_work(key_file, token):
    calls = []

    async def fetch():
        calls.append(None)
        if len(calls) == 1:
            raise LookupError("not yet")
        return token()

    async with signaling_server(token_key_file=key_file) as server, entered(server.url, fetch) as backend:
        with anyio.fail_after(TIMEOUT):
            with pytest.raises(SignalingUnavailable):
                await backend.connect(BOB.peer_id)
            async with serving(backend, lambda _session: anyio.sleep_forever()):
                pass


@pytest.mark.parametrize("wrong", [7, b"eyJ", "", "ab\n", "é", "x" * 5000, ["eyJ"]])
def test_what_is_no_token_is_refused_and_not_shown(wrong):
    with pytest.raises(ConfigurationError, match="token") as caught:
        check_token_source(wrong)
    assert "eyJ'" not in str(caught.value).replace("'eyJ…'", "")


async def test_who_has_left_is_asked_for_nothing():
    async with open_portal() as portal:
        calls = []
        desk = TokenDesk(lambda: calls.append(None), portal)
        desk._start(desk._source, None)
        assert not calls
