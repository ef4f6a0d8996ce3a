"""The client and services that come and go, can't be used, or misbehave."""

import asyncio
import json
import logging
import socket

import anyio
import pytest

from tests.webrtc_signaling.backends import (
    CHALLENGE,
    TIMEOUT,
    backend,
    exchanging,
    failure,
    registered,
    registering,
    service_signal,
    two_backends,
)
from tests.webrtc_signaling.samples import (
    ALICE,
    ANSWER,
    BOB,
    BOB_ID,
    OFFER,
    SESSION,
    candidate,
)
from tests.webrtc_signaling.servers import scripted_server, signaling_server
from webrtc_signaling.codec import Codec
from webrtc_signaling.testing.meeting import echo, serving, session_pair
from webrtc_transport.errors import (
    InvalidSignal,
    PeerUnreachable,
    SignalingRejected,
    SignalingUnavailable,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
def free_port():
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


async def test_sessions_outlive_broken_connections():
    async with signaling_server() as server, two_backends(server.url) as (alice, bob):
        async with session_pair(alice, bob, BOB.peer_id) as (ours, theirs), exchanging(ours, theirs):
            for _ in range(5):
                await server.cut()
                await anyio.sleep(0.03)


async def test_sessions_outlive_a_restart_of_the_server():
    async with signaling_server() as server, two_backends(server.url) as (alice, bob):
        async with session_pair(alice, bob, BOB.peer_id) as (ours, theirs), exchanging(ours, theirs):
            for end in (server.stop, server.crash, server.crash):
                await anyio.sleep(0.03)
                await end()
                await server.start()


async def test_what_is_sent_during_an_outage_arrives_after_it():
    async with signaling_server() as server, two_backends(server.url) as (alice, bob):
        async with session_pair(alice, bob, BOB.peer_id) as (ours, theirs):
            await server.crash()
            async with exchanging(ours, theirs, count=50, pause=0):
                await anyio.sleep(0.05)
                await server.start()


async def test_an_end_during_an_outage_is_heard_after_it():
    async with signaling_server() as server, two_backends(server.url) as (alice, bob):
        async with session_pair(alice, bob, BOB.peer_id) as (ours, theirs):
            await server.crash()
            await ours.aclose()
            await server.start()
            with pytest.raises(anyio.EndOfStream):
                await theirs.receive()


async def test_a_service_that_was_there_before_is_waited_for():
    async with signaling_server() as server, two_backends(server.url) as (alice, bob):
        async with serving(alice, echo), serving(bob, echo), anyio.create_task_group() as task_group:
            await server.crash()

            async def dial():
                async with await alice.connect(BOB.peer_id):
                    pass

            task_group.start_soon(dial)
            await anyio.wait_all_tasks_blocked()
            await server.start()


async def test_a_listener_is_found_again_after_a_restart():
    async with signaling_server() as server, two_backends(server.url) as (alice, bob):
        async with serving(bob, echo):
            await server.crash()
            await server.start()
            while not await server.call(len, server.hub):
                await anyio.sleep(0.01)
        async with session_pair(alice, bob, BOB.peer_id):
            pass


async def test_a_session_of_which_the_service_is_gone_too_long_fails_by_name():
    async with signaling_server(grace=0.1) as server, two_backends(server.url) as (alice, bob):
        async with session_pair(alice, bob, BOB.peer_id) as (ours, theirs):
            await server.crash()
            for session in (ours, theirs):
                with pytest.raises(SignalingUnavailable, match=server.url):
                    await session.receive()
                with pytest.raises(SignalingUnavailable):
                    await session.send(ANSWER)


async def test_a_session_whose_peer_is_gone_too_long_fails_by_name():
    async with signaling_server(grace=0.1) as server, two_backends(server.url) as (alice, bob):
        async with session_pair(alice, bob, BOB.peer_id) as (ours, _):
            await bob._portal.call(break_for_good, bob._caller.client)
            with pytest.raises(PeerUnreachable, match=r"peer-gone|undeliverable"):
                await ours.receive()


def break_for_good(client):
    client._url = "ws://127.0.0.1:1"
    client._wire._socket._response.connection.transport.abort()


async def use(url, **options):
    """Try both ways to begin; both have to tell the same, within a bounded time."""
    async with backend(url, connect_timeout=0.5, **options) as entered:
        with anyio.fail_after(5), pytest.raises(SignalingUnavailable) as caught:
            await entered.serve(None)
        with anyio.fail_after(5), pytest.raises(SignalingUnavailable) as again:
            await entered.connect(BOB.peer_id)
    for error in (caught.value, again.value):
        assert url in str(error)
    return str(caught.value)


async def test_nobody_listens_there(free_port):
    url = f"ws://127.0.0.1:{free_port}"
    assert await use(url) == f"no connection to {url}: connection refused; is the server running there?"


def with_secrets(url):
    scheme, _, place = url.partition("://")
    return f"{scheme}://anna:SECRET@{place}/?token=SECRET", f"{scheme}://…@{place}/?…"


async def test_secrets_in_the_url_are_in_no_error(free_port):
    url, shown = with_secrets(f"ws://127.0.0.1:{free_port}")
    async with backend(url) as entered:
        with anyio.fail_after(5), pytest.raises(SignalingUnavailable) as caught:
            await entered.connect(BOB.peer_id)
    assert str(caught.value) == f"no connection to {shown}: connection refused; is the server running there?"


async def test_secrets_in_the_url_are_in_no_refusal():
    async def script(websocket):
        await websocket.send_str(CHALLENGE)
        await websocket.receive()
        await websocket.send_str(failure("replaced"))

    async with scripted_server(script) as server:
        url, shown = with_secrets(server.url)
        async with backend(url) as entered:
            with anyio.fail_after(5), pytest.raises(SignalingRejected) as caught:
                await entered.connect(BOB.peer_id)
    assert str(caught.value).startswith(f"{shown} refuses us: ")


async def test_secrets_in_the_url_are_in_no_log(caplog):
    caplog.set_level(logging.DEBUG, "libp2p.transport.webrtc")
    with anyio.fail_after(TIMEOUT):
        async with signaling_server(insecure=True) as server:
            url, shown = with_secrets(server.url)
            async with backend(url) as entered, serving(entered, echo):
                await server.cut()
                while " again" not in caplog.text:
                    await anyio.sleep(0.01)
    assert f"registered with {shown} as" in caplog.text
    assert f"no connection to {shown}: " in caplog.text
    assert f"{shown} says: " in caplog.text
    assert "SECRET" not in caplog.text


async def test_nobody_answers_there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert "within 0.5 s" in await use(f"ws://127.0.0.1:{server.getsockname()[1]}")


async def test_it_has_no_tls():
    async with signaling_server() as server:
        reason = await use(server.url.replace("ws:", "wss:"))
    assert "ssl:default" not in reason
    assert reason.endswith("write ws:// in place of wss://")


async def test_it_is_no_websocket_server():
    async with signaling_server() as server:
        assert "404" in await use(f"{server.url}/nothing-here")


async def test_its_name_is_unknown(monkeypatch):
    async def resolve(host, port, *, family=0):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("webrtc_signaling.resolver.resolve", resolve)
    assert "not known" in await use("ws://signaling.invalid:8765")


async def test_its_name_server_is_dead(monkeypatch):
    monkeypatch.setattr("webrtc_signaling.resolver.resolve", lambda *_args, **_kwargs: asyncio.sleep(3600))
    assert "within 0.5 s" in await use("ws://signaling.invalid:8765")


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        (["hello"], "JSON"),
        (['{"version":1,"type":"challenge"}'], "nonce"),
        (['{"version":2,"type":"challenge"}'], "version"),
        (['{"version":1,"type":"ack","ack":0}'], "expected Challenge"),
        ([b"\x80"], "text frames"),
        (["[" * 100_000], "JSON"),
        (["x" * 200_000], ""),
        ([CHALLENGE, CHALLENGE], "expected Registered"),
        ([CHALLENGE, registered(received=1, resumed=True)], "received"),
        ([CHALLENGE, failure("server-full")], "server-full"),
        ([], "closed"),
    ],
)
async def test_it_speaks_something_else(frames, reason):
    async def script(websocket):
        for frame in frames:
            await (websocket.send_str if isinstance(frame, str) else websocket.send_bytes)(frame)
        if len(frames) > 1:
            await websocket.receive()

    async with scripted_server(script) as server:
        assert reason in await use(server.url)


