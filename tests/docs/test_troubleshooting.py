"""The messages in the troubleshooting guide are those that the library gives, and each of them can be provoked."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

import anyio
import pytest
from aiohttp import web
from anyio.streams.buffered import BufferedByteReceiveStream

from tests.docs.pages import DOCS, blocks
from tests.engine_loop import end_the_loop, portal_behind
from tests.pairs import LOOPBACK, config, connected, transport
from tests.webrtc_signaling.servers import signaling_server
from webrtc_signaling import RendezvousServer
from webrtc_signaling.client import ClientOptions
from webrtc_signaling.memory import MemoryBackend
from webrtc_signaling.server.app import running_app, running_server
from webrtc_signaling.server.settings import ServerSettings
from webrtc_signaling.server.tokens import TokenKey, make_token
from webrtc_transport import Certificate, IceServer, Identity, TransportConfig, WebRTCTransport
from webrtc_transport.engine.memory_network import MemoryNetwork
from webrtc_transport.engine.memory_stack import MemoryEngine
from webrtc_transport.errors import EngineError, SignalingRejected
from webrtc_transport.protocol.certhash import encode_certhash
from webrtc_transport.protocol.framing import encode_frame
from webrtc_transport.protocol.proof import sign_description
from webrtc_transport.protocol.sdp import Fingerprint
from webrtc_transport.protocol.signals import Answer, Candidate, DescriptionData, Offer

PAGE = DOCS / "how-to" / "troubleshooting.md"
SHOWN = [line for block in blocks(PAGE) if block.language == "text" for line in block.text.splitlines()]
MINUTES_AGO, MINUTES_AHEAD = -10 * 60, 10 * 60

SCENARIOS = []


def scenario(function):
    """A way to an error of the guide: an async function that raises it, on asyncio."""
    SCENARIOS.append(function)
    return function


def stranger():
    """The address of a peer that isn't there."""
    return f"/webrtc/p2p/{Identity.generate().peer_id}"


async def dial(*, server=None, client=None):
    """Dial one transport from another."""
    server, client = server or transport(), client or transport()
    async with server, client:
        listener = await server.listen("/webrtc")
        async with await client.dial(listener.addresses[0]):
            pass


async def dial_over(*urls, **settings):
    """Dial somebody over signaling of these URLs."""
    async with WebRTCTransport(
        Identity.generate(), signaling=list(urls), config=config(**settings)
    ) as client:
        await client.dial(stranger())


def without_candidates(signal):
    is_candidate = isinstance(signal, Candidate) and signal.data and signal.data.candidate
    return [] if is_candidate else [signal]


def silently_without_candidates(signal):
    return [] if isinstance(signal, Candidate) else [signal]


def with_wrong_ports(signal):
    """Candidates at which nobody is."""
    if not isinstance(signal, Candidate) or not signal.data or not signal.data.candidate:
        return [signal]
    parts = signal.data.candidate.split()
    parts[5] = "9"
    return [Candidate(data=signal.data.model_copy(update={"candidate": " ".join(parts)}))]


def apart(**settings):
    """Two transports that can't reach each other; the settings are those of the one that dials."""
    return {
        "server": transport(intercept=with_wrong_ports),
        "client": transport(intercept=with_wrong_ports, settings=config(**settings)),
    }


class Answering:
    """A peer that takes sessions and answers them by hand."""

    def __init__(self, answer):
        self._answer = answer
        self._identity = Identity.generate()

    async def dialed(self, **settings):
        """Dial it."""
        async with MemoryBackend(self._identity) as backend, anyio.create_task_group() as tasks:
            await tasks.start(lambda *, task_status: backend.serve(self._handle, task_status=task_status))
            try:
                async with transport(settings=config(**settings)) as client:
                    await client.dial(f"/webrtc/p2p/{self._identity.peer_id}")
            finally:
                tasks.cancel_scope.cancel()

    async def _handle(self, session):
        async with session:
            offer = await session.receive()
            await self._answer(self._identity, session, offer)


def signed(identity, session, kind, sdp, age):
    now_ms = int((time.time() + age) * 1000)
    return sign_description(
        identity,
        kind=kind,
        session_id=session.session_id,
        receiver=session.remote_peer,
        sdp=sdp,
        now_ms=now_ms,
    )


# --- connecting ---------------------------------------------------------------------------------------------------


