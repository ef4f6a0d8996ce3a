"""What holds for backends of rendezvous servers, however they are reached."""

import anyio
import pytest

from tests.logs import LOGGER
from tests.webrtc_signaling.backends import TIMEOUT, backend, two_backends
from tests.webrtc_signaling.samples import ALICE, BOB, OFFER
from tests.webrtc_signaling.servers import signaling_server
from webrtc_signaling.long_poll import LongPollBackend
from webrtc_signaling.testing.meeting import echo, serving, session_pair
from webrtc_signaling.websocket import WebSocketBackend
from webrtc_transport.abc import SignalingContext
from webrtc_transport.config import TransportConfig
from webrtc_transport.errors import (
    ConfigurationError,
    PeerUnreachable,
    SignalingRejected,
    SignalingUnavailable,
)
from webrtc_transport.portal import open_portal

pytestmark = pytest.mark.anyio


async def test_a_url_may_have_a_token_behind_it(key_file, token, caplog):
    caplog.set_level("DEBUG", LOGGER)
    given = token()
    with anyio.fail_after(TIMEOUT):
        async with signaling_server(token_key_file=key_file) as server, open_portal() as portal:
            context = SignalingContext(ALICE, TransportConfig(), portal)
            for kind, url in ((WebSocketBackend, server.url), (LongPollBackend, server.http_url)):
                async with kind.from_url(f"{url}#token={given}", context) as backend:
                    async with await backend.connect(BOB.peer_id):
                        pass
                with pytest.raises(ConfigurationError, match=r"two tokens for .*; leave one out") as caught:
                    kind(f"{url}#token={given}", context, token=given)
                assert given not in str(caught.value)
                for wrong in ("#token=", f"#token={given}é", f"#key={given}"):
                    with pytest.raises(ConfigurationError) as caught:
                        kind.from_url(url + wrong, context)
                    assert given not in str(caught.value)
    assert given not in caplog.text


async def test_a_second_backend_of_a_peer_replaces_the_first():
    with anyio.fail_after(TIMEOUT):
        async with signaling_server() as server, two_backends(server.url) as (alice, bob):
            async with anyio.create_task_group() as task_group:

                async def first(*, task_status):
                    with pytest.raises(SignalingRejected, match="another client") as caught:
                        await bob.serve(None, task_status=task_status)
                    assert caught.value.code == "replaced"

                await task_group.start(first)
                async with backend(server.url, BOB) as second, session_pair(alice, second, BOB.peer_id):
                    pass
            with pytest.raises(SignalingRejected):
                await bob.connect(ALICE.peer_id)


async def test_too_many_sessions_are_refused_by_name(monkeypatch):
    monkeypatch.setattr("webrtc_signaling.session_book.MAX_OPEN_SESSIONS", 1)
    with anyio.fail_after(TIMEOUT):
        async with signaling_server() as server, two_backends(server.url) as (alice, bob):
            async with await alice.connect(BOB.peer_id):
                with pytest.raises(SignalingRejected, match="1 sessions are open"):
                    await alice.connect(BOB.peer_id)
            assert not alice._caller.sessions
            # Of those that peers open, the second is told that we are busy.
            async with session_pair(alice, bob, BOB.peer_id), backend(server.url) as dave:
                async with await dave.connect(BOB.peer_id) as session:
                    await session.send(OFFER)
                    with pytest.raises(SignalingRejected) as caught:
                        await session.receive()
                    assert caught.value.code == "busy"


async def test_an_offer_that_crosses_the_end_of_serving_is_refused():
    with anyio.fail_after(TIMEOUT):
        async with signaling_server() as server, two_backends(server.url) as (alice, bob):
            async with serving(bob, echo):
                pass
            # As if it had been on its way from the engine's loop to ours.
            bob._caller.listen(True)
            async with await alice.connect(BOB.peer_id) as session:
                await session.send(OFFER)
                with pytest.raises(PeerUnreachable, match="not-listening"):
                    await session.receive()
            assert not bob._caller.sessions


async def test_after_its_end_it_says_so():
    async with signaling_server() as server:
        async with backend(server.url) as entered, serving(entered, echo):
            pass
        with pytest.raises((SignalingUnavailable, anyio.ClosedResourceError)):
            await entered.connect(BOB.peer_id)