async def test_it_knows_another_encoding_only():
    async with scripted_server(lambda websocket: websocket.receive(), protocols=()) as server:
        assert "subprotocol" in await use(server.url, codec=Codec.MSGPACK)


@pytest.mark.parametrize("code", ["unsupported-version", "invalid-proof", "replaced"])
async def test_it_refuses_us_for_good(code):
    attempts = []

    async def script(websocket):
        attempts.append(websocket)
        await websocket.send_str(CHALLENGE)
        await websocket.receive()
        await websocket.send_str(failure(code))

    with anyio.fail_after(TIMEOUT):
        async with scripted_server(script) as server, backend(server.url) as entered:
            for attempt in (entered.connect(BOB.peer_id), entered.serve(None), entered.connect(BOB.peer_id)):
                with pytest.raises(SignalingRejected) as caught:
                    await attempt
                assert caught.value.code == code
                assert ("one identity is for one process at a time" in str(caught.value)) is (
                    code == "replaced"
                )
    assert len(attempts) == 1


async def test_a_service_that_freezes_is_noticed():
    came = []

    async def script(websocket, _register):
        came.append(1)
        # It doesn't even answer pings, which receive() would do.
        await asyncio.sleep(3600)

    with anyio.fail_after(TIMEOUT):
        async with scripted_server(registering(script), autoping=False) as server:
            async with backend(server.url, heartbeat=0.1) as entered, serving(entered, echo):
                while len(came) < 3:
                    await anyio.sleep(0.01)


