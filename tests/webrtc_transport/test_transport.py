"""The life of a transport, and what it refuses."""

import itertools
import time
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from tests.leaks import nothing_left
from tests.pairs import config, connected, read_all, serving, transport
from webrtc_signaling.memory import MemoryBackend
from webrtc_transport import Certificate, Identity, TransportConfig, WebRTCTransport, connector
from webrtc_transport.connection import WebRTCAttribute
from webrtc_transport.errors import (
    AddressError,
    ConfigurationError,
    ConnectError,
    PeerUnreachable,
    PluginNotFound,
    SignalingRejected,
)
from webrtc_transport.protocol.signals import Candidate

pytestmark = pytest.mark.anyio


async def test_leaving_the_transport_closes_its_connections():
    async with transport() as server:
        listener = await server.listen("/webrtc")
        async with transport() as client:
            await client.dial(listener.addresses[0])
            inbound = await listener.accept()
        with anyio.fail_after(1):
            await inbound.wait_closed()


async def test_an_exception_leaves_the_transport_as_it_is():
    with pytest.raises(ZeroDivisionError):
        async with transport():
            raise ZeroDivisionError


async def test_addresses_that_cannot_be_dialed():
    async with transport() as client:
        with pytest.raises(AddressError, match="own address"):
            await client.dial(f"/webrtc/p2p/{client.peer_id}")
        with pytest.raises(AddressError, match="expected /webrtc/p2p"):
            await client.dial("/ip4/127.0.0.1/tcp/4001")


async def test_a_transport_is_used_inside_of_async_with():
    client = transport()
    with pytest.raises(RuntimeError, match="async with"):
        await client.dial(f"/webrtc/p2p/{Identity.generate().peer_id}")
    async with client:
        pass
    with pytest.raises(RuntimeError, match="async with"):
        await client.listen("/webrtc")
    with pytest.raises(RuntimeError, match="once"):
        await client.__aenter__()


async def test_signaling_is_needed():
    async with WebRTCTransport(Identity.generate()) as client:
        with pytest.raises(ConfigurationError, match="no signaling backend"):
            await client.dial(f"/webrtc/p2p/{Identity.generate().peer_id}")
        with pytest.raises(ConfigurationError, match="no signaling backend"):
            await client.listen("/webrtc")


def test_signaling_is_a_list():
    with pytest.raises(ConfigurationError, match="pass signaling="):
        WebRTCTransport(Identity.generate(), signaling="ws://127.0.0.1:8765")


async def test_signaling_urls_have_a_scheme():
    with pytest.raises(ConfigurationError, match="begins with a scheme"):
        async with WebRTCTransport(Identity.generate(), signaling=["127.0.0.1"]):
            pass


async def test_nothing_is_left_of_a_transport():
    async with nothing_left():
        async with connected() as pair, serving(pair.listener):
            async with await pair.dialer.open_stream() as stream:
                await stream.send(b"hello")
                await stream.send_eof()
                assert await read_all(stream) == b"hello"


# --- settings that are seen in the transport as a whole -------------------------------------------------------------


async def test_the_configured_certificate_is_shown():
    certificate = Certificate.generate(now=datetime.now(UTC))
    async with (
        transport(settings=config(certificate=certificate)) as server,
        transport() as client,
    ):
        listener = await server.listen("/webrtc")
        async with await client.dial(listener.addresses[0]) as connection:
            shown = connection.extra(WebRTCAttribute.remote_fingerprint)
            assert shown.digest == certificate.fingerprint("sha-256")


async def test_an_expired_certificate_is_refused_by_name():
    certificate = Certificate.generate(now=datetime.now(UTC) - timedelta(days=60))
    async with transport() as server, transport(settings=config(certificate=certificate)) as client:
        listener = await server.listen("/webrtc")
        with pytest.raises(ConfigurationError, match=r"expired on .* UTC; make a new one"):
            await client.dial(listener.addresses[0])


