"""The long-poll as clients of other languages see it, and as attackers do."""

import asyncio
import contextlib
import gzip
import json
import socket
import tracemalloc

import pytest

from tests.webrtc_signaling.browsers import OFFER_DATA, health, serve
from tests.webrtc_signaling.pollers import HEADER, Poller, registered
from tests.webrtc_signaling.samples import ALICE, ALICE_ID, BOB, BOB_ID
from webrtc_signaling.limits import MAX_BATCH_SIZE, MAX_MESSAGE_SIZE
from webrtc_signaling.server.app import SERVICE
from webrtc_transport.identity import Identity

pytestmark = pytest.mark.anyio
MIB = 1024 * 1024


async def raw(server):
    host, port = server.url.removeprefix("ws://").split(":")
    return await asyncio.open_connection(host, int(port))


async def closed(writer):
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


# --- the protocol -----------------------------------------------------------------------------------------------------


async def test_signals_go_both_ways_and_are_acknowledged():
    async with serve() as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        waiting = asyncio.create_task(bob.poll())
        assert await alice.signal("offer", BOB_ID, OFFER_DATA) == [{"version": 1, "type": "ack", "ack": 0}]
        [offer] = await waiting
        assert (offer["type"], offer["from"], offer["seq"], offer["data"]) == (
            "offer",
            ALICE_ID,
            1,
            OFFER_DATA,
        )
        await bob.signal("answer", ALICE_ID, {"type": "answer", "sdp": "v=0\r\n"})
        [answer] = await alice.poll()
        # Bob's next request said that he has the offer.
        assert (answer["type"], answer["ack"]) == ("answer", 1)


async def test_a_browser_with_a_websocket_meets_a_peer_that_polls():
    async with serve() as server, server.registered(ALICE) as alice:
        bob = await registered(server, BOB)
        await alice.signal("offer", BOB_ID, OFFER_DATA)
        assert [message["type"] for message in await bob.poll()] == ["offer"]
        await bob.signal("answer", ALICE_ID, {"type": "answer", "sdp": "v=0\r\n"})
        assert (await alice.receive())["type"] == "answer"


async def test_a_poll_waits_no_longer_than_it_asks_for():
    async with serve() as server:
        alice = await registered(server, ALICE)
        assert await alice.poll(wait=0) == []


async def test_what_is_not_acknowledged_comes_again_and_the_rest_does_not():
    async with serve() as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        for number in range(3):
            await alice.signal("candidate", BOB_ID, {"candidate": f"{number}"}, index=number)
        for cursor, expected in ((0, [1, 2, 3]), (0, [1, 2, 3]), (2, [3]), (0, [3]), (3, [])):
            assert [message["seq"] for message in await bob.poll(cursor, wait=0)] == expected


async def test_what_is_sent_twice_goes_on_once():
    async with serve() as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        message = alice.signal_message("offer", BOB_ID, OFFER_DATA)
        for _ in range(2):
            assert (await alice.post(message))[0]["ack"] == 0
        assert len(await bob.poll()) == 1
        assert await bob.poll(wait=0) == []
        assert (await alice.post(message))[0]["ack"] == 1


async def test_a_later_poll_ends_the_one_before():
    async with serve() as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        first = asyncio.create_task(bob.poll())
        while not server.hub.roster._registrations[BOB_ID].link._polls:
            await asyncio.sleep(0)
        second = asyncio.create_task(bob.poll())
        assert await first == []
        await alice.signal("offer", BOB_ID, OFFER_DATA)
        assert len(await second) == 1


async def test_one_poll_has_a_bounded_size_and_the_next_has_the_rest():
    async with serve() as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        sdp = "x" * 16_000
        for number in range(40):
            await alice.signal("offer", BOB_ID, {"type": "offer", "sdp": sdp}, session=f"s-{number:016}")
        text = await bob.request("GET", params={"received": 0, "wait": 0})
        assert MAX_BATCH_SIZE // 2 < len(text) <= MAX_BATCH_SIZE
        seen = []
        while messages := await bob.poll(wait=0):
            seen += [message["seq"] for message in messages]
        assert seen == list(range(1, 41))


