"""Dials that succeed, that fail by name, and that are cancelled at any of their awaits."""

import time
import types

import anyio
import pytest

from tests.leaks import nothing_left
from tests.pairs import config, connected, echo, read_all, serving, transport
from webrtc_signaling.memory import MemoryBackend
from webrtc_transport import Identity, IceServer, TransportConfig, WebRTCTransport
from webrtc_transport.abc import SignalingBackend
from webrtc_transport.connection import ConnectionState, WebRTCAttribute
from webrtc_transport.errors import (
    AddressError,
    ConfigurationError,
    ConnectError,
    ConnectionAborted,
    ConnectionClosed,
    ConnectTimeout,
    DtlsFailed,
    IceFailed,
    InvalidProof,
    InvalidSignal,
    PeerUnreachable,
    SignalingRejected,
    SignalingUnavailable,
)
from webrtc_transport.protocol.signals import Answer, Candidate, Offer

pytestmark = pytest.mark.anyio


async def test_what_a_connection_tells():
    async with connected() as pair:
        connection = pair.dialer
        assert connection.state is ConnectionState.CONNECTED
        assert connection.end_reason is None
        assert connection.candidate_pair.kind == "host"
        assert str(connection.local_address) == str(pair.listener.remote_address)
        assert str(connection.remote_address) == str(pair.listener.local_address)
        assert str(connection.remote_multiaddr) == f"/webrtc/p2p/{connection.remote_peer}"
        assert connection.extra(WebRTCAttribute.remote_peer) == connection.remote_peer
        assert connection.extra(WebRTCAttribute.candidate_pair) == connection.candidate_pair
        fingerprint = connection.extra(WebRTCAttribute.remote_fingerprint)
        assert fingerprint.algorithm == "sha-256"
        assert min(vars(connection.setup_times).values()) >= 0
        assert 0 < connection.setup_times.total < 20
        stream = await connection.open_stream()
        assert stream.extra(WebRTCAttribute.local_address) == connection.local_address
        await stream.send(b"data")
        await pair.listener.accept_stream()
        statistics = await connection.statistics()
        assert statistics.streams == 1
        assert statistics.engine.bytes_sent > 0
        assert statistics.engine.packets_received > 0


async def test_states_are_told_as_they_change():
    async with connected() as pair:
        states = []

        async def watch():
            states.extend([state async for state in pair.listener.state_changes()])

        async with anyio.create_task_group() as task_group:
            task_group.start_soon(watch)
            await anyio.wait_all_tasks_blocked()
            await pair.dialer.aclose()
        assert states == [ConnectionState.CONNECTED, ConnectionState.CLOSED]


async def test_a_close_is_noticed_within_a_second():
    async with connected() as pair:
        with anyio.fail_after(1):
            await pair.dialer.aclose()
            reason = await pair.listener.wait_closed()
        assert isinstance(reason, ConnectionClosed)
        assert str(reason) == "the peer closed the connection"
        assert str(pair.dialer.end_reason) == "this end closed the connection"


async def test_an_abort_is_noticed_within_a_second():
    async with connected() as pair:
        with anyio.fail_after(1):
            await pair.dialer.abort()
            await pair.listener.wait_closed()
        assert isinstance(pair.dialer.end_reason, ConnectionAborted)


async def test_an_orderly_close_lets_streams_drain():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(bytes(300_000))
        await stream.send_eof()
        received = b""

        async def read():
            nonlocal received
            received = await read_all(await pair.listener.accept_stream())

        async with anyio.create_task_group() as task_group:
            task_group.start_soon(read)
            await pair.dialer.aclose()
        assert len(received) == 300_000


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


async def test_listeners_serve_until_closed():
    async with transport() as server, transport() as client, anyio.create_task_group() as task_group:
        listener = await server.listen("/webrtc")
        served = anyio.Event()

        async def serve():
            await listener.serve(lambda connection: connection.serve(echo))
            served.set()

        task_group.start_soon(serve)
        async with await client.dial(listener.addresses[0]) as connection:
            async with await connection.open_stream() as stream:
                await stream.send(b"hello")
                await stream.send_eof()
                assert await read_all(stream) == b"hello"
        await listener.aclose()
        with anyio.fail_after(5):
            await served.wait()
        with pytest.raises(anyio.ClosedResourceError):
            await listener.accept()


# --- failures -----------------------------------------------------------------------------------------------------


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


async def test_an_unknown_peer_is_unreachable():
    async with transport() as client:
        with pytest.raises(PeerUnreachable):
            await client.dial(f"/webrtc/p2p/{Identity.generate().peer_id}")