@scenario
async def a_service_that_says_nothing():
    async def hold(stream):
        async with stream:
            await anyio.sleep_forever()

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, hold)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        try:
            await dial_over(f"ws://127.0.0.1:{port}", dial_timeout=0.5)
        finally:
            tasks.cancel_scope.cancel()


@scenario
async def a_peer_that_says_nothing():
    async def wait(*_):
        await anyio.sleep_forever()

    await Answering(wait).dialed(dial_timeout=0.5)


@scenario
async def a_peer_that_leaves():
    async def leave(*_):
        await anyio.lowlevel.checkpoint()

    await Answering(leave).dialed()


@scenario
async def an_answer_of_the_future():
    async def answer(identity, session, offer):
        sdp = offer.data.sdp.replace("actpass", "active")
        proof = signed(identity, session, "answer", sdp, MINUTES_AHEAD)
        await session.send(Answer(data=DescriptionData(type="answer", sdp=sdp), proof=proof))
        await session.receive()

    await Answering(answer).dialed()


@scenario
async def an_offer_of_the_past():
    identity = Identity.generate()
    async with transport() as server, MemoryBackend(identity) as backend:
        await server.listen("/webrtc")
        async with await backend.connect(server.peer_id) as session:
            proof = signed(identity, session, "offer", "v=0", MINUTES_AGO)
            await session.send(Offer(data=DescriptionData(type="offer", sdp="v=0"), proof=proof))
            await session.receive()


@scenario
async def no_candidates_yet():
    server = transport(intercept=silently_without_candidates)
    client = transport(intercept=silently_without_candidates, settings=config(dial_timeout=2))
    await dial(server=server, client=client)


@scenario
async def candidates_that_lead_nowhere():
    await dial(**apart())


@scenario
async def a_dead_stun_server():
    await dial(**apart(ice_servers=[IceServer(urls="stun:127.0.0.1:9")]))


@scenario
async def a_dead_turn_server():
    servers = [IceServer(urls="turn:127.0.0.1:9?transport=tcp", username="a", credential="b")]
    await dial(**apart(ice_servers=servers))


@scenario
async def a_relay_that_is_not_there():
    await dial(client=transport(settings=config(ice_transport_policy="relay")))


@scenario
async def a_peer_that_fails():
    expired = Certificate.generate(now=datetime(2020, 1, 1, tzinfo=UTC))
    await dial(server=transport(settings=config(certificate=expired)))


@scenario
async def a_foreign_address():
    settings = LOOPBACK.model_copy(update={"bind_addresses": ("192.0.2.99",)})
    await dial(client=transport(settings=settings))


@scenario
async def a_peer_without_candidates():
    await dial(server=transport(intercept=without_candidates), client=transport(intercept=without_candidates))


@scenario
async def another_certificate():
    def other_fingerprint(signal):
        if not isinstance(signal, Answer):
            return [signal]
        sdp = re.sub(r"sha-256 [0-9A-F:]+", "sha-256 " + ":".join(["00"] * 32), signal.data.sdp)
        return [Answer(data=DescriptionData(type="answer", sdp=sdp))]

    options = {"authenticated": True, "intercept": other_fingerprint}
    for _ in range(20):
        # The other end fails too, and may be the first to say so.
        with contextlib.suppress(SignalingRejected):
            await dial(server=transport(**options), client=transport(**options))


# --- signaling ----------------------------------------------------------------------------------------------------


@scenario
async def no_server():
    await dial_over("ws://127.0.0.1:9")


@scenario
async def another_kind_of_server():
    async with running_app(web.Application(), ServerSettings(port=0)) as url:
        await dial_over(url)


@scenario
async def a_proxy_that_refuses_websockets():
    async def refuse(_request):
        raise web.HTTPForbidden

    app = web.Application()
    app.router.add_get("/", refuse)
    async with running_app(app, ServerSettings(port=0)) as url:
        await dial_over(url)


async def answered_by(handle, *, scheme="ws", **settings):
    """Dial over a server at which ``handle`` takes each TCP connection."""
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        await dial_over(f"{scheme}://127.0.0.1:{server.sockets[0].getsockname()[1]}", **settings)


@scenario
async def a_transport_of_another_loop():
    async with WebRTCTransport(Identity.generate()) as client:
        await anyio.to_thread.run_sync(lambda: anyio.run(client.dial, stranger()))


