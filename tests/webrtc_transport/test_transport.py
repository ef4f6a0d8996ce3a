"""The life of a transport, and what it refuses."""

import itertools
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import pytest

from tests.leaks import nothing_left
from tests.logs import own_records
from tests.pairs import config, connected, read_all, serving, transport
from webrtc_signaling.memory import MemoryBackend
from webrtc_transport import Certificate, Identity, TransportConfig, WebRTCTransport, signaled_connector
from webrtc_transport.connection import WebRTCAttribute
from webrtc_transport.errors import (
    AddressError,
    ConfigurationError,
    ConnectError,
    PeerUnreachable,
    PluginNotFound,
    SignalingRejected,
    SignalingUnavailable,
)
from webrtc_transport.protocol.sdp import Fingerprint, SessionDescription
from webrtc_transport.protocol.signals import Candidate, DescriptionData, Offer

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


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
async def test_a_transport_belongs_to_one_event_loop(backend):
    async with transport() as client:

        async def elsewhere():
            with pytest.raises(RuntimeError, match="another event loop; make one for each"):
                await client.dial(f"/webrtc/p2p/{Identity.generate().peer_id}")
            with pytest.raises(RuntimeError, match="another event loop; make one for each"):
                await client.listen("/webrtc")

        await anyio.to_thread.run_sync(lambda: anyio.run(elsewhere, backend=backend))
        with pytest.raises(PeerUnreachable):
            await client.dial(f"/webrtc/p2p/{Identity.generate().peer_id}")


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


async def test_a_transport_that_could_not_be_entered_is_not_running(monkeypatch):
    client = transport()
    urls = client._signaling
    monkeypatch.setattr(client, "_signaling", [*urls, "127.0.0.1"])
    with pytest.raises(ConfigurationError, match="begins with a scheme"):
        await client.__aenter__()
    with pytest.raises(RuntimeError, match="async with"):
        await client.dial(f"/webrtc/p2p/{Identity.generate().peer_id}")
    monkeypatch.setattr(client, "_signaling", urls)
    async with client:
        assert len(client._backends) == len(urls)


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
    clock = signaled_connector._now_ms
    # The dialer, who asks first, is ten minutes behind.
    times = itertools.chain([clock() - 600_000], (clock() for _ in itertools.count()))
    monkeypatch.setattr(signaled_connector, "_now_ms", lambda: next(times))
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


# --- what isn't of the type that is asked for ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"identity": "key.pem"}, r"identity has to be Identity, not str; Identity\.load_or_create\(path\)"),
        (
            {"config": {"dial_timeout": 3}},
            "config has to be .*TransportConfig, not dict; pass TransportConfig",
        ),
        ({"engine": "native"}, "engine has to be .*Engine, not str; its name is a field"),
    ],
)
def test_what_a_transport_is_made_of_is_checked(arguments, message):
    with pytest.raises(TypeError, match=message):
        WebRTCTransport(**{"identity": Identity.generate(), **arguments})


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (5, "signaling takes URLs, backends and functions that make one, not int"),
        (lambda context: None, "has to return a SignalingBackend, not NoneType"),
    ],
)
async def test_what_signaling_is_made_of_is_checked(source, message):
    with pytest.raises(TypeError, match=message):
        async with WebRTCTransport(Identity.generate(), signaling=[source]):
            pass


@pytest.mark.parametrize(
    ("source", "error", "shown"),
    [
        ("anna:SECRET@localhost?token=SECRET", ConfigurationError, "'…@localhost?…' is no signaling URL"),
        (b"ws://anna:SECRET@localhost", TypeError, "functions that make one, not bytes"),
        ("anna:SECRET@localhost/?u=x://y", ConfigurationError, "is no signaling URL"),
        ("ws:localhost?token=SECRET&u=x://y", ConfigurationError, "'ws:localhost?…' is no signaling URL"),
    ],
)
async def test_secrets_in_what_is_no_signaling_are_not_shown(source, error, shown):
    with pytest.raises(error) as caught:
        async with WebRTCTransport(Identity.generate(), signaling=[source]):
            pass
    assert shown in str(caught.value)
    assert "SECRET" not in str(caught.value)


