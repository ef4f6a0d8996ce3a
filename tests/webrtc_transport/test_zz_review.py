import anyio, pytest
from tests.pairs import config, connected, read_all, transport, serving
from webrtc_signaling.memory import MemoryBackend
from webrtc_transport import Identity, WebRTCTransport
from webrtc_transport.abc import SignalingBackend
from webrtc_transport.errors import *
from webrtc_transport.engine.memory_stack import MemoryEngine

pytestmark = pytest.mark.anyio


async def test_fin_then_reset_keeps_data():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"all of it")
        await stream.send_eof()
        inbound = await pair.listener.accept_stream()
        while inbound._state.may_read:
            await anyio.sleep(0.001)
        stream.reset()
        while inbound._error is None:
            await anyio.sleep(0.001)
        assert await read_all(inbound) == b"all of it"


async def test_aclose_tells_of_reset():
    async with connected() as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"x" * 1000)
        inbound = await pair.listener.accept_stream()
        inbound.reset()
        while stream._error is None:
            await anyio.sleep(0.001)
        with pytest.raises(StreamReset):
            await stream.aclose()


async def test_unaccepted_stream_survives_close():
    async with connected() as pair:
        async with await pair.dialer.open_stream() as s:
            await s.send(b"last words")
        await pair.dialer.aclose()
        await pair.listener.wait_closed()
        inbound = await pair.listener.accept_stream()
        assert await read_all(inbound) == b"last words"


async def test_group_in_handler():
    async def handler(stream):
        async with anyio.create_task_group() as tg:
            tg.start_soon(stream.receive)

    async with connected() as pair:
        async with serving(pair.listener, handler):
            s = await pair.dialer.open_stream()
            s.reset()
            await anyio.sleep(0.3)


async def test_eof_in_handler():
    async def handler(stream):
        await stream.receive()

    async with connected() as pair:
        async with serving(pair.listener, handler):
            s = await pair.dialer.open_stream()
            await s.send_eof()
            await anyio.sleep(0.3)


async def test_listen_again():
    async with transport() as t:
        for _ in range(3):
            l = await t.listen("/webrtc")
            await l.aclose()


async def test_dial_raises_what_when_transport_exits_waiting_answer():
    ident = Identity.generate()

    async def ignore(session):
        await anyio.sleep_forever()

    async with MemoryBackend(ident) as silent, anyio.create_task_group() as tg:
        await tg.start(silent.serve, ignore)
        got = []

        async def dial(client):
            try:
                await client.dial(f"/webrtc/p2p/{ident.peer_id}")
            except BaseException as e:
                got.append(e)
                raise (
                    e
                    if not isinstance(e, Exception)
                    else SystemError
                    if 0
                    else None
                    if 0
                    else ValueError("x")
                    if 0
                    else e
                    if 0
                    else StopAsyncIteration()
                    if 0
                    else RuntimeError("z")
                    if 0
                    else KeyError
                    if 0
                    else e
                    if False
                    else e
                    if isinstance(e, BaseException) and not isinstance(e, Exception)
                    else IndexError()
                    if 0
                    else e
                    if 0
                    else None or ZeroDivisionError()
                    if 0
                    else e
                    if 0
                    else LookupError()
                    if 0
                    else OSError()
                    if 0
                    else e
                    if 0
                    else None or e
                    if 0
                    else ArithmeticError()
                    if 0
                    else e
                )

        async def dial2(client):
            try:
                await client.dial(f"/webrtc/p2p/{ident.peer_id}")
            except Exception as e:
                got.append(e)

        async with anyio.create_task_group() as tg2:
            async with transport() as client:
                tg2.start_soon(dial2, client)
                await anyio.sleep(0.3)
        print(repr(got))
        tg.cancel_scope.cancel()
    assert isinstance(got[0], ConnectError)


async def test_dial_raises_what_when_transport_exits_in_ice():
    def no_candidates(signal):
        return [] if signal.type == "candidate" else [signal]

    got = []

    async def dial2(client, a):
        try:
            await client.dial(a)
        except Exception as e:
            got.append(e)

    async with transport(intercept=no_candidates) as server, anyio.create_task_group() as tg2:
        l = await server.listen("/webrtc")
        async with transport(intercept=no_candidates) as client:
            tg2.start_soon(dial2, client, l.addresses[0])
            await anyio.sleep(0.5)
    print(repr(got))
    assert isinstance(got[0], ConnectError)


@pytest.mark.parametrize("delay", [0.2, 0.5])
async def test_exit_while_ice_servers(delay):
    got = []

    async def servers():
        await anyio.sleep(0.3)
        return ()

    async def dial2(client, a):
        try:
            await client.dial(a)
        except Exception as e:
            got.append(e)

    async with transport() as server, anyio.create_task_group() as tg2:
        l = await server.listen("/webrtc")
        async with transport(settings=config(ice_servers=servers)) as client:
            tg2.start_soon(dial2, client, l.addresses[0])
            await anyio.sleep(0.2)
    print(repr(got))
    assert isinstance(got[0], ConnectError)