async def test_large_bodies_are_compressed_both_ways():
    async with serve() as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        message = alice.signal_message("offer", BOB_ID, {"type": "offer", "sdp": "a=candidate\r\n" * 1000})
        body = gzip.compress(str(message).replace("'", '"').encode())
        assert len(body) < 1000
        await alice.request("POST", body, headers={"Content-Encoding": "gzip"})
        async with server.http.get(
            bob.url, headers=bob.headers, params={"received": 0, "wait": 0}
        ) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert int(response.headers["Content-Length"]) < 1000
            assert len(await response.text()) > 13_000


async def test_a_goodbye_ends_the_registration_and_its_connection():
    async with serve() as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        await alice.signal("offer", BOB_ID, OFFER_DATA)
        await bob.poll()
        await bob.leave()
        [told] = await alice.poll()
        # It has acknowledged the offer as it left.
        assert told["data"]["code"] == "peer-gone"
        await bob.request("GET", params={"received": 0, "wait": 0}, status=404)
        await alice.leave()
        assert await health(server) == {"status": "ok", "connections": 0, "registrations": 0}


async def test_who_comes_no_more_keeps_its_registration_for_the_grace_time():
    async with serve(heartbeat=0.1, grace=30) as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        await alice.signal("offer", BOB_ID, OFFER_DATA)
        while (await health(server))["connections"]:
            await asyncio.sleep(0.01)
        assert len(server.hub) == 2
        await bob.request("GET", params={"received": 0, "wait": 0}, status=404)
        again = await Poller(server, BOB).open()
        [reply, _] = await again.post(again.register_message(received=0))
        assert (reply["resumed"], reply["received"]) == (True, 0)
        assert [message["type"] for message in await again.poll()] == ["offer"]


async def test_a_registration_moves_from_polls_to_a_websocket_and_back():
    async with serve() as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        await alice.signal("candidate", BOB_ID, {"candidate": "0"})
        await bob.poll()
        async with server.browser(BOB) as browser:
            reply = await browser.register(received=1)
            assert reply["resumed"]
            browser.received = 1
            await alice.signal("candidate", BOB_ID, {"candidate": "1"}, index=1)
            assert (await browser.receive())["seq"] == 2
            await bob.request("GET", params={"received": 0, "wait": 0}, status=404)
            again = await Poller(server, BOB).open()
            [reply, _] = await again.post(again.register_message(received=1))
            assert reply["resumed"]
            assert [message["seq"] for message in await again.poll(1)] == [2]


async def test_the_end_of_the_server_is_announced_to_who_waits_and_to_who_comes_then():
    async with serve() as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        waiting = asyncio.create_task(alice.poll())
        while not server.hub.roster._registrations[ALICE_ID].link._polls:
            await asyncio.sleep(0)
        await server.app[SERVICE].shut_down(server.app)
        for messages in (await waiting, await alice.poll(), await bob.poll()):
            assert [message["data"]["code"] for message in messages] == ["shutting-down"]


async def test_connections_are_bounded_by_address_and_in_total():
    for settings, status in (({"max_clients_per_address": 1}, 429), ({"max_clients": 1}, 503)):
        async with serve(**settings) as server:
            alice = await registered(server, ALICE)
            await Poller(server, BOB).request("POST", status=status)
            await alice.leave()
            await registered(server, BOB)


async def test_who_does_not_register_in_time_is_forgotten():
    async with serve(register_timeout=0.1) as server:
        poller = await Poller(server, ALICE).open()
        while (await health(server))["connections"]:
            await asyncio.sleep(0.01)
        await poller.request("POST", status=404)


# --- attacks ----------------------------------------------------------------------------------------------------------


