"""What the native stack does that its compliance suite doesn't ask of every engine."""

import anyio
import pytest

from tests.pairs import config, connected, echo, read_all, serving, transport
from webrtc_transport import TransportConfig, WebRTCTransport
from webrtc_transport.engine.native_stack import NativeEngine
from webrtc_transport.identity import Identity
from webrtc_transport.protocol.sctp.congestion import Cubic, NewReno
from webrtc_transport.protocol.sctp.congestion_model import Model

pytestmark = pytest.mark.anyio

KIB = 1024


def test_it_is_selected_by_name():
    transport = WebRTCTransport(Identity.generate(), config=TransportConfig(engine="native"))
    assert isinstance(transport._engine, NativeEngine)


async def test_a_reader_that_never_reads_holds_its_sender_to_the_window():
    window, send_buffer = 256 * KIB, 64 * KIB
    settings = config(receive_buffer=window, send_buffer=send_buffer)
    async with connected(engine=NativeEngine(), dialer_settings=settings, listener_settings=settings) as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"begin")
        inbound = await pair.listener.accept_stream()
        with anyio.move_on_after(0.5):
            await stream.send(bytes(16 * 1024 * KIB))
        statistics = (await pair.listener.statistics()).engine
        assert statistics.packets_dropped == 0
        assert window // 2 < statistics.unread <= window + 64 * KIB
        # It was the stream that stopped, not the connection: the other direction goes on.
        async with serving(pair.dialer):
            async with await pair.listener.open_stream() as other:
                await other.send(b"hello")
                await other.send_eof()
                assert await read_all(other) == b"hello"
        assert await inbound.receive(5) == b"begin"


@pytest.mark.parametrize(("name", "expected"), [("cubic", Cubic), ("newreno", NewReno), ("model", Model)])
async def test_the_congestion_control_is_the_one_that_was_chosen(name, expected):
    settings = config(congestion_control=name)
    async with connected(engine=NativeEngine(), dialer_settings=settings) as pair:
        association = pair.dialer._link.peer._stack._association
        assert type(association._sender.congestion) is expected


@pytest.mark.parametrize(("datagram", "packet"), [(1200, 1160), (1300, 1260), (1472, 1432)])
async def test_the_path_is_tried_up_to_the_size_that_was_chosen(datagram, packet):
    settings = config(max_packet_size=datagram)
    async with (
        connected(engine=NativeEngine(), dialer_settings=settings) as pair,
        serving(pair.listener),
        await pair.dialer.open_stream() as stream,
    ):
        await stream.send(bytes(1024 * KIB))
        await stream.send_eof()
        assert len(await read_all(stream)) == 1024 * KIB
        path_mtu = pair.dialer._link.peer._stack._association._transmitter.path_mtu
        assert path_mtu.size == packet
        assert path_mtu.timer is None


async def test_one_context_serves_all_connections_of_a_certificate():
    engine = NativeEngine()
    async with transport() as server, transport(engine=engine) as client:
        listener = await server.listen("/webrtc")
        await client.dial(listener.addresses[0])
        first = engine._context
        await client.dial(listener.addresses[0])
        assert engine._context is first


@pytest.mark.parametrize("engines", [("native", "aiortc"), ("aiortc", "native"), ("native", "native")])
async def test_it_talks_to_aiortc_in_both_roles(engines):
    dialer, listener = engines
    async with (
        connected(dialer_settings=config(engine=dialer), listener_settings=config(engine=listener)) as pair,
        serving(pair.listener, echo),
        serving(pair.dialer, echo),
    ):
        for connection in (pair.dialer, pair.listener):
            for size in (1, 300 * KIB):
                async with await connection.open_stream() as stream, anyio.create_task_group() as task_group:

                    async def send(stream=stream, size=size):
                        await stream.send(bytes(size))
                        await stream.send_eof()

                    task_group.start_soon(send)
                    assert await read_all(stream) == bytes(size)
        stream = await pair.dialer.open_stream()
        await stream.send(b"data")
        stream.reset()
    assert pair.dialer.end_reason is not None
