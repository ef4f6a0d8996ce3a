"""Dials over signaling backends that work, and that do not."""

import gc
import time
import warnings

import anyio
import pytest

from tests.engine_loop import ENDS, end_the_loop, portal_of
from tests.pairs import config, transport
from webrtc_signaling.memory import MemoryBackend
from webrtc_transport import Identity, WebRTCTransport
from webrtc_transport.abc import SignalingBackend, SignalingSession
from webrtc_transport.errors import (
    ConnectError,
    ConnectTimeout,
    InvalidSignal,
    PeerUnreachable,
    SignalingRejected,
    SignalingUnavailable,
)
from webrtc_transport.protocol.limits import MAX_REMOTE_CANDIDATES
from webrtc_transport.protocol.signals import Answer, Candidate
from webrtc_transport.signaled_link import SignaledLink

pytestmark = pytest.mark.anyio


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


async def test_200_dials_that_go_nowhere_leave_a_healthy_one_alone():
    silent_id = Identity.generate()

    async def ignore(session):
        await anyio.sleep_forever()

    async def in_vain(client):
        with pytest.raises(ConnectTimeout):
            await client.dial(f"/webrtc/p2p/{silent_id.peer_id}")

    async with (
        transport() as server,
        transport(settings=config(dial_timeout=15)) as client,
        MemoryBackend(silent_id) as silent,
        anyio.create_task_group() as task_group,
    ):
        listener = await server.listen("/webrtc")
        await task_group.start(silent.serve, ignore)
        task_group.start_soon(listener.serve, lambda connection: connection.wait_closed())
        for _ in range(4):
            for _ in range(50):
                task_group.start_soon(in_vain, client)
            await anyio.wait_all_tasks_blocked()
        # One that waited for the others would take their 15 s; benchmarks measure how long it takes.
        with anyio.fail_after(5):
            async with await client.dial(listener.addresses[0]):
                pass
        task_group.cancel_scope.cancel()


class Refusing(Unavailable):
    async def connect(self, peer):
        raise SignalingRejected("not you", code="replaced")


async def test_a_service_that_refuses_us_is_passed_over():
    identity = Identity.generate()
    backends = [Refusing(), MemoryBackend(identity)]
    async with (
        transport() as server,
        WebRTCTransport(identity, signaling=backends, config=config()) as client,
    ):
        listener = await server.listen("/webrtc")
        async with await client.dial(listener.addresses[0]):
            pass


async def test_a_service_that_refuses_us_alone_says_why():
    async with WebRTCTransport(Identity.generate(), signaling=[Refusing()]) as client:
        with pytest.raises(SignalingRejected, match="not you") as caught:
            await client.dial(f"/webrtc/p2p/{Identity.generate().peer_id}")
        assert caught.value.code == "replaced"


class Slow(MemoryBackend):
    """Takes its time to connect, and its sessions take theirs to close."""

    async def connect(self, peer):
        await anyio.sleep(0.3)
        session = await super().connect(peer)
        close = session.aclose

        async def close_slowly():
            await close()
            await anyio.sleep(60)

        session.aclose = close_slowly
        return session


async def test_a_dial_that_is_cancelled_at_its_very_end_leaves_no_connection():
    identity = Identity.generate()
    async with (
        transport() as server,
        WebRTCTransport(identity, signaling=[Slow(identity)], config=config()) as client,
        anyio.create_task_group() as task_group,
    ):
        listener = await server.listen("/webrtc")
        task_group.start_soon(client.dial, listener.addresses[0])
        inbound = await listener.accept()
        task_group.cancel_scope.cancel()
        with anyio.CancelScope(shield=True), anyio.fail_after(5):
            await inbound.wait_closed()
    assert client.statistics().connections == 0


class ClosesWithACheckpoint(MemoryBackend):
    """Its sessions may be cancelled in each ``aclose``, not in the first one alone."""

    def __init__(self, identity, closing):
        super().__init__(identity)
        self._closing = closing

    async def connect(self, peer):
        session = await super().connect(peer)
        close = session.aclose

        async def aclose():
            await close()
            self._closing()
            await anyio.lowlevel.checkpoint()

        session.aclose = aclose
        return session


