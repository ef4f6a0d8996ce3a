"""The server as a browser sees it: challenge, registration, signals, and what it is refused."""

import asyncio
import base64
import contextlib
import json

import msgpack
import pytest
from aiohttp import WSMsgType

from tests.webrtc_signaling.browsers import OFFER_DATA, TIMEOUT, health, serve
from tests.webrtc_signaling.samples import ALICE, ALICE_ID, BOB, BOB_ID, INSTANCE, SESSION
from webrtc_signaling.limits import MAX_MESSAGE_SIZE

pytestmark = pytest.mark.anyio


async def test_two_browsers_exchange_descriptions():
    async with serve() as server, server.registered(ALICE) as alice, server.registered(BOB) as bob:
        proof = {"public_key": "AA==", "signature": "AA==", "issued_at": 1}
        await alice.signal("offer", BOB_ID, OFFER_DATA, proof=proof)
        offer = await bob.receive()
        assert offer == {
            "version": 1,
            "type": "offer",
            "from": ALICE_ID,
            "to": BOB_ID,
            "session": SESSION,
            "index": 0,
            "seq": 1,
            "ack": 0,
            "data": OFFER_DATA,
            "proof": proof,
        }
        await bob.signal("answer", ALICE_ID, {"type": "answer", "sdp": "v=0\r\n"})
        await bob.signal("candidate", ALICE_ID, None, index=1)
        answer, end = await alice.receive(), await alice.receive()
        assert (answer["type"], answer["ack"]) == ("answer", 1)
        assert (end["type"], end["data"], end["index"]) == ("candidate", None, 1)


async def test_registering_tells_what_was_granted():
    async with serve(grace=12) as server, server.browser() as browser:
        assert await browser.register() == {
            "version": 1,
            "type": "registered",
            "peer": ALICE_ID,
            "proven": True,
            "resumed": False,
            "received": 0,
            "grace": 12.0,
        }


async def test_msgpack_has_binary_frames():
    async with serve() as server, server.connect(protocols=["webrtc-signaling.v1.msgpack"]) as socket:
        challenge = msgpack.unpackb((await socket.receive()).data)
        payload = f"webrtc-signaling-register/1\n{challenge['nonce']}\n{ALICE_ID}".encode()
        register = {
            "version": 1,
            "type": "register",
            "peer": ALICE_ID,
            "public_key": ALICE.public_key.to_protobuf(),
            "signature": ALICE.sign(payload),
            "instance": INSTANCE,
        }
        await socket.send_bytes(msgpack.packb(register))
        assert msgpack.unpackb((await socket.receive()).data)["type"] == "registered"


async def test_messages_are_acknowledged_without_being_asked():
    async with serve() as server, server.registered(ALICE) as alice, server.registered(BOB):
        await alice.signal("offer", BOB_ID, OFFER_DATA)
        assert json.loads((await alice.socket.receive(TIMEOUT)).data) == {
            "version": 1,
            "type": "ack",
            "ack": 1,
        }


async def test_a_cut_loses_nothing():
    async with serve() as server, server.registered(BOB, instance="instance-of-bob-0") as bob:
        async with server.registered(ALICE) as alice:
            await bob.signal("offer", ALICE_ID, OFFER_DATA)
            await alice.receive()
            await alice.signal("answer", BOB_ID, {"type": "answer", "sdp": "v=0\r\n"})
            await bob.receive()
            alice.socket._response.connection.transport.abort()
            while server.hub._registrations[ALICE_ID].link is not None:
                await asyncio.sleep(0)
            await bob.signal("candidate", ALICE_ID, {"candidate": "1"}, index=1)
            await bob.signal("candidate", ALICE_ID, {"candidate": "2"}, index=2)
        async with server.browser(ALICE) as again:
            again.received, again.sent = alice.received, alice.sent
            reply = await again.register(received=1)
            assert (reply["resumed"], reply["received"]) == (True, 1)
            assert [(await again.receive())["index"] for _ in range(2)] == [1, 2]
            # The same once more: it was not acknowledged in time, for all that Alice knows.
            await again.signal("answer", BOB_ID, {"type": "answer", "sdp": "v=0\r\n"}, seq=1)
            await again.signal("candidate", BOB_ID, {"candidate": "3"}, seq=2, index=1)
            assert (await bob.receive())["data"]["candidate"] == "3"