async def test_a_peer_that_never_answers_fails_the_dial_at_its_deadline():
    identity = Identity.generate()

    async def ignore(session):
        await anyio.sleep_forever()

    async with (
        transport(settings=config(dial_timeout=0.3)) as client,
        MemoryBackend(identity) as silent,
        anyio.create_task_group() as task_group,
    ):
        await task_group.start(silent.serve, ignore)
        started = time.monotonic()
        with pytest.raises(ConnectTimeout, match="phase 'signaling': the peer did not answer"):
            await client.dial(f"/webrtc/p2p/{identity.peer_id}")
        assert time.monotonic() - started < 2
        task_group.cancel_scope.cancel()


class Unavailable(SignalingBackend):
    @classmethod
    def from_url(cls, url, context):
        return cls()

    async def __aexit__(self, *exc_info):
        pass

    async def connect(self, peer):
        raise SignalingUnavailable("nobody there")

    async def serve(self, handler, *, task_status=anyio.TASK_STATUS_IGNORED):
        raise SignalingUnavailable("nobody there")


async def test_the_next_signaling_backend_is_tried():
    server_id, client_id = Identity.generate(), Identity.generate()
    settings = config()
    async with (
        WebRTCTransport(
            server_id, signaling=[Unavailable(), MemoryBackend(server_id)], config=settings
        ) as server,
        WebRTCTransport(
            client_id, signaling=[Unavailable(), MemoryBackend(client_id)], config=settings
        ) as client,
    ):
        listener = await server.listen("/webrtc")
        async with await client.dial(listener.addresses[0]):
            pass


async def test_no_signaling_backend_works():
    async with WebRTCTransport(Identity.generate(), signaling=[Unavailable(), Unavailable()]) as client:
        with pytest.raises(SignalingUnavailable, match="nobody there; nobody there"):
            await client.dial(f"/webrtc/p2p/{Identity.generate().peer_id}")
        with pytest.raises(SignalingUnavailable, match="nobody there"):
            await client.listen("/webrtc")


async def dial_with(intercept, *, side="client"):
    """Dial with somebody between the peers; returns what the listener logged as its failure."""
    server = transport(**({"intercept": intercept} if side == "server" else {}))
    client = transport(**({"intercept": intercept} if side == "client" else {}))
    async with server, client:
        listener = await server.listen("/webrtc")
        with anyio.fail_after(10):
            async with await client.dial(listener.addresses[0]):
                pass


def changed_sdp(change, kind):
    def intercept(signal):
        if isinstance(signal, kind):
            data = signal.data.model_copy(update={"sdp": change(signal.data.sdp)})
            return [signal.model_copy(update={"data": data})]
        return [signal]

    return intercept


async def test_an_altered_offer_is_refused():
    with pytest.raises(SignalingRejected, match="signature of the offer"):
        await dial_with(changed_sdp(lambda sdp: sdp.replace("a=mid:0", "a=mid:1"), Offer))


async def test_an_altered_answer_is_refused():
    with pytest.raises(InvalidProof, match="signature of the answer"):
        await dial_with(changed_sdp(lambda sdp: sdp + "a=x\r\n", Answer), side="server")


async def test_an_unsigned_offer_is_refused():
    def intercept(signal):
        return [signal.model_copy(update={"proof": None})] if isinstance(signal, Offer) else [signal]

    with pytest.raises(SignalingRejected, match="isn't signed"):
        await dial_with(intercept)


async def test_an_unsigned_answer_is_refused():
    def intercept(signal):
        return [signal.model_copy(update={"proof": None})] if isinstance(signal, Answer) else [signal]

    with pytest.raises(InvalidProof, match="isn't signed"):
        await dial_with(intercept, side="server")


async def test_a_session_that_begins_with_a_candidate_is_refused():
    with pytest.raises(SignalingRejected, match="begins with an offer"):
        await dial_with(lambda signal: [Candidate(), signal])


async def test_a_second_answer_where_candidates_are_due_is_ignored():
    await dial_with(
        lambda signal: [signal, signal] if isinstance(signal, Answer) else [signal], side="server"
    )


async def test_candidates_that_make_no_sense_are_ignored():
    def intercept(signal):
        if isinstance(signal, Candidate) and signal.data and signal.data.candidate:
            nonsense = signal.data.model_copy(update={"candidate": "candidate:nonsense"})
            return [signal.model_copy(update={"data": nonsense}), signal]
        return [signal]

    await dial_with(intercept)


async def test_a_peer_without_candidates_fails_ice_by_name():
    def intercept(signal):
        if isinstance(signal, Candidate) and signal.data and signal.data.candidate:
            return []
        return [signal]

    server, client = transport(intercept=intercept), transport(intercept=intercept)
    async with server, client:
        listener = await server.listen("/webrtc")
        with anyio.fail_after(10), pytest.raises(ConnectError, match="no candidate pair worked"):
            await client.dial(listener.addresses[0])