async def refused(poller, *messages):
    """The code by which the server refuses; the connection is over then."""
    [failure] = await poller.post(*messages)
    assert failure["type"] == "error"
    assert "session" not in failure
    await poller.request("POST", status=404)
    return failure["data"]["code"]


async def test_nobody_takes_the_peer_id_of_another():
    async with serve() as server:
        bob = await registered(server, BOB)
        mallory = await Poller(server, Identity.generate()).open()
        assert await refused(mallory, mallory.register_message(peer=BOB_ID)) == "invalid-proof"
        assert server.hub.roster._registrations.keys() == {BOB_ID}
        assert await bob.poll(wait=0) == []


async def test_nobody_registers_without_a_proof():
    async with serve() as server:
        alice = await Poller(server, ALICE).open()
        message = alice.register_message()
        del message["signature"]
        assert await refused(alice, message) == "invalid-proof"


async def test_an_answer_to_a_challenge_is_good_for_one_connection():
    async with serve() as server:
        alice = await Poller(server, ALICE).open()
        answer = alice.register_message()
        assert (await alice.post(answer))[0]["type"] == "registered"
        mallory = await Poller(server, ALICE).open()
        assert await refused(mallory, answer) == "invalid-proof"
        async with server.browser(ALICE) as browser:
            await browser.receive()
            await browser.send_json(answer)
            assert await browser.refusal() == "invalid-proof"
        assert await alice.poll(wait=0) == []
        # Nor is it good for a second time on its own.
        assert await refused(alice, answer) == "invalid-message"


async def test_nobody_signals_in_the_name_of_another_or_before_it_is_registered():
    async with serve() as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        await alice.signal("offer", BOB_ID, OFFER_DATA, **{"from": str(Identity.generate().peer_id)})
        assert [message["data"]["code"] for message in await alice.poll()] == ["forged-from"]
        assert await bob.poll(wait=0) == []
        mallory = await Poller(server, Identity.generate()).open()
        await mallory.request("GET", params={"received": 0, "wait": 0}, status=400)
        assert (
            await refused(mallory, mallory.signal_message("offer", BOB_ID, OFFER_DATA)) == "invalid-message"
        )
        assert await bob.poll(wait=0) == []


@pytest.mark.parametrize("name", ["", "x", "../../etc/passwd", "A" * 43, "A" * 8000])
async def test_connections_can_not_be_guessed(name):
    async with serve() as server:
        await registered(server, ALICE)
        for method in ("GET", "POST", "DELETE"):
            await Poller(server, BOB).request(method, headers={HEADER: name}, status=404)
        assert len(server.hub) == 1


@pytest.mark.parametrize("received", ["", "-1", "1", "x", "1e3", "9" * 5000, "٣"])
async def test_an_impossible_cursor_is_refused_and_harms_nobody(received):
    async with serve() as server:
        alice = await registered(server, ALICE)
        for method in ("GET", "DELETE"):
            await alice.request(method, params={"received": received, "wait": 0}, status=400)
        assert await alice.poll(wait=0) == []


@pytest.mark.parametrize(
    "body",
    [
        b"\xff\xfe",
        b"{}",
        b"[" * 100_000,
        b'{"version":1,"type":' * 5000,
        b'{"version":1,"type":"ack","ack":1}',
        b"1" * (MAX_MESSAGE_SIZE + 1),
    ],
)
async def test_malformed_bodies_end_the_connection_that_sent_them(body):
    async with serve() as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        await alice.request("POST", body, status=400 if body == b"\xff\xfe" else 200)
        assert (await bob.signal("offer", ALICE_ID, OFFER_DATA))[0]["type"] == "ack"


@pytest.mark.parametrize("encoding", ["deflate", "br", "zstd", "gzip, gzip", "x"])
async def test_other_encodings_are_refused(encoding):
    async with serve() as server:
        alice = await registered(server, ALICE)
        reader, writer = await raw(server)
        writer.write(
            f"POST /poll HTTP/1.1\r\nHost: x\r\n{HEADER}: {alice.headers[HEADER]}\r\n"
            f"Content-Encoding: {encoding}\r\nContent-Length: 1\r\n\r\nx".encode()
        )
        assert (await reader.readline()).split()[1] in (b"400", b"415")
        await closed(writer)