async def test_a_new_connection_takes_over_from_one_that_is_half_open():
    async with serve() as server, server.registered(ALICE) as old, server.registered(BOB) as bob:
        async with server.browser(ALICE) as new:
            assert (await new.register(received=0))["resumed"]
            async with asyncio.timeout(TIMEOUT):
                while not old.socket.closed:
                    await old.socket.receive()
            await bob.signal("offer", ALICE_ID, OFFER_DATA)
            assert (await new.receive())["type"] == "offer"
            assert len(server.hub) == 2


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_goodbye_ends_the_registration(code):
    async with serve() as server:
        async with server.registered(ALICE) as alice:
            await alice.socket.close(code=code)
        while len(server.hub):
            await asyncio.sleep(0)


async def test_another_instance_replaces_the_first():
    async with serve() as server, server.registered(ALICE) as first:
        async with server.registered(ALICE, instance="another-instance-0"):
            assert await first.refusal() == "replaced"


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": base64.b64encode(bytes(64)).decode()},
        {"public_key": base64.b64encode(BOB.public_key.to_protobuf()).decode()},
        {"peer": BOB_ID},
        {"signature": None},
        {"public_key": None, "signature": None},
    ],
)
async def test_a_wrong_proof_is_refused(changes):
    async with serve() as server, server.browser() as browser:
        reply = await browser.register(**changes)
        assert reply["data"]["code"] == "invalid-proof"
        await browser.closed()
        assert not len(server.hub)


async def test_a_proof_is_good_for_one_connection():
    async with serve() as server, server.browser() as first, server.browser() as second:
        await first.receive()
        challenge = await second.receive()
        payload = f"webrtc-signaling-register/1\n{challenge['nonce']}\n{ALICE_ID}".encode()
        await first.send_json(
            {
                "version": 1,
                "type": "register",
                "peer": ALICE_ID,
                "public_key": base64.b64encode(ALICE.public_key.to_protobuf()).decode(),
                "signature": base64.b64encode(ALICE.sign(payload)).decode(),
                "instance": INSTANCE,
            }
        )
        assert await first.refusal() == "invalid-proof"


async def test_a_forged_sender_is_refused_and_goes_nowhere():
    async with serve() as server, server.registered(ALICE) as alice, server.registered(BOB) as bob:
        await alice.signal("offer", BOB_ID, OFFER_DATA, **{"from": BOB_ID})
        error = await alice.receive()
        assert (error["data"]["code"], error["session"], error["peer"]) == ("forged-from", SESSION, BOB_ID)
        await alice.signal("offer", BOB_ID, OFFER_DATA, session="another-session-0")
        assert (await bob.receive())["session"] == "another-session-0"


async def test_an_unknown_peer_is_not_found():
    async with serve() as server, server.registered(ALICE) as alice:
        await alice.signal("offer", BOB_ID, OFFER_DATA)
        assert (await alice.receive())["data"]["code"] == "peer-not-found"


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("garbage", "invalid-message"),
        (b"\x80", "invalid-message"),
        ("[" * 100_000, "invalid-message"),
        ('{"version":1}', "invalid-message"),
        ('{"version":1,"type":"hello"}', "invalid-message"),
        ('{"version":1,"type":"ack","ack":1}', "invalid-message"),
        ('{"version":3,"type":"ack","ack":0}', "unsupported-version"),
        ('{"version":1,"type":"offer"}', "invalid-message"),
    ],
)
@pytest.mark.parametrize("first", [True, False])
async def test_nonsense_costs_the_connection(frame, code, first):
    async with serve() as server, server.registered(BOB) as bob, server.browser(ALICE) as alice:
        if first:
            await alice.receive()
        else:
            await alice.register()
        await (alice.socket.send_bytes if isinstance(frame, bytes) else alice.socket.send_str)(frame)
        assert await alice.refusal() == code
        await bob.signal("offer", ALICE_ID, OFFER_DATA)
        if first:
            assert (await bob.receive())["data"]["code"] == "peer-not-found"