@scenario
async def a_direct_port_where_nobody_answers():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        certhash = encode_certhash(Fingerprint("sha-256", bytes(32)))
        address = f"/ip4/127.0.0.1/udp/{silent.getsockname()[1]}/webrtc-direct/certhash/{certhash}"
        async with WebRTCTransport(Identity.generate(), config=config(dial_timeout=0.3)) as client:
            await client.dial(address)


@scenario
async def a_host_that_is_nowhere():
    await dial_over("ws://nosuch.invalid")


@scenario
async def a_server_that_says_nothing_for_long():
    async def hold(reader, writer):
        await reader.read()
        writer.close()

    await answered_by(hold)


@scenario
async def a_server_that_resets():
    async def reset(_reader, writer):
        # SO_LINGER with 0 seconds: a close is a reset.
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.close()

    await answered_by(reset)


@scenario
async def a_server_that_hangs_up():
    async def hang_up(reader, writer):
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
        writer.close()

    await answered_by(hang_up)


@scenario
async def tls_to_a_server_without():
    async with running_server(ServerSettings(port=0)) as url:
        await dial_over(url.replace("ws://", "wss://"))


@scenario
async def an_end_within_the_tls_handshake():
    async def hang_up(reader, writer):
        await reader.read(4096)
        writer.close()

    await answered_by(hang_up, scheme="wss")


@scenario
async def an_alert_of_tls():
    async def refuse(reader, writer):
        await reader.read(4096)
        # A fatal alert, handshake_failure (RFC 5246, sections 6.2.1 and 7.2).
        writer.write(bytes([21, 3, 3, 0, 2, 2, 40]))
        await writer.drain()
        writer.close()

    await answered_by(refuse, scheme="wss")


@scenario
async def a_certificate_that_nobody_knows():
    pem = Certificate.generate(now=datetime.now(UTC)).to_pem()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name)

    async def read(reader, writer):
        with contextlib.suppress(ConnectionError):
            await reader.read()
        writer.close()

    server = await asyncio.start_server(read, "127.0.0.1", 0, ssl=context)
    async with server:
        await dial_over(f"wss://127.0.0.1:{server.sockets[0].getsockname()[1]}")


async def dial_with_token(token, **options):
    """Dial over a server that asks for tokens, with this one, or one that is made of this key and for so long."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "token.key"
        path.write_bytes(b"k" * 32)
        path.chmod(0o600)
        if isinstance(token, int):
            token = make_token(
                TokenKey.load(path), expires_at=time.time() + token, audience="another service"
            )
        async with running_server(ServerSettings(port=0, token_key_file=path)) as url:
            server = RendezvousServer(url, token=token, options=ClientOptions(**options))
            async with WebRTCTransport(Identity.generate(), signaling=[server], config=config()) as client:
                await client.dial(stranger())


@scenario
async def a_server_that_asks_for_a_token():
    await dial_with_token(None)


@scenario
async def a_token_for_another_service():
    await dial_with_token(60)


@scenario
async def a_token_that_has_expired():
    await dial_with_token(-60)


@scenario
async def a_token_that_never_comes():
    await dial_with_token(anyio.sleep_forever, connect_timeout=0.2)


@scenario
async def a_token_function_that_fails():
    async def fetch():
        raise LookupError("no token today")

    await dial_with_token(fetch)


@scenario
async def a_token_with_a_line_feed():
    RendezvousServer("ws://127.0.0.1:9", token="eyJ\n")


@scenario
async def a_full_server():
    async with (
        running_server(ServerSettings(port=0, max_clients=1)) as url,
        WebRTCTransport(Identity.generate(), signaling=[url]) as first,
    ):
        await first.listen("/webrtc")
        await dial_over(url)


@scenario
async def a_scheme_with_a_typing_error():
    await dial_over("wsss://localhost:8765")


@scenario
async def a_url_without_scheme():
    await dial_over("localhost:8765")


@scenario
async def a_url_without_host():
    await dial_over("ws://")


@scenario
async def a_url_of_another_kind():
    await dial_over("tcp://localhost:8765")


@scenario
async def a_url_in_place_of_a_list():
    WebRTCTransport(Identity.generate(), signaling="ws://localhost:8765")


@scenario
async def no_backend_to_dial_over():
    await dial_over()


@scenario
async def no_backend_to_listen_on():
    async with WebRTCTransport(Identity.generate()) as server:
        await server.listen("/webrtc")


@scenario
async def two_of_one_name():
    identity = Identity.generate()
    async with (
        running_server(ServerSettings(port=0)) as url,
        WebRTCTransport(identity, signaling=[url]) as first,
        WebRTCTransport(identity, signaling=[url]) as second,
    ):
        listener = await first.listen("/webrtc")
        await second.listen("/webrtc")
        await listener.accept()


@scenario
async def nobody():
    async with running_server(ServerSettings(port=0)) as url:
        await dial_over(url)


@scenario
async def a_peer_that_does_not_listen():
    async with (
        running_server(ServerSettings(port=0)) as url,
        WebRTCTransport(Identity.generate(), signaling=[url]) as server,
        WebRTCTransport(Identity.generate(), signaling=[url]) as client,
    ):
        listener = await server.listen("/webrtc")
        await listener.aclose()
        await client.dial(listener.addresses[0])


PEER_THAT_HANGS = """
import sys, anyio
from webrtc_transport import Identity, TransportConfig, WebRTCTransport