async def test_what_is_not_gzip_is_refused():
    async with serve() as server:
        alice = await registered(server, ALICE)
        await alice.request("POST", b"x" * 100, headers={"Content-Encoding": "gzip"}, status=400)


async def test_a_bomb_of_gzip_takes_little_memory():
    bomb = gzip.compress(b" " * 100 * MIB)
    async with serve() as server:
        alice = await registered(server, ALICE)
        tracemalloc.start()
        try:
            await alice.request("POST", bomb, headers={"Content-Encoding": "gzip"}, status=413)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 8 * MIB


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_message_of_100_mib_is_not_read(is_chunked):
    async with serve() as server:
        alice = await registered(server, ALICE)
        reader, writer = await raw(server)
        size = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {100 * MIB}"
        head = f"POST /poll HTTP/1.1\r\nHost: x\r\n{HEADER}: {alice.headers[HEADER]}\r\n{size}\r\n\r\n"
        writer.write(head.encode())
        piece = b"10000\r\n" + b"x" * 65536 + b"\r\n" if is_chunked else b"x" * 65536
        status = asyncio.create_task(reader.readline())
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not status.done() and sent < 100 * MIB:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
                sent += len(piece)
        assert (await status).split()[1] == b"413"
        assert sent < 20 * MIB
        await closed(writer)


@pytest.mark.parametrize(
    "header",
    [b"X: " + b"x" * 100_000, b"\r\n".join(b"X%d: x" % number for number in range(10_000)), b"X" * 100_000],
)
async def test_header_bombs_are_refused(header):
    async with serve() as server:
        reader, writer = await raw(server)
        with contextlib.suppress(ConnectionError):
            writer.write(b"POST /poll HTTP/1.1\r\nHost: x\r\n" + header + b"\r\n\r\n")
            assert (await reader.readline()).split()[1] == b"400"
        await closed(writer)
        assert (await health(server))["connections"] == 0


@pytest.mark.parametrize(
    "beginning", [b"", b"POST /poll HTTP/1.1\r\n", b"POST /poll HTTP/1.1\r\nHost: x\r\nX: "]
)
async def test_a_header_by_the_byte_is_cut_off(beginning):
    async with serve(register_timeout=0.3) as server:
        reader, writer = await raw(server)
        writer.write(beginning)

        async def trickle():
            with contextlib.suppress(ConnectionError):
                while True:
                    writer.write(b"x" if beginning else b"")
                    await asyncio.sleep(0.05)

        trickling = asyncio.create_task(trickle())
        async with asyncio.timeout(5):
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
        trickling.cancel()
        await closed(writer)


async def test_a_body_by_the_byte_is_cut_off_and_holds_nobody_up():
    async with serve(register_timeout=0.3) as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        reader, writer = await raw(server)
        head = f"POST /poll HTTP/1.1\r\nHost: x\r\n{HEADER}: {alice.headers[HEADER]}\r\nContent-Length: 1000\r\n\r\n"
        writer.write(head.encode() + b"{")
        async with asyncio.timeout(5):
            assert (await bob.signal("offer", ALICE_ID, OFFER_DATA))[0]["type"] == "ack"
            assert (await reader.readline()).split()[1] == b"408"
        await closed(writer)