@pytest.mark.parametrize("number", [1, 2])
async def test_a_dial_that_is_cancelled_while_its_session_closes_leaves_no_connection(number):
    identity = Identity.generate()
    closes = 0

    def closing():
        nonlocal closes
        closes += 1
        if closes == number:
            scope.cancel()

    async def dial():
        nonlocal scope
        with anyio.CancelScope() as scope:
            await (await client.dial(listener.addresses[0])).aclose()
        is_over.set()

    backend = ClosesWithACheckpoint(identity, closing)
    scope, is_over = anyio.CancelScope(), anyio.Event()
    async with (
        transport() as server,
        WebRTCTransport(identity, signaling=[backend], config=config()) as client,
        anyio.create_task_group() as task_group,
    ):
        listener = await server.listen("/webrtc")
        with anyio.fail_after(5):
            task_group.start_soon(dial)
            inbound = await listener.accept()
            await is_over.wait()
            await inbound.wait_closed()
        assert client.statistics().connections == 0
        task_group.cancel_scope.cancel()


async def test_the_time_of_signaling_begins_with_the_dial():
    class SlowToConnect(MemoryBackend):
        async def connect(self, peer):
            await anyio.sleep(0.3)
            return await super().connect(peer)

    identity = Identity.generate()
    async with (
        transport() as server,
        WebRTCTransport(identity, signaling=[SlowToConnect(identity)], config=config()) as client,
    ):
        listener = await server.listen("/webrtc")
        async with await client.dial(listener.addresses[0]) as connection:
            assert connection.setup_times.signaling >= 0.3


@pytest.mark.parametrize("uses_it", [True, False])
async def test_the_session_says_whether_an_init_channel_is_passed_first(uses_it, monkeypatch):
    passed = []
    open_init_channel = SignaledLink.open_init_channel

    async def noted(link):
        await open_init_channel(link)
        passed.append(link)

    monkeypatch.setattr(SignaledLink, "open_init_channel", noted)
    monkeypatch.setattr(SignalingSession, "uses_init_channel", uses_it)
    async with transport() as server, transport() as client:
        listener = await server.listen("/webrtc")
        async with await client.dial(listener.addresses[0]), await listener.accept():
            assert len(passed) == uses_it
        await listener.aclose()


def candidates_first(limit):
    """Holds the answer back until so many candidates have gone."""
    held, gone = [], 0

    def intercept(signal):
        nonlocal gone
        if isinstance(signal, Answer):
            held.append(signal)
            return []
        if not isinstance(signal, Candidate):
            return [signal]
        gone += 1
        return [signal, *(held.pop() for _ in held[:1] if gone >= limit)]

    return intercept


async def test_candidates_may_come_before_the_answer():
    # With an end of candidates after the one that there is on loopback.
    async with transport(intercept=candidates_first(2)) as server, transport() as client:
        listener = await server.listen("/webrtc")
        with anyio.fail_after(10):
            connection = await client.dial(listener.addresses[0])
        assert connection.candidate_pair.kind == "host"
        await connection.aclose()


async def test_candidates_before_the_answer_are_bounded():
    identity = Identity.generate()

    async def flood(session):
        await session.receive()
        for _ in range(MAX_REMOTE_CANDIDATES + 1):
            await session.send(Candidate())
        await anyio.sleep_forever()

    async with transport() as client, MemoryBackend(identity) as peer:
        async with anyio.create_task_group() as task_group:
            await task_group.start(peer.serve, flood)
            with anyio.fail_after(10), pytest.raises(InvalidSignal, match="64 candidates, and no answer"):
                await client.dial(f"/webrtc/p2p/{identity.peer_id}")
            task_group.cancel_scope.cancel()


@pytest.mark.parametrize("way", ENDS)
async def test_a_dial_ends_with_the_engine(anyio_backend_name, way):
    """While it waits for an answer, of which no engine knows."""
    if anyio_backend_name != "trio":
        return  # On asyncio the engine's loop is the application's.
    # It takes the session and says nothing.
    mute = Identity.generate()
    failures = []

    async def dial():
        with pytest.raises(ConnectError, match="event loop has ended") as caught:
            await client.dial(f"/webrtc/p2p/{mute.peer_id}")
        failures.append(caught.value)

    async def hold(session):
        offered.set()
        await anyio.sleep_forever()

    offered = anyio.Event()
    with anyio.fail_after(10):
        async with (
            transport() as client,
            MemoryBackend(mute) as silent,
            anyio.create_task_group() as task_group,
        ):
            await task_group.start(silent.serve, hold)
            task_group.start_soon(dial)
            await offered.wait()
            await end_the_loop(portal_of(client), way)
            with pytest.raises(ConnectError, match="event loop has ended"):
                await client.dial(f"/webrtc/p2p/{mute.peer_id}")
            task_group.cancel_scope.cancel()
    assert len(failures) == 1
    # The sockets of a peer that was never started have nobody to close them but the collector.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        failures.clear()
        gc.collect()