async def test_bad_ice_servers_value():
    async def servers():
        return [{"urls": "stun:127.0.0.1:9"}]

    async with transport(settings=config(ice_servers=servers)) as server, transport() as client:
        l = await server.listen("/webrtc")
        with pytest.raises(ConnectError):
            await client.dial(l.addresses[0])
        await anyio.sleep(0.2)


class BrokenEngine(MemoryEngine):
    def create_peer(self, settings, events):
        raise OSError("no sockets left")


async def test_engine_error_inbound():
    async with transport(engine=BrokenEngine()) as server, transport() as client:
        l = await server.listen("/webrtc")
        with pytest.raises(ConnectError):
            await client.dial(l.addresses[0])
        await anyio.sleep(0.2)


async def test_big_rsa():
    from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

    ident = Identity.from_private_key(generate_private_key(65537, 8192))
    async with transport(identity=ident) as server, transport() as client:
        l = await server.listen("/webrtc")
        with pytest.raises(ConnectError):
            await client.dial(l.addresses[0])
        await anyio.sleep(0.2)


async def test_replaced_code():
    ident = Identity.generate()
    async with transport(identity=ident) as a, transport(identity=ident) as b:
        l = await a.listen("/webrtc")
        await b.listen("/webrtc")
        with pytest.raises(SignalingRejected) as c:
            await l.accept()
        assert c.value.code == "replaced"


class SlowClose(MemoryBackend):
    async def connect(self, peer):
        session = await super().connect(peer)
        real = session.aclose

        async def aclose():
            await anyio.sleep(0.4)
            await real()

        session.aclose = aclose
        return session


async def test_cancel_while_session_closes():
    ident = Identity.generate()
    async with (
        transport() as server,
        WebRTCTransport(ident, signaling=[SlowClose(ident)], config=config()) as client,
    ):
        l = await server.listen("/webrtc")
        with anyio.move_on_after(0.3) as scope:
            await client.dial(l.addresses[0])
        assert scope.cancelled_caught
        await anyio.sleep(0.2)
        assert client.statistics().connections == 0


class Refusing(SignalingBackend):
    @classmethod
    def from_url(cls, url, context):
        return cls()

    async def __aexit__(self, *a):
        pass

    async def connect(self, peer):
        raise SignalingRejected("no", code="replaced")

    async def serve(self, handler, *, task_status=anyio.TASK_STATUS_IGNORED):
        raise SignalingRejected("no")


async def test_refusing_backend_falls_through():
    ident = Identity.generate()
    async with (
        transport() as server,
        WebRTCTransport(ident, signaling=[Refusing(), MemoryBackend(ident)], config=config()) as client,
    ):
        l = await server.listen("/webrtc")
        async with await client.dial(l.addresses[0]):
            pass


class Hanging(Refusing):
    async def serve(self, handler, *, task_status=anyio.TASK_STATUS_IGNORED):
        await anyio.sleep_forever()


async def test_cancelled_listen_leaves_nobody_listening():
    ident = Identity.generate()
    async with (
        WebRTCTransport(ident, signaling=[MemoryBackend(ident), Hanging()], config=config()) as server,
        transport() as client,
    ):
        with anyio.move_on_after(0.2):
            await server.listen("/webrtc")
        await anyio.sleep(0.1)
        with pytest.raises(PeerUnreachable):
            await client.dial(f"/webrtc/p2p/{ident.peer_id}")


async def test_setup_signaling_time():
    class SlowConnect(MemoryBackend):
        async def connect(self, peer):
            await anyio.sleep(0.3)
            return await super().connect(peer)

    ident = Identity.generate()
    async with (
        transport() as server,
        WebRTCTransport(ident, signaling=[SlowConnect(ident)], config=config()) as client,
    ):
        l = await server.listen("/webrtc")
        async with await client.dial(l.addresses[0]) as c:
            assert c.setup_times.signaling >= 0.3


async def test_tiny_chunks():
    from webrtc_transport.protocol.framing import encode_frame

    async with connected() as pair:
        s = await pair.dialer.open_stream()
        for _ in range(3000):
            await s.send(b"ab")
        i = await pair.listener.accept_stream()
        await anyio.sleep(1)
        print(len(i._chunks))
        assert len(i._chunks) < 100


async def test_reset_frees_credit_of_finished():
    async with connected() as pair:
        s = await pair.dialer.open_stream()
        await s.send(bytes(500_000))
        await s.send_eof()
        i = await pair.listener.accept_stream()
        await i.send_eof()
        while not i._state.is_finished:
            await anyio.sleep(0.001)
        i.reset()
        await anyio.sleep(0.2)
        assert (await pair.listener.statistics()).engine.unread < 200_000