def test_an_unknown_engine_is_refused_by_name():
    with pytest.raises(PluginNotFound, match="no plugin 'steam'"):
        WebRTCTransport(Identity.generate(), config=TransportConfig(engine="steam"))


@pytest.mark.parametrize("allowed", [300, 1000])
async def test_clocks_may_differ_as_configured(allowed, monkeypatch):
    clock = connector._now_ms
    # The dialer, who asks first, is ten minutes behind.
    times = itertools.chain([clock() - 600_000], (clock() for _ in itertools.count()))
    monkeypatch.setattr(connector, "_now_ms", lambda: next(times))
    async with transport(settings=config(proof_max_age=allowed)) as server, transport() as client:
        listener = await server.listen("/webrtc")
        if allowed < 600:
            with pytest.raises(SignalingRejected, match=r"600.* s ago by our clock.*check the clocks"):
                await client.dial(listener.addresses[0])
        else:
            await (await client.dial(listener.addresses[0])).aclose()


async def test_an_orderly_close_waits_no_longer_than_configured():
    async with (
        transport() as server,
        transport(settings=config(close_timeout=0.2)) as client,
    ):
        listener = await server.listen("/webrtc")
        connection = await client.dial(listener.addresses[0])
        inbound = await listener.accept()
        # The peer takes the channel and never answers on it, so its end is never acknowledged.
        inbound._link.on_channel = lambda channel: None
        stream = await connection.open_stream()
        await stream.send_eof()
        started = time.monotonic()
        await connection.aclose()
        assert 0.2 <= time.monotonic() - started < 2


# --- leaving it while something is under way ------------------------------------------------------------------------


async def dial_while_it_is_left(client, address, delay):
    """Leave ``client`` that many seconds into a dial; returns what the dial raised."""
    caught = None

    async def dial():
        nonlocal caught
        with pytest.raises(ConnectError) as info:
            await client.dial(address)
        caught = info.value

    with anyio.fail_after(10):
        async with anyio.create_task_group() as task_group:
            async with client:
                task_group.start_soon(dial)
                await anyio.sleep(delay)
    return caught


def without_candidates(signal):
    return [] if isinstance(signal, Candidate) else [signal]


async def test_a_dial_without_an_answer_fails_when_the_transport_is_left():
    async with MemoryBackend(Identity.generate()) as silent, anyio.create_task_group() as task_group:
        await task_group.start(silent.serve, lambda session: anyio.sleep_forever())
        address = f"/webrtc/p2p/{silent._member.peer}"
        assert "closed" in str(await dial_while_it_is_left(transport(), address, 0.2))
        task_group.cancel_scope.cancel()


async def test_a_dial_in_ice_fails_when_the_transport_is_left():
    async with transport(intercept=without_candidates) as server:
        listener = await server.listen("/webrtc")
        client = transport(intercept=without_candidates)
        failure = await dial_while_it_is_left(client, listener.addresses[0], 0.3)
        assert str(failure) == "the connection was given up before it stood: the transport was closed"


async def test_a_dial_that_waits_for_ice_servers_fails_when_the_transport_is_left():
    async def servers():
        await anyio.sleep(0.5)
        return ()

    async with transport() as server:
        listener = await server.listen("/webrtc")
        client = transport(settings=config(ice_servers=servers))
        failure = await dial_while_it_is_left(client, listener.addresses[0], 0.2)
        assert str(failure) == "the transport was closed"


class Hanging(MemoryBackend):
    async def serve(self, handler, *, task_status=anyio.TASK_STATUS_IGNORED):
        await anyio.sleep_forever()


async def test_listening_that_is_cancelled_halfway_leaves_nobody_listening():
    identity = Identity.generate()
    backends = [MemoryBackend(identity), Hanging(identity)]
    async with (
        WebRTCTransport(identity, signaling=backends, config=config()) as server,
        transport() as client,
    ):
        with anyio.move_on_after(0.2):
            await server.listen("/webrtc")
        with pytest.raises(PeerUnreachable):
            await client.dial(f"/webrtc/p2p/{identity.peer_id}")