async def test_a_connection_makes_a_bounded_number_of_requests_at_once():
    async with serve(register_timeout=1) as server:
        alice = await Poller(server, ALICE).open()
        name = alice.headers[HEADER]
        head = f"POST /poll HTTP/1.1\r\nHost: x\r\n{HEADER}: {name}\r\nContent-Length: 10\r\n\r\n".encode()
        connection = server.app[SERVICE].long_poll._connections[name]
        streams = []
        for number in range(1, 6):
            streams.append(await raw(server))
            streams[-1][1].write(head)
            if number == 1:
                while connection.requests < 1:
                    await asyncio.sleep(0)
                # Before it is registered, it has one.
                await alice.request("POST", status=429)
                streams[0][1].write(b"\n" * 10)
                assert (await streams[0][0].readline()).split()[1] == b"200"
                assert (await alice.post(alice.register_message()))[0]["type"] == "registered"
            else:
                while connection.requests < number - 1:
                    await asyncio.sleep(0)
        await alice.request("GET", params={"received": 0, "wait": 0}, status=429)
        for reader, _ in streams[1:]:
            assert (await reader.readline()).split()[1] == b"408"
        assert await alice.poll(wait=0) == []
        for _, writer in streams:
            await closed(writer)


async def test_a_body_that_ends_after_another_connection_took_over_is_not_taken():
    async with serve() as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        connection = server.app[SERVICE].long_poll._connections[alice.headers[HEADER]]
        body = json.dumps(alice.signal_message("offer", BOB_ID, OFFER_DATA)).encode()
        reader, writer = await raw(server)
        head = f"POST /poll HTTP/1.1\r\nHost: x\r\n{HEADER}: {alice.headers[HEADER]}\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
        while not connection.requests:
            await asyncio.sleep(0)
        again = await Poller(server, ALICE).open()
        [reply, _] = await again.post(again.register_message(received=0))
        assert reply["resumed"]
        writer.write(body[10:])
        assert (await reader.readline()).split()[1] == b"404"
        await closed(writer)
        assert await bob.poll(wait=0) == []
        await again.post(json.loads(body))
        assert len(await bob.poll()) == 1


async def test_who_does_not_read_its_polls_holds_them_for_a_bounded_time():
    async with serve(register_timeout=0.3) as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        for number in range(14):
            sdp = {"type": "offer", "sdp": "x" * 16_000}
            await alice.signal("offer", BOB_ID, sdp, session=f"s-{number:016}")
        host, port = server.url.removeprefix("ws://").split(":")
        connection = server.app[SERVICE].long_poll._connections[bob.headers[HEADER]]
        with socket.socket() as lazy:
            # The two kernels take little, so the server has the rest.
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            lazy.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(lazy, (host, int(port)))
            query = (
                f"GET /poll?received=0&wait=0 HTTP/1.1\r\nHost: x\r\n{HEADER}: {bob.headers[HEADER]}\r\n\r\n"
            )
            await loop.sock_sendall(lazy, query.encode() * 100)
            async with asyncio.timeout(5):
                # Once it is stuck there are no pauses between the requests any more.
                stuck = 0
                while stuck < 5:
                    await asyncio.sleep(0.02)
                    stuck = stuck + 1 if connection.requests else 0
                while connection.requests:
                    await asyncio.sleep(0.01)
        # Nothing is lost by that.
        assert len(await bob.poll(wait=0)) == 14


async def test_who_sends_or_asks_too_much_has_to_go():
    async with serve(max_messages_per_second=0.001, max_message_burst=10) as server:
        alice, bob = await registered(server, ALICE), await registered(server, BOB)
        codes = [(await alice.post({"version": 1, "type": "ack", "ack": 0}))[-1]["type"] for _ in range(12)]
        assert codes == ["ack"] * 12
        assert [message["data"]["code"] for message in await alice.poll()] == ["rate-limited"]
        answers = [await bob.poll(wait=0) for _ in range(11)]
        assert answers[:10] == [[]] * 10
        assert answers[10][0]["data"]["code"] == "rate-limited"


async def test_a_page_of_another_origin_gets_no_permission():
    async with serve() as server:
        asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
        async with server.http.options(
            Poller(server, ALICE).url, headers=asked | {"Access-Control-Request-Headers": HEADER}
        ) as response:
            assert response.status == 403
            assert "Access-Control-Allow-Origin" not in response.headers