async def test_registering_twice_costs_the_connection():
    async with serve() as server, server.registered(ALICE) as alice:
        await alice.send_json({"version": 1, "type": "register", "peer": ALICE_ID, "instance": INSTANCE})
        assert await alice.refusal() == "invalid-message"


async def test_a_malformed_signal_costs_its_session_alone():
    async with serve() as server, server.registered(ALICE) as alice, server.registered(BOB) as bob:
        for session in (SESSION, "another-session-0"):
            await alice.signal("offer", BOB_ID, OFFER_DATA, session=session)
            await bob.receive()
        await alice.signal("candidate", BOB_ID, {"candidate": ["x"]}, index=1)
        error = await alice.receive()
        assert (error["session"], error["data"]["code"]) == (SESSION, "invalid-message")
        told = await bob.receive()
        assert (told["session"], told["peer"], told["data"]["code"]) == (SESSION, ALICE_ID, "peer-gone")
        await alice.signal("candidate", BOB_ID, None, session="another-session-0", index=1)
        assert (await bob.receive())["session"] == "another-session-0"


async def test_an_oversized_message_costs_the_connection():
    async with serve() as server, server.registered(ALICE) as alice:
        await alice.socket.send_str("x" * (MAX_MESSAGE_SIZE + 1))
        message = await alice.socket.receive(TIMEOUT)
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1009)


async def test_who_does_not_register_has_to_go():
    async with serve(register_timeout=0.05) as server, server.browser() as browser:
        await browser.receive()
        assert await browser.refusal() == "register-timeout"


async def test_a_flood_is_stopped_and_what_was_taken_is_acknowledged():
    async with (
        serve(max_message_burst=10, max_messages_per_second=1) as server,
        server.registered(ALICE) as alice,
    ):
        for number in range(20):
            await alice.signal("offer", BOB_ID, OFFER_DATA, session=f"session-{number:016}")
        codes = [(await alice.receive())["data"]["code"] for _ in range(11)]
        assert codes == ["peer-not-found"] * 10 + ["rate-limited"]
        await alice.closed()
        async with server.browser() as again:
            reply = await again.register(received=alice.received)
            assert (reply["resumed"], reply["received"]) == (True, 10)


async def test_who_does_not_read_holds_nothing_up():
    """A client that reads nothing loses its connection; the server keeps a bounded amount for it."""
    # Half of the heartbeat is the time for a pong: who does read has it on a busy machine, too.
    async with serve(heartbeat=2, grace=0.2, max_queued_messages=100_000) as server:
        async with server.registered(ALICE) as alice, server.registered(BOB) as bob:
            registration = server.hub._registrations[BOB_ID]
            bob.socket._response.connection.transport.pause_reading()
            sdp = "x" * 16_000
            codes = []
            for number in range(2000):
                if registration.link is None:
                    break
                await alice.signal("offer", BOB_ID, {"type": "offer", "sdp": sdp}, session=f"s-{number:016}")
                codes += await sent_errors(alice)
            assert registration.channel._kept_bytes <= 1024 * 1024
            while BOB_ID in server.hub._registrations:
                codes += await sent_errors(alice)
                await asyncio.sleep(0.01)
            assert "peer-busy" in codes
            while "undeliverable" not in codes:
                codes.append((await alice.receive())["data"]["code"])
            assert await health(server) == {"status": "ok", "connections": 1, "registrations": 1}
            # It would wait for an answer to its goodbye.
            bob.socket._response.connection.transport.abort()


async def sent_errors(browser):
    """Codes of the errors that are there now."""
    codes = []
    with contextlib.suppress(TimeoutError):
        while True:
            frame = await browser.socket.receive(0.0001)
            message = json.loads(frame.data)
            if "seq" in message:
                browser.received += 1
                codes.append(message["data"]["code"])
    return codes
