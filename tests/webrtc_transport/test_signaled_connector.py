"""Proofs, candidates and ICE servers, with somebody between the peers."""

import anyio
import pytest

from tests.pairs import config, connected, read_all, serving, transport
from webrtc_transport import IceServer
from webrtc_transport.engine.memory_stack import MemoryEngine
from webrtc_transport.errors import (
    ConnectError,
    DtlsFailed,
    IceFailed,
    InvalidProof,
    SignalingRejected,
)
from webrtc_transport.mailbox import Mailbox
from webrtc_transport.protocol.signals import Answer, Candidate, Offer

pytestmark = pytest.mark.anyio


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


async def test_another_certificate_fails_dtls_by_name(monkeypatch):
    from webrtc_transport.protocol.sdp import Fingerprint, SessionDescription
    from webrtc_transport.signaled_connector import SignaledConnector

    sign_answer = SignaledConnector.sign_answer

    def sign_wrong(self, session, sdp):
        wrong = Fingerprint("sha-256", bytes(32))
        lines = [
            f"a=fingerprint:{wrong.to_sdp()}" if line.startswith("a=fingerprint") else line
            for line in sdp.split("\r\n")
        ]
        assert SessionDescription.parse("\r\n".join(lines)).fingerprints == (wrong,)
        return sign_answer(self, session, "\r\n".join(lines))

    monkeypatch.setattr(SignaledConnector, "sign_answer", sign_wrong)
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


async def test_ice_servers_may_come_as_dictionaries():
    async def servers():
        return [{"urls": "stun:127.0.0.1:9"}]

    async with transport() as server, transport(settings=config(ice_servers=servers)) as client:
        listener = await server.listen("/webrtc")
        async with await client.dial(listener.addresses[0]):
            pass


async def test_what_are_no_ice_servers_is_refused_by_name():
    async def servers():
        return [{"urls": "turn:127.0.0.1", "username": "me", "password": "secret"}]

    async with transport() as server, transport(settings=config(ice_servers=servers)) as client:
        listener = await server.listen("/webrtc")
        with pytest.raises(ConnectError, match=r"function ice_servers returned has .*'password'") as caught:
            await client.dial(listener.addresses[0])
        assert "secret" not in str(caught.value)
        assert caught.value.__cause__ is None


async def test_an_engine_that_raises_costs_one_connection():
    class Broken(MemoryEngine):
        def create_peer(self, settings, events):
            raise OSError("no sockets left")

    async with (
        transport(engine=Broken()) as server,
        transport() as client,
        transport(engine=Broken()) as broken,
    ):
        listener = await server.listen("/webrtc")
        for _ in range(2):
            with pytest.raises(SignalingRejected) as caught:
                await client.dial(listener.addresses[0])
            assert caught.value.code == "connect-failed"
        with pytest.raises(ConnectError, match="the engine 'memory' raised OSError: no sockets left"):
            await broken.dial(listener.addresses[0])


async def test_no_message_crosses_the_seam(anyio_backend_name, monkeypatch):
    """On trio: what the engine's thread could do to a transfer was measured."""
    if anyio_backend_name != "trio":
        return
    crossed = []
    put = Mailbox.put
    async with connected() as pair, serving(pair.listener):
        monkeypatch.setattr(Mailbox, "put", lambda self, item: crossed.append(item) or put(self, item))
        stream = await pair.dialer.open_stream()
        for _ in range(64):
            await stream.send(bytes(16384))
            received = 0
            while received < 16384:
                received += len(await stream.receive())
        await stream.send_eof()
        assert await read_all(stream) == b""
    # The checks of consent, and the end.
    assert len(crossed) < 32
