"""What only a backend over NATS has to do: live with its server, and with whoever else is on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import anyio
import broker
import nats
import pytest

from webrtc_signaling.envelopes import encode_envelope
from webrtc_signaling.limits import MAX_BATCH_SIZE
from webrtc_signaling.messages import Envelope
from webrtc_signaling.testing.meeting import echo, serving, session_pair, until_bye
from webrtc_signaling.testing.samples import ANSWER, BYE, OFFER, candidate
from webrtc_signaling_nats import NatsBackend, NatsOptions
from webrtc_transport import Identity, TransportConfig, WebRTCTransport
from webrtc_transport.abc import SignalingContext
from webrtc_transport.errors import ConfigurationError, InvalidSignal, PeerUnreachable, SignalingUnavailable
from webrtc_transport.portal import open_portal
from webrtc_transport.protocol.proof import sign_description

pytestmark = pytest.mark.anyio

LOGGER = "libp2p.transport.webrtc.signaling.nats"
SECRET = "open-sesame"
TIMEOUT = 30
SESSION = "session-0123456789"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@pytest.fixture
def alice():
    return Identity.generate()


@pytest.fixture
def bob():
    return Identity.generate()


@contextlib.asynccontextmanager
async def backend(identity, url=broker.URL, **options):
    with anyio.fail_after(TIMEOUT):
        async with open_portal() as portal:
            context = SignalingContext(identity, TransportConfig(), portal)
            async with NatsBackend(url, context, options=NatsOptions(**options)) as entered:
                yield entered


async def publish(identity, *payloads):
    """Be somebody else on the server. Returns whether each was acknowledged; asyncio's, in a thread of its own."""

    async def main():
        async with await nats.connect(broker.URL) as connection:
            return [await acknowledged(connection, payload) for payload in payloads]

    async def acknowledged(connection, payload):
        try:
            await connection.request(f"webrtc-signaling.{identity.peer_id}", payload, timeout=0.1)
        except nats.errors.TimeoutError:
            return False
        return True

    return await anyio.to_thread.run_sync(lambda: asyncio.run(main()))


def envelope(sender, recipient, signal=OFFER, index=0):
    fields = {"sender": str(sender.peer_id), "recipient": str(recipient.peer_id)}
    return encode_envelope(Envelope(**fields, session=SESSION, index=index, signal=signal))


@pytest.mark.parametrize(
    "url",
    [
        "nats://",
        "nats://:4222",
        "nats://host:0",
        "nats://host:port",
        "nats://host/a*",
        "nats://host/a..b",
        "nats://host/a b",
        "nats://host?x=1",
        "nats://host#x",
        "ws://host",
    ],
)
async def test_a_url_that_names_no_server_is_refused(url, alice):
    with pytest.raises(ConfigurationError, match="use nats://host:4222"):
        NatsBackend(url, SignalingContext(alice, TransportConfig(), None))


async def test_no_server_is_said_at_once_and_without_the_password(alice, bob):
    port = broker.free_port()
    async with backend(alice, f"nats://me:{SECRET}@127.0.0.1:{port}") as entered:
        for _ in range(2):
            with pytest.raises(SignalingUnavailable, match=rf"127\.0\.0\.1:{port}.*let us in") as caught:
                await entered.connect(bob.peer_id)
            assert SECRET not in str(caught.value)


async def test_a_server_that_does_not_let_us_in_is_said(alice, bob):
    port = broker.free_port()
    with broker.running(port, "--user", "me", "--pass", SECRET):
        async with backend(alice, f"nats://me:wrong@127.0.0.1:{port}") as entered:
            with pytest.raises(SignalingUnavailable, match="Authorization Violation") as caught:
                await entered.connect(bob.peer_id)
            assert "wrong" not in str(caught.value)
        async with backend(alice, f"nats://me:{SECRET}@127.0.0.1:{port}") as entered:
            async with await entered.connect(bob.peer_id) as session:
                await session.send(OFFER)
                with pytest.raises(PeerUnreachable, match="peer-not-found"):
                    await session.receive()


async def test_what_is_no_signal_for_us_is_ignored_and_not_acknowledged(alice, bob, caplog):
    caplog.set_level(logging.DEBUG, LOGGER)
    stranger = Identity.generate()
    garbage = [
        b"",
        b"\xff\xfe",
        b"[]",
        b"{}",
        b"[" * 100_000,
        b"x" * (MAX_BATCH_SIZE + 1),
        envelope(stranger, alice),
        envelope(stranger, bob).replace(str(stranger.peer_id).encode(), b"1111"),
        envelope(stranger, bob) + b"\n{}",
    ]
    async with backend(bob) as service, serving(service, until_bye(echo)):
        assert await publish(bob, *garbage) == [False] * len(garbage)
        ignored = [record for record in caplog.records if "ignored a message" in record.message]
        assert len(ignored) == len(garbage)
        assert {record.levelno for record in ignored} == {logging.DEBUG}
        async with backend(alice) as dialer, await dialer.connect(bob.peer_id) as session:
            await session.send(OFFER)
            assert await session.receive() == OFFER


