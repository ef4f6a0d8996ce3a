import asyncio
import contextlib
import json
import socket

import anyio
import pytest

from tests.leaks import nothing_left
from tests.webrtc_signaling.conformance import SignalingConformance, serving, session_pair
from tests.webrtc_signaling.samples import (
    ALICE,
    ALICE_ID,
    ANSWER,
    BOB,
    BOB_ID,
    OFFER,
    PROOF,
    SESSION,
    candidate,
    envelope,
)
from tests.webrtc_signaling.servers import scripted_server, signaling_server
from webrtc_signaling.client import ClientOptions
from webrtc_signaling.codec import Codec
from webrtc_signaling.messages import (
    Challenge,
    Failure,
    Numbered,
    Registered,
    error_data,
    to_wire,
)
from webrtc_signaling.websocket import WebSocketBackend
from webrtc_transport.abc import SignalingContext
from webrtc_transport.config import TransportConfig
from webrtc_transport.errors import (
    ConfigurationError,
    InvalidSignal,
    PeerUnreachable,
    SignalingRejected,
    SignalingUnavailable,
)
from webrtc_transport.identity import Identity
from webrtc_transport.portal import open_portal

pytestmark = pytest.mark.anyio

TIMEOUT = 20
CHALLENGE = json.dumps(to_wire(Challenge(nonce="nonce-0123456789"), binary=False))


def registered(peer=ALICE_ID, *, received=0, resumed=False):
    message = Registered(peer=peer, proven=True, resumed=resumed, received=received, grace=30)
    return json.dumps(to_wire(message, binary=False))


def failure(code):
    return json.dumps(to_wire(Failure(data=error_data(code, "because")), binary=False))


@pytest.fixture
def free_port():
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@contextlib.asynccontextmanager
async def backend(url, identity=None, **options):
    """A backend with a portal of its own, entered."""
    async with open_portal() as portal:
        context = SignalingContext(identity or Identity.generate(), TransportConfig(), portal)
        options = {"retry_initial": 0.01, **options}
        async with WebSocketBackend(url, context, options=ClientOptions(**options)) as entered:
            yield entered


class TestConformance(SignalingConformance):
    def service(self):
        return signaling_server()

    def backend(self, service, identity):
        return backend(service.url, identity, codec=Codec.MSGPACK if identity is self.bob else Codec.JSON)


@contextlib.asynccontextmanager
async def two_backends(url, **options):
    with anyio.fail_after(TIMEOUT):
        async with backend(url, ALICE, **options) as alice, backend(url, BOB, **options) as bob:
            yield alice, bob


async def send_many(session, numbers, pause):
    for number in numbers:
        await session.send(candidate(number))
        await anyio.sleep(pause)


async def expect_many(session, numbers):
    for number in numbers:
        assert await session.receive() == candidate(number)


@contextlib.asynccontextmanager
async def exchanging(ours, theirs, count=200, pause=0.001):
    """Send candidates both ways meanwhile; they arrive once and in order, or the test fails."""
    async with anyio.create_task_group() as task_group:
        for sender, receiver in ((ours, theirs), (theirs, ours)):
            task_group.start_soon(send_many, sender, range(count), pause)
            task_group.start_soon(expect_many, receiver, range(count))
        yield


async def test_json_and_msgpack_meet():
    with anyio.fail_after(TIMEOUT):
        async with (
            signaling_server() as server,
            backend(server.url, ALICE, codec=Codec.JSON) as alice,
            backend(server.url, BOB, codec=Codec.MSGPACK) as bob,
            session_pair(alice, bob, BOB.peer_id) as (ours, theirs),
        ):
            for sender, receiver in ((ours, theirs), (theirs, ours)):
                await sender.send(OFFER)
                received = await receiver.receive()
                assert received == OFFER
                assert received.proof.signature == PROOF.signature
            async with exchanging(ours, theirs, pause=0):
                pass


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
        async with serving(alice, None), serving(bob, None), anyio.create_task_group() as task_group:
            await server.crash()

            async def dial():
                async with await alice.connect(BOB.peer_id):
                    pass

            task_group.start_soon(dial)
            await anyio.wait_all_tasks_blocked()
            await server.start()