async def test_a_description_that_is_malformed_is_refused():
    identity = Identity.generate()
    server = transport(identity=identity)

    async def offer(session):
        from webrtc_transport.protocol.signals import DescriptionData

        await session.send(Offer(data=DescriptionData(type="offer", sdp="v=0\r\nnonsense\r\n")))

    async with server, MemoryBackend(Identity.generate(), authenticated=True) as stranger:
        await server.listen("/webrtc")
        async with await stranger.connect(identity.peer_id) as session:
            await offer(session)
            with pytest.raises(SignalingRejected) as caught:
                await session.receive()
            # The listener's own backend doesn't prove the stranger, whatever the stranger's claims.
            assert caught.value.code == "invalid-proof"


async def test_a_replayed_offer_is_refused():
    offers = []

    def intercept(signal):
        if isinstance(signal, Offer):
            offers.append(signal)
        return [signal]

    server, client = transport(), transport(intercept=intercept)
    async with server, client:
        listener = await server.listen("/webrtc")
        async with await client.dial(listener.addresses[0]):
            pass
        async with MemoryBackend(client.identity) as replayer:
            async with await replayer.connect(server.peer_id) as session:
                await session.send(offers[0])
                with pytest.raises(SignalingRejected) as caught:
                    await session.receive()
                assert caught.value.code == "invalid-proof"


async def test_a_busy_listener_says_so():
    held = anyio.Event()
    server = transport(settings=config(max_inbound_handshakes=1, inbound_timeout=5))
    async with server, transport() as client, MemoryBackend(Identity.generate()) as idler:
        listener = await server.listen("/webrtc")
        async with await idler.connect(server.peer_id):
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(SignalingRejected, match="1 handshakes are under way") as caught:
                await client.dial(listener.addresses[0])
            assert caught.value.code == "busy"
        held.set()


async def test_a_full_backlog_of_connections_says_so():
    server = transport(settings=config(accept_backlog=1))
    async with server, transport() as client:
        listener = await server.listen("/webrtc")
        await client.dial(listener.addresses[0])
        while not listener._accepted:
            await anyio.sleep(0.001)
        with pytest.raises(SignalingRejected, match="1 connections wait to be accepted"):
            await client.dial(listener.addresses[0])


async def test_a_session_without_an_offer_ends_at_the_deadline():
    server = transport(settings=config(inbound_timeout=0.2))
    async with server, MemoryBackend(Identity.generate()) as idler:
        await server.listen("/webrtc")
        async with await idler.connect(server.peer_id) as session:
            with anyio.fail_after(5), pytest.raises(SignalingRejected, match="sent no offer"):
                await session.receive()


async def test_another_certificate_fails_dtls_by_name(monkeypatch):
    from webrtc_transport.connector import Connector
    from webrtc_transport.protocol.sdp import Fingerprint, SessionDescription

    sign_answer = Connector.sign_answer

    def sign_wrong(self, session, sdp):
        wrong = Fingerprint("sha-256", bytes(32))
        lines = [
            f"a=fingerprint:{wrong.to_sdp()}" if line.startswith("a=fingerprint") else line
            for line in sdp.split("\r\n")
        ]
        assert SessionDescription.parse("\r\n".join(lines)).fingerprints == (wrong,)
        return sign_answer(self, session, "\r\n".join(lines))

    monkeypatch.setattr(Connector, "sign_answer", sign_wrong)
    async with transport() as server, transport() as client:
        listener = await server.listen("/webrtc")
        with anyio.fail_after(10), pytest.raises(DtlsFailed, match="certificate does not match"):
            await client.dial(listener.addresses[0])


async def test_relay_only_without_a_turn_server_fails_by_name():
    settings = config(ice_transport_policy="relay")
    async with transport() as server, transport(settings=settings) as client:
        listener = await server.listen("/webrtc")
        with anyio.fail_after(10), pytest.raises(IceFailed, match="no TURN server gave a relay"):
            await client.dial(listener.addresses[0])


async def test_ice_servers_may_come_from_an_async_function():
    asked = 0

    async def servers():
        nonlocal asked
        asked += 1
        await anyio.lowlevel.checkpoint()
        return [IceServer(urls="stun:127.0.0.1:9")]

    async with transport() as server, transport(settings=config(ice_servers=servers)) as client:
        listener = await server.listen("/webrtc")
        for _ in range(2):
            async with await client.dial(listener.addresses[0]):
                pass
    assert asked == 2