async def test_who_writes_in_anothers_name_gets_no_connection(alice, bob, caplog):
    caplog.set_level(logging.INFO, "libp2p.transport.webrtc.listener")
    mallory, to_whom = Identity.generate(), {"session_id": SESSION, "receiver": bob.peer_id}
    now = time.time_ns() // 1_000_000
    proof = sign_description(mallory, kind="offer", sdp=OFFER.data.sdp, now_ms=now, **to_whom)
    forged = envelope(alice, bob, OFFER.model_copy(update={"proof": proof}))
    with anyio.fail_after(TIMEOUT):
        async with WebRTCTransport(bob, signaling=[broker.URL]) as transport:
            await transport.listen("/webrtc")
            assert await publish(bob, forged) == [True]
            while "no connection with" not in caplog.text:
                await anyio.sleep(0.01)
    assert (
        f"the offer is signed by {mallory.peer_id}, but it claims to come from {alice.peer_id}" in caplog.text
    )


async def test_a_malformed_signal_ends_its_session_and_no_other(alice, bob):
    stranger = Identity.generate()
    async with backend(bob) as service, backend(alice) as dialer:
        async with session_pair(dialer, service, bob.peer_id) as (ours, theirs):
            broken = envelope(stranger, bob, ANSWER, index=1).replace(b'"sdp"', b'"spd"')
            assert await publish(bob, envelope(stranger, bob), broken) == [True, True]
            await ours.send(candidate(1))
            assert await theirs.receive() == candidate(1)


async def test_a_message_that_comes_twice_counts_once(bob):
    stranger, heard = Identity.generate(), []

    async def handler(session):
        with contextlib.suppress(anyio.EndOfStream):
            while True:
                heard.append(await session.receive())

    first, last = envelope(stranger, bob), envelope(stranger, bob, BYE, index=1)
    async with backend(bob) as service, serving(service, handler):
        assert await publish(bob, first, first, first + b"\n" + last) == [True] * 3
        with anyio.fail_after(5):
            while not heard:
                await anyio.sleep(0.01)
    assert heard == [OFFER]


async def test_who_subscribes_and_takes_nothing_is_unreachable_by_the_deadline(alice, bob):
    async with backend(alice, ack_timeout=0.1, delivery_timeout=0.5) as dialer:
        # Somebody who isn't one of ours sits on the subject of the peer, and never answers.
        async with backend(bob) as silent, serving(silent, echo):
            silent._caller.client.sessions.receive = refuse
            async with await dialer.connect(bob.peer_id) as session:
                await session.send(OFFER)
                with pytest.raises(PeerUnreachable, match="undeliverable"):
                    await session.receive()
                with pytest.raises(PeerUnreachable):
                    await session.send(candidate(1))


def refuse(_message):
    raise InvalidSignal("not today")


async def test_a_peer_that_is_gone_amid_a_session_is_unreachable_by_the_deadline(alice, bob):
    async with backend(alice, delivery_timeout=0.5) as dialer:
        async with (
            backend(bob, close_timeout=0.1) as service,
            session_pair(dialer, service, bob.peer_id) as (ours, _),
        ):
            # As if it had been killed: the connection ends, and no bye is said.
            client = service._caller.client
            client._final = SignalingUnavailable("killed")
            await service._portal.run(client._connection.close)
            await ours.send(candidate(1))
            with pytest.raises(PeerUnreachable, match="undeliverable"):
                await ours.receive()


async def test_sessions_outlive_a_restart_of_the_server(alice, bob, caplog):
    caplog.set_level(logging.INFO, LOGGER)
    port, options = broker.free_port(), {"ack_timeout": 0.2, "retry_initial": 0.01}
    url = f"nats://127.0.0.1:{port}"
    async with backend(alice, url, **options) as dialer, backend(bob, url, **options) as service:
        with contextlib.ExitStack() as server:
            server.enter_context(broker.running(port))
            async with session_pair(dialer, service, bob.peer_id) as (ours, theirs):
                await theirs.send(ANSWER)
                assert await ours.receive() == ANSWER
                server.close()
                # Said while there is no server.
                for number in range(10):
                    await ours.send(candidate(number))
                    await theirs.send(candidate(-number))
                with broker.running(port):
                    for number in range(10):
                        assert await theirs.receive() == candidate(number)
                        assert await ours.receive() == candidate(-number)
    assert "reconnecting" in caplog.text
    assert f"connected to {url} again" in caplog.text