async def test_a_listener_is_found_again_after_a_restart():
    async with signaling_server() as server, two_backends(server.url) as (alice, bob):
        async with serving(bob, None):
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
            with pytest.raises(PeerUnreachable, match="peer-gone"):
                await ours.receive()


def break_for_good(client):
    client._url = "ws://127.0.0.1:1"
    client._wire._socket._response.connection.transport.abort()


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


# --- services that can't be used --------------------------------------------------------------------------------------


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
    assert "onnect" in await use(f"ws://127.0.0.1:{free_port}")


async def test_nobody_answers_there():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert "within 0.5 s" in await use(f"ws://127.0.0.1:{server.getsockname()[1]}")


async def test_it_has_no_tls():
    async with signaling_server() as server:
        await use(server.url.replace("ws:", "wss:"))


async def test_it_is_no_websocket_server():
    async with signaling_server() as server:
        assert "404" in await use(f"{server.url}/nothing-here")


async def test_its_name_is_unknown(monkeypatch):
    async def resolve(host, port, *, family=0):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("webrtc_signaling.client.resolve", resolve)
    assert "not known" in await use("ws://signaling.invalid:8765")


async def test_its_name_server_is_dead(monkeypatch):
    monkeypatch.setattr("webrtc_signaling.client.resolve", lambda *_args, **_kwargs: asyncio.sleep(3600))
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
    assert len(attempts) == 1


# --- services that misbehave ------------------------------------------------------------------------------------------


def registering(script):
    """A service that registers whoever comes; ``script`` goes on."""

    async def whole(websocket):
        await websocket.send_str(CHALLENGE)
        register = json.loads((await websocket.receive()).data)
        await websocket.send_str(registered(peer=register["peer"]))
        await script(websocket, register)

    return whole


def service_signal(signal, *, seq=1, recipient=ALICE_ID, **changes):
    message = Numbered(envelope(signal, sender=BOB_ID, recipient=recipient), seq, 0)
    return json.dumps(to_wire(message, binary=False) | changes)


async def test_a_service_that_freezes_is_noticed():
    came = []

    async def script(websocket, _register):
        came.append(1)
        # It doesn't even answer pings, which receive() would do.
        await asyncio.sleep(3600)

    with anyio.fail_after(TIMEOUT):
        async with scripted_server(registering(script), autoping=False) as server:
            async with backend(server.url, heartbeat=0.1) as entered, serving(entered, None):
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
        async with serving(entered, None):
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


@pytest.mark.parametrize(
    "url",
    [
        "http://host",
        "ws://",
        "ws://:80",
        "ws://host:port",
        "ws://host:99999",
        "ws://host#x",
        "wss",
        "ws://[::1",
    ],
)
def test_another_address_is_refused(url):
    with pytest.raises(ConfigurationError, match="ws://host:port"):
        WebSocketBackend(url, SignalingContext(ALICE, TransportConfig(), None))


async def test_nothing_happens_before_it_is_used(free_port):
    async with nothing_left(), backend(f"ws://127.0.0.1:{free_port}"):
        pass


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
            async with serving(bob, None):
                pass
            # As if it had been on its way from the engine's loop to ours.
            bob._caller.listen(True)
            async with await alice.connect(BOB.peer_id) as session:
                await session.send(OFFER)
                with pytest.raises(PeerUnreachable, match="not-listening"):
                    await session.receive()
            assert not bob._caller.sessions


async def test_the_url_is_enough():
    with anyio.fail_after(TIMEOUT):
        async with signaling_server() as server, open_portal() as portal:
            context = SignalingContext(ALICE, TransportConfig(), portal)
            async with WebSocketBackend.from_url(server.url, context) as entered, serving(entered, None):
                assert await server.call(len, server.hub) == 1


async def test_after_its_end_it_says_so():
    async with signaling_server() as server:
        async with backend(server.url) as entered, serving(entered, None):
            pass
        with pytest.raises((SignalingUnavailable, anyio.ClosedResourceError)):
            await entered.connect(BOB.peer_id)
