"""Listening by signaling: offers that are refused."""

import logging
import re
import time
from datetime import UTC, datetime

import anyio
import pytest

from tests.logs import own_records
from tests.pairs import config, transport
from webrtc_signaling.memory import MemoryBackend
from webrtc_transport import Certificate, Identity, signaled_listener
from webrtc_transport.engine.ice import IceAgent
from webrtc_transport.errors import (
    AlreadyListening,
    ConnectError,
    SctpFailed,
    SignalingRejected,
)
from webrtc_transport.protocol.limits import FAULT_REPORTS_BURST
from webrtc_transport.protocol.proof import sign_description
from webrtc_transport.protocol.signals import Offer
from webrtc_transport.signaled_connector import trickle
from webrtc_transport.signaled_link import SignaledLink

pytestmark = pytest.mark.anyio


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


async def no_servers():
    raise OSError("no credentials today")


async def texts():
    return ["stun:stun.example.org"]


OWN_FAULTS = [
    pytest.param(
        {"certificate": Certificate.generate(now=datetime(2020, 1, 1, tzinfo=UTC))},
        r"the configured certificate expired on .*; make a new one, or leave it to the transport",
        id="certificate",
    ),
    pytest.param(
        {"ice_servers": no_servers},
        "the function ice_servers raised OSError: no credentials today",
        id="ice_servers that raise",
    ),
    pytest.param(
        {"ice_servers": texts},
        r"what the function ice_servers returned has 'stun:.*' as entry 0, where an IceServer is due: write .*",
        id="ice_servers that are none",
    ),
    pytest.param(
        {"ice_servers": list},
        "the function ice_servers isn't async; write it with `async def`",
        id="ice_servers that aren't async",
    ),
]


@pytest.mark.parametrize(("broken", "message"), OWN_FAULTS)
async def test_what_is_wrong_on_this_end_is_told_its_operator_and_not_the_peer(broken, message, caplog):
    async with transport(settings=config(**broken)) as server, transport() as client:
        listener = await server.listen("/webrtc")
        for _ in range(2):
            with pytest.raises(SignalingRejected, match="the peer can't make connections") as caught:
                await client.dial(listener.addresses[0])
            assert caught.value.code == "connect-failed"
    records = [record for record in own_records(caplog) if record.levelno >= logging.WARNING]
    assert [record.levelname for record in records] == ["WARNING", "WARNING"]
    for record in records:
        assert re.fullmatch(f"no connection with {client.peer_id}: {message}", record.getMessage())


async def test_a_fault_in_the_engine_is_not_told_the_peer(monkeypatch, caplog):
    establish = IceAgent.establish

    async def fail(self, *arguments, **options):
        if not self.ice_controlling:
            raise RuntimeError("an internal text")
        await establish(self, *arguments, **options)

    monkeypatch.setattr(IceAgent, "establish", fail)
    native = config(engine="native")
    async with transport(settings=native) as server, transport(settings=native) as client:
        listener = await server.listen("/webrtc")
        with pytest.raises(SignalingRejected, match="the peer can't make connections") as caught:
            await client.dial(listener.addresses[0])
        assert "internal" not in str(caught.value)
    assert "given up before it stood: RuntimeError: an internal text" in caplog.text


async def test_strangers_do_not_fill_the_log_with_faults_of_this_end(caplog):
    async with transport(settings=config(ice_servers=no_servers)) as server, transport() as client:
        listener = await server.listen("/webrtc")
        for _ in range(int(FAULT_REPORTS_BURST) + 3):
            with pytest.raises(SignalingRejected):
                await client.dial(listener.addresses[0])
    warnings = [record for record in own_records(caplog) if record.levelno == logging.WARNING]
    assert len(warnings) == FAULT_REPORTS_BURST


async def test_a_session_without_an_offer_ends_at_the_deadline():
    server = transport(settings=config(inbound_timeout=0.2))
    async with server, MemoryBackend(Identity.generate()) as idler:
        await server.listen("/webrtc")
        async with await idler.connect(server.peer_id) as session:
            with anyio.fail_after(5), pytest.raises(SignalingRejected, match="sent no offer"):
                await session.receive()


async def test_a_listener_that_is_replaced_says_so():
    identity = Identity.generate()
    async with transport(identity=identity) as first, transport(identity=identity) as second:
        listener = await first.listen("/webrtc")
        await second.listen("/webrtc")
        with pytest.raises(SignalingRejected) as caught:
            await listener.accept()
        assert caught.value.code == "replaced"


async def test_one_can_listen_again_at_once():
    async with transport() as server, MemoryBackend(Identity.generate()) as idler:
        for _ in range(2):
            listener = await server.listen("/webrtc")
            async with await idler.connect(server.peer_id):
                await anyio.wait_all_tasks_blocked()
                await listener.aclose()
                listener = await server.listen("/webrtc")
                with pytest.raises(anyio.BusyResourceError):
                    await server.listen("/webrtc")
                await listener.aclose()


async def test_a_bug_below_ends_one_session_and_is_logged(caplog):
    def broken_start(self, remote):
        raise RuntimeError("a bug of the engine")

    async with transport() as server, transport() as client:
        listener = await server.listen("/webrtc")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SignaledLink, "start", broken_start)
            offers = []

            def take(sent):
                offers.append(sent)
                return []

            async with transport(intercept=take, settings=config(dial_timeout=0.5)) as asking:
                with pytest.raises(ConnectError):
                    await asking.dial(listener.addresses[0])
                async with MemoryBackend(asking.identity) as offering:
                    async with await offering.connect(server.peer_id) as session:
                        await session.send(resigned(asking.identity, session, offers[0]))
                        with pytest.raises(SignalingRejected) as caught:
                            await session.receive()
        assert caught.value.code == "connect-failed"
        assert "bug of" not in str(caught.value)
        [record] = [record for record in own_records(caplog) if record.levelname == "ERROR"]
        assert "a bug of the engine" in record.getMessage()
        assert record.exc_info[0] is RuntimeError
        await (await client.dial(listener.addresses[0])).aclose()


def resigned(identity, session, offer):
    """The same description, for another session."""
    proof = sign_description(
        identity,
        kind="offer",
        session_id=session.session_id,
        receiver=session.remote_peer,
        sdp=offer.data.sdp,
        now_ms=time.time_ns() // 1_000_000,
    )
    return Offer(data=offer.data, proof=proof)


async def test_listening_twice_says_what_to_do():
    async with transport() as server:
        await server.listen("/webrtc")
        with pytest.raises(
            AlreadyListening, match="this transport listens already: use the listener that it has"
        ):
            await server.listen("/webrtc")


@pytest.mark.parametrize("engine", ["native", "aiortc"])
@pytest.mark.parametrize("phase", ["ice", "dtls"])
async def test_who_is_being_connected_learns_that_the_listener_closes(monkeypatch, engine, phase):
    """By a signal: what the engine says is lost with its one packet, and in some phases it can say nothing."""

    async def closing(link, session, remote):
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(trickle, link, session, remote)
            while link.phase != phase:
                await link.changed.wait()
            await listener.aclose()

    monkeypatch.setattr(signaled_listener, "trickle", closing)
    settings = config(engine=engine, dial_timeout=60)
    with anyio.fail_after(30):
        async with transport(settings=settings) as server, transport(settings=settings) as client:
            listener = await server.listen("/webrtc")
            with pytest.raises((SignalingRejected, SctpFailed)) as caught:
                await client.dial(listener.addresses[0])
    if phase == "ice":
        assert "in phase 'ice'" in str(caught.value)
        assert "the peer listens no more" in str(caught.value)