@pytest.mark.parametrize(
    "frame",
    [
        "garbage",
        CHALLENGE,
        service_signal(OFFER, seq=2),
        service_signal(OFFER, recipient=BOB_ID),
        service_signal(OFFER, ack=5),
        service_signal(OFFER, **{"from": "1111"}),
        '{"version":1,"type":"ack","ack":99}',
    ],
    # Not the frames, which differ from process to process.
    ids=["garbage", "challenge", "gap", "other-recipient", "too-high-ack", "forged-from", "ack-of-nothing"],
)
async def test_nonsense_from_the_service_costs_the_connection_and_nothing_more(frame, caplog):
    came = []

    async def script(websocket, _register):
        came.append(1)
        await websocket.send_str(frame if len(came) < 3 else service_signal(OFFER))
        came.append((await websocket.receive()).data)

    with anyio.fail_after(TIMEOUT):
        async with scripted_server(registering(script)) as server, backend(server.url, ALICE) as entered:
            arrived = anyio.Event()

            async def handler(session):
                assert await session.receive() == OFFER
                arrived.set()

            async with serving(entered, handler):
                await arrived.wait()
    assert came[1] == 1002
    assert "Traceback" not in caplog.text


async def test_a_malformed_signal_costs_its_session_and_nothing_more(caplog):
    heard = []

    async def script(websocket, _register):
        other = "another-session-0"
        await websocket.send_str(service_signal(OFFER))
        await websocket.send_str(service_signal(OFFER, seq=2, session=other))
        await websocket.send_str(service_signal(candidate(1), seq=3, index=1, data={"candidate": 5}))
        await websocket.send_str(service_signal(candidate(1), seq=4, index=1, session=other))
        async for message in websocket:
            heard.append(json.loads(message.data))  # noqa: PERF401 - one by one, as they come

    results = {}

    async def handler(session):
        assert await session.receive() == OFFER
        try:
            results[session.session_id] = await session.receive()
        except InvalidSignal as exc:
            results[session.session_id] = exc

    with anyio.fail_after(TIMEOUT):
        async with scripted_server(registering(script)) as server, backend(server.url, ALICE) as entered:
            async with serving(entered, handler):
                while len(results) < 2 or len(heard) < 2:
                    await anyio.sleep(0.01)
    assert isinstance(results[SESSION], InvalidSignal)
    assert results["another-session-0"] == candidate(1)
    [error] = [message for message in heard if message["type"] == "error"]
    assert (error["session"], error["data"]["code"]) == (SESSION, "invalid-signal")
    assert "Traceback" not in caplog.text


async def test_a_notice_of_the_service_is_logged(caplog):
    async with signaling_server(insecure=True) as server, backend(server.url) as entered:
        async with serving(entered, echo):
            assert "without proof" in caplog.text


async def test_a_queue_that_nobody_empties_is_bounded(monkeypatch):
    monkeypatch.setattr("webrtc_signaling.client.MAX_QUEUED_MESSAGES", 20)

    async def script(websocket, _register):
        async for _ in websocket:
            pass

    with anyio.fail_after(TIMEOUT):
        async with scripted_server(registering(script)) as server, backend(server.url) as entered:
            async with await entered.connect(BOB.peer_id) as session:
                with pytest.raises(SignalingUnavailable, match="queue"):
                    for number in range(21):
                        await session.send(candidate(number))


async def test_a_connection_that_is_there_again_is_told_as_loudly_as_its_loss(caplog):
    def warnings():
        return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]

    with anyio.fail_after(TIMEOUT):
        async with signaling_server() as server, backend(server.url) as entered, serving(entered, echo):
            assert warnings() == []
            await server.cut()
            while len(warnings()) < 2:
                await anyio.sleep(0.01)
    lost, again = warnings()
    assert lost.endswith("; reconnecting")
    assert again.startswith(f"registered with {server.url} as ")
    assert again.endswith(" again")