async def ice_servers():
    print("asked", flush=True)
    await anyio.sleep_forever()

async def main():
    config = TransportConfig(ice_servers=ice_servers)
    async with WebRTCTransport(Identity.generate(), signaling=[sys.argv[1]], config=config) as transport:
        listener = await transport.listen("/webrtc")
        print(listener.addresses[0], flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@scenario
async def a_peer_that_is_killed():
    async with (
        signaling_server(grace=0.1) as server,
        WebRTCTransport(Identity.generate(), signaling=[server.url], config=LOOPBACK) as client,
        await anyio.open_process([sys.executable, "-c", PEER_THAT_HANGS, server.url], stderr=None) as process,
        anyio.create_task_group() as tasks,
    ):
        output = BufferedByteReceiveStream(process.stdout)
        address = (await output.receive_until(b"\n", 200)).decode()
        channel = server.hub.roster._registrations[address.rpartition("/")[2]].channel

        async def kill():
            await output.receive_until(b"\n", 200)
            # The peer has the offer, which goes alone until there is an answer; and the server knows.
            while await server.call(lambda: channel.kept_bytes):
                await anyio.sleep(0.01)
            process.kill()

        tasks.start_soon(kill)
        await client.dial(address)


# --- this end -----------------------------------------------------------------------------------------------------


async def failing_servers():
    raise OSError("no credentials today")


async def wrong_servers():
    return ["stun:stun.example.org"]


@scenario
async def ice_servers_that_raise():
    await dial(client=transport(settings=config(ice_servers=failing_servers)))


@scenario
async def ice_servers_that_are_none():
    await dial(client=transport(settings=config(ice_servers=wrong_servers)))


@scenario
async def ice_servers_that_are_not_async():
    await dial(client=transport(settings=config(ice_servers=list)))


@scenario
async def an_expired_certificate():
    expired = Certificate.generate(now=datetime(2020, 1, 1, tzinfo=UTC))
    await dial(client=transport(settings=config(certificate=expired)))


@scenario
async def an_unknown_setting():
    TransportConfig(dial_time=3)


@scenario
async def a_wrong_setting():
    TransportConfig(dial_timeout=0)


@scenario
async def a_url_in_place_of_an_ice_server():
    TransportConfig(ice_servers=["stun:stun.example.org"])


@scenario
async def an_address_in_place_of_a_list():
    TransportConfig(bind_addresses="127.0.0.1")


@scenario
async def an_engine_with_a_typing_error():
    transport(settings=config(engine="nativ"))


@scenario
async def no_signaling():
    WebRTCTransport(Identity.generate(), signaling=None)


@scenario
async def text_in_place_of_bytes():
    async with connected() as pair:
        ours, _ = await both_ends(pair)
        await ours.send("text")


@scenario
async def a_busy_peer():
    server = transport(settings=config(max_inbound_handshakes=1))
    async with server, transport() as client, MemoryBackend(Identity.generate()) as idler:
        listener = await server.listen("/webrtc")
        async with await idler.connect(server.peer_id):
            await anyio.sleep(0.1)
            await client.dial(listener.addresses[0])


# --- addresses ----------------------------------------------------------------------------------------------------


async def dial_address(address):
    async with transport() as client:
        await client.dial(address.format(own=client.peer_id))


@scenario
async def an_address_without_peer():
    await dial_address("/webrtc")


@scenario
async def a_direct_address():
    await dial_address("/ip4/192.0.2.1/udp/4001/webrtc-direct")


@scenario
async def an_address_with_a_typing_error():
    await dial_address("/webrtc/p2p/12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH")


@scenario
async def the_own_address():
    await dial_address("/webrtc/p2p/{own}")


# --- streams ------------------------------------------------------------------------------------------------------


async def both_ends(pair):
    ours = await pair.dialer.open_stream()
    await ours.send(b"x")
    theirs = await pair.listener.accept_stream()
    assert await theirs.receive() == b"x"
    return ours, theirs


@scenario
async def a_reset():
    async with connected() as pair:
        ours, theirs = await both_ends(pair)
        await theirs.send(b"x")
        assert await ours.receive() == b"x"
        theirs.reset()
        await ours.receive()


@scenario
async def a_reset_at_once():
    async with connected(listener_settings=config(max_inbound_streams=1)) as pair:
        await both_ends(pair)
        await (await pair.dialer.open_stream()).receive()


@scenario
async def a_stream_that_nobody_reads():
    async with connected(listener_settings=config(stalled_stream_timeout=0.1)) as pair:
        ours, theirs = await both_ends(pair)
        await ours.send(b"unread")
        while not theirs._state.is_reset:
            await anyio.sleep(0.01)
        await theirs.receive()


@scenario
async def a_frame_that_never_ends():
    async with connected(listener_settings=config(stalled_stream_timeout=0.1)) as pair:
        ours, theirs = await both_ends(pair)
        ours._portal.post(ours._channel.send, encode_frame(bytes(10_000))[:-1])
        await theirs.receive()


@scenario
async def a_channel_that_closes():
    async with connected() as pair:
        ours, theirs = await both_ends(pair)
        await theirs.send(b"x")
        assert await ours.receive() == b"x"
        theirs._portal.post(theirs._channel.close, 0.0)
        await ours.receive()


@scenario
async def a_channel_that_closes_unused():
    async with connected() as pair:
        ours, theirs = await both_ends(pair)
        theirs._portal.post(theirs._channel.close, 0.0)
        await ours.receive()


@scenario
async def a_peer_that_reads_no_more():
    async with connected() as pair, anyio.create_task_group() as tasks:
        ours, theirs = await both_ends(pair)
        tasks.start_soon(theirs.aclose)
        try:
            while True:
                await ours.send(b"more")
        finally:
            tasks.cancel_scope.cancel()


@scenario
async def no_acknowledgement():
    async with connected(dialer_settings=config(fin_ack_timeout=0.2)) as pair:
        ours, theirs = await both_ends(pair)
        theirs._act_on = lambda flag: None
        await ours.aclose()


@scenario
async def no_frame():
    async with connected() as pair:
        ours, theirs = await both_ends(pair)
        theirs._portal.post(theirs._channel.send, b"\xff" * 20)
        await ours.receive()


@scenario
async def two_readers():
    async with connected() as pair, anyio.create_task_group() as tasks:
        ours, _ = await both_ends(pair)
        tasks.start_soon(ours.receive)
        await anyio.sleep(0.05)
        try:
            await ours.receive()
        finally:
            tasks.cancel_scope.cancel()


@scenario
async def sending_after_the_end():
    async with connected() as pair:
        ours, _ = await both_ends(pair)
        await ours.send_eof()
        await ours.send(b"more")


@scenario
async def using_what_is_closed():
    async with connected() as pair:
        ours, _ = await both_ends(pair)
        ours.reset()
        await ours.aclose()
        await ours.send(b"more")


@scenario
async def a_handler_that_is_not_async():
    async with connected() as pair:
        await pair.dialer.open_stream()
        await pair.listener.serve(print)


@scenario
async def a_handler_that_was_called():
    async with transport() as server:
        await (await server.listen("/webrtc")).serve(None)


@scenario
async def listening_twice():
    async with transport() as server:
        await server.listen("/webrtc")
        await server.listen("/webrtc")


# --- the end ------------------------------------------------------------------------------------------------------


@scenario
async def a_peer_that_vanishes():
    network = MemoryNetwork()
    settings = config(liveness_timeout=1)
    async with connected(engine=MemoryEngine(network), dialer_settings=settings) as pair:
        network.cut()
        raise await pair.dialer.wait_closed()


@scenario
async def a_peer_that_closes():
    async with connected() as pair:
        await pair.listener.aclose()
        raise await pair.dialer.wait_closed()


@scenario
async def closed_here():
    async with connected() as pair:
        await pair.dialer.aclose()
        await pair.dialer.open_stream()


@scenario
async def aborted_here():
    async with connected() as pair:
        await pair.dialer.abort()
        await pair.dialer.open_stream()


@scenario
async def a_transport_that_is_closed():
    async with transport() as server:
        listener = await server.listen("/webrtc")
        async with transport() as client:
            connection = await client.dial(listener.addresses[0])
    await connection.open_stream()


@scenario
async def a_transport_that_was_not_entered():
    await transport().dial(stranger())


@scenario
async def a_transport_that_is_entered_twice():
    client = transport()
    async with client:
        pass
    async with client:
        pass


async def after_fork(monkeypatch):
    """On trio: use a connection in a process that isn't the one in which its transport was made."""
    async with connected() as pair:
        with monkeypatch.context() as patch:
            patch.setattr(os, "getpid", lambda: -1)
            await pair.dialer.open_stream()


async def after_the_engine():
    """On trio: wait for a stream when the engine's thread dies."""
    async with connected() as pair:
        await end_the_loop(portal_behind(pair.dialer))
        await pair.dialer.accept_stream()


def without_aiohttp():
    """What a program prints that has no aiohttp."""
    program = """
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "aiohttp":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Missing())
from webrtc_transport import plugins
try:
    plugins.signaling_backend_class("ws")
except Exception as exc:
    print(f"{type(exc).__name__}: {exc}")
"""
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout.strip()


# --- the page -----------------------------------------------------------------------------------------------------


def innermost(error):
    while isinstance(error, BaseExceptionGroup):
        (error,) = error.exceptions
    return error


async def provoke_all():
    said = {}

    async def provoke(function):
        try:
            with anyio.fail_after(30):
                await function()
        except Exception as exc:
            error = innermost(exc)
            said[function.__name__] = f"{type(error).__name__}: {error}"

    async with anyio.create_task_group() as tasks:
        for function in SCENARIOS:
            tasks.start_soon(provoke, function)
    return said


@pytest.fixture(scope="module")
def said():
    return anyio.run(provoke_all)


def test_the_messages_are_those_of_the_library(said, monkeypatch):
    said = dict(said)
    with pytest.raises(RuntimeError) as caught:
        anyio.run(after_fork, monkeypatch, backend="trio")
    said["after_fork"] = f"RuntimeError: {innermost(caught.value)}"
    with pytest.raises(EngineError) as ended:
        anyio.run(after_the_engine, backend="trio")
    said["after_the_engine"] = f"EngineError: {ended.value}"
    said["without_aiohttp"] = without_aiohttp()

    patterns = {line: re.compile(".*".join(map(re.escape, line.split("…")))) for line in SHOWN}
    missing = {
        name: message
        for name, message in said.items()
        if not any(pattern.fullmatch(message) for pattern in patterns.values())
    }
    never_said = [
        line for line, pattern in patterns.items() if not any(map(pattern.fullmatch, said.values()))
    ]
    assert set(said) >= {function.__name__ for function in SCENARIOS}
    assert not missing, "said, and not in the guide:\n" + "\n".join(f"{n}: {m}" for n, m in missing.items())
    assert not never_said, "in the guide, and never said:\n" + "\n".join(never_said)


def test_the_loggers_are_those_of_the_library():
    sources = [
        path for name in ("webrtc_transport", "signaling") for path in (DOCS.parent / name).rglob("*.py")
    ]
    used = {
        name for path in sources for name in re.findall(r'getLogger\("([\w.]+)"\)', path.read_text("utf-8"))
    }
    table = PAGE.read_text("utf-8").partition("| Logger |")[2].partition("\n\n")[0]
    shown = {
        name.replace("….", "libp2p.transport.webrtc.")
        for row in table.splitlines()
        for name in re.findall(r"`([\w.…]+)`", row.split("|")[1] if "|" in row else "")
    }
    assert shown - {"aiortc", "aioice"} == used