# --- many ---------------------------------------------------------------------------------------------------------


async def test_200_dials_that_go_nowhere_leave_a_healthy_one_alone():
    silent_id = Identity.generate()

    async def ignore(session):
        await anyio.sleep_forever()

    async def in_vain(client):
        with pytest.raises(ConnectTimeout):
            await client.dial(f"/webrtc/p2p/{silent_id.peer_id}")

    async def healthy(client, address):
        started = time.perf_counter()
        async with await client.dial(address):
            return time.perf_counter() - started

    async with (
        transport() as server,
        transport(settings=config(dial_timeout=15)) as client,
        MemoryBackend(silent_id) as silent,
        anyio.create_task_group() as task_group,
    ):
        listener = await server.listen("/webrtc")
        await task_group.start(silent.serve, ignore)
        task_group.start_soon(listener.serve, lambda connection: connection.wait_closed())
        alone = sorted([await healthy(client, listener.addresses[0]) for _ in range(5)])[2]
        for _ in range(4):
            for _ in range(50):
                task_group.start_soon(in_vain, client)
            await anyio.wait_all_tasks_blocked()
        crowded = sorted([await healthy(client, listener.addresses[0]) for _ in range(5)])[2]
        # Not a benchmark: a dial that waited for the others would take their 15 s.
        assert crowded < 5
        print(f"alone {alone * 1000:.1f} ms, beside 200 in vain {crowded * 1000:.1f} ms")
        task_group.cancel_scope.cancel()


# --- cancellation -------------------------------------------------------------------------------------------------


@types.coroutine
def cancelling(coroutine, scope, number):
    """Run ``coroutine``, and cancel ``scope`` when it waits for the ``number``th time."""
    value, error = None, None
    waits = 0
    while True:
        try:
            waited_for = coroutine.send(value) if error is None else coroutine.throw(error)
        except StopIteration as exc:
            return exc.value
        waits += 1
        if waits == number:
            scope.cancel()
        try:
            value, error = (yield waited_for), None
        except BaseException as exc:
            error = exc


async def cancel_everywhere(operation):
    """Cancel ``operation()`` at each of its awaits in turn, until it gets through without."""
    number = 0
    while True:
        number += 1
        with anyio.CancelScope() as scope:
            await cancelling(operation(), scope, number)
        if not scope.cancel_called:
            return number - 1


async def test_a_dial_can_be_cancelled_at_every_await():
    async with transport() as server, transport() as client, anyio.create_task_group() as task_group:
        listener = await server.listen("/webrtc")
        task_group.start_soon(listener.serve, lambda connection: connection.wait_closed())

        async def dial():
            async with await client.dial(listener.addresses[0]):
                pass

        await dial()
        async with nothing_left():
            assert await cancel_everywhere(dial) > 5
        task_group.cancel_scope.cancel()


async def test_listening_can_be_cancelled_at_every_await():
    async def listen():
        async with transport() as server:
            listener = await server.listen("/webrtc")
            await listener.aclose()

    await listen()
    async with nothing_left():
        assert await cancel_everywhere(listen) > 2


async def test_an_inbound_connection_can_be_cancelled_at_every_await():
    async with transport() as client:

        async def accept():
            async with transport() as server, anyio.create_task_group() as task_group:
                listener = await server.listen("/webrtc")
                task_group.start_soon(dial, listener.addresses[0])
                async with await listener.accept():
                    pass

        async def dial(address):
            try:
                async with await client.dial(address):
                    pass
            except ConnectError:
                return

        await accept()
        async with nothing_left():
            assert await cancel_everywhere(accept) > 5


async def test_streams_can_be_cancelled_at_every_await():
    async with connected() as pair, serving(pair.listener):

        async def use():
            async with await pair.dialer.open_stream() as stream:
                await stream.send(bytes(400_000))
                await stream.send_eof()
                assert len(await read_all(stream)) == 400_000

        await use()
        async with nothing_left():
            assert await cancel_everywhere(use) > 20
        # The connection has come through all of that.
        await use()


async def test_nothing_is_left_of_a_transport():
    async with nothing_left():
        async with connected() as pair, serving(pair.listener):
            async with await pair.dialer.open_stream() as stream:
                await stream.send(b"hello")
                await stream.send_eof()
                assert await read_all(stream) == b"hello"


def test_every_setting_is_read_somewhere():
    from pathlib import Path

    import webrtc_transport

    sources = [
        path.read_text()
        for path in Path(webrtc_transport.__file__).parent.rglob("*.py")
        if path.name != "config.py"
    ]
    for field in TransportConfig.model_fields:
        assert any(f".{field}" in source for source in sources), field
    assert InvalidSignal.phase == "signaling"