async def test_a_scheme_that_is_nearly_right_says_which_to_use():
    with pytest.raises(PluginNotFound, match="write ws:// in place of websocket://"):
        async with WebRTCTransport(Identity.generate(), signaling=["websocket://127.0.0.1:8765"]):
            pass


@pytest.mark.parametrize("url", ["http://127.0.0.1:8765", "https://signaling.example.org"])
async def test_the_address_of_a_page_is_one_of_a_server(url):
    async with WebRTCTransport(Identity.generate(), signaling=[url]):
        pass


@pytest.mark.parametrize("address", [b"/webrtc", None, 5])
async def test_addresses_are_text_or_multiaddrs(address):
    async with transport() as client:
        for use in (client.dial, client.listen):
            with pytest.raises(TypeError, match=r"an address is text like /webrtc.*, or a Multiaddr, not"):
                await use(address)


async def test_the_function_ice_servers_is_async():
    async with transport() as server, transport(settings=config(ice_servers=list)) as client:
        listener = await server.listen("/webrtc")
        with pytest.raises(ConfigurationError, match="ice_servers isn't async; write it with `async def`"):
            await client.dial(listener.addresses[0])


async def test_a_listening_that_fails_is_raised_and_not_logged_too(caplog):
    async with WebRTCTransport(Identity.generate(), signaling=["ws://127.0.0.1:9"]) as server:
        with pytest.raises(SignalingUnavailable):
            await server.listen("/webrtc")
    assert own_records(caplog) == []


async def test_a_listening_that_fails_in_part_is_logged(caplog):
    identity = Identity.generate()
    sources = ["ws://127.0.0.1:9", MemoryBackend(identity)]
    async with WebRTCTransport(identity, signaling=sources) as server:
        await server.listen("/webrtc")
    [record] = own_records(caplog)
    assert record.getMessage().startswith("not listening over WebSocketBackend: no connection to ws://")


# --- who is there -----------------------------------------------------------------------------------------------------


def with_fingerprints(*fingerprints):
    """Puts others in place of the one in the description; nothing else is signed here."""

    def intercept(signal):
        if not isinstance(signal, Offer):
            return [signal]
        description = SessionDescription.parse(signal.data.sdp)
        data = replace(description, fingerprints=fingerprints).to_sdp()
        return [Offer(data=DescriptionData(type="offer", sdp=data))]

    return intercept


def fingerprint(certificate, algorithm):
    return Fingerprint(algorithm, certificate.fingerprint(algorithm))


OWN, OTHER = (Certificate.generate(now=datetime.now(UTC)) for _ in range(2))
STRONG = fingerprint(OWN, "sha-512")


@pytest.mark.parametrize("engine", ["aiortc", "native", "memory"])
@pytest.mark.parametrize(
    ("announced", "expected"),
    [
        # The preferred hash function alone counts (RFC 8122, section 5).
        pytest.param([fingerprint(OTHER, "sha-256"), STRONG], STRONG, id="two functions"),
        pytest.param([STRONG, STRONG], STRONG, id="twice the same"),
        # Either may be the one. aiortc takes a certificate only if all are its own.
        pytest.param([fingerprint(OTHER, "sha-512"), STRONG], None, id="two certificates"),
    ],
)
async def test_the_fingerprint_is_that_of_the_certificate_that_was_shown(engine, announced, expected):
    if engine == "aiortc" and expected is None:
        return
    async with (
        transport(settings=config(engine=engine), authenticated=True) as server,
        transport(
            settings=config(certificate=OWN, engine=engine),
            authenticated=True,
            intercept=with_fingerprints(*announced),
        ) as client,
    ):
        listener = await server.listen("/webrtc")
        await client.dial(listener.addresses[0])
        connection = await listener.accept()
        assert connection.extra(WebRTCAttribute.remote_fingerprint, None) == expected
