"""Noise on channel 0, and what a peer may put there."""

import logging

import anyio
import pytest

from tests.direct_pairs import ANY_PORT, connected, relay_to, transport
from tests.logs import own_records
from tests.pairs import echo, read_all, serving
from tests.webrtc_transport.engine.told_events import ToldEvents
from webrtc_transport.connection import Connection, ConnectionState
from webrtc_transport.direct_link import NoiseChannel
from webrtc_transport.engine.native_channel import NativeChannel
from webrtc_transport.errors import ConnectionClosed, EngineError, NoiseFailed, OwnFault, StreamReset
from webrtc_transport.init_channel import INIT_LABEL
from webrtc_transport.protocol.framing import Flag, encode_frame
from webrtc_transport.protocol.limits import FRAME_OVERHEAD, MAX_DIRECT_FRAME, MAX_UNPROVEN_STREAMS

pytestmark = pytest.mark.anyio

DIALS = 5


async def ask(connection, question):
    async with await connection.open_stream() as stream:
        await stream.send(question)
        await stream.send_eof()
        return await read_all(stream)


async def test_200_streams_at_once():
    async with connected() as pair, serving(pair.listener, echo):
        streams = [await pair.dialer.open_stream() for _ in range(200)]
        for number, stream in enumerate(streams):
            await stream.send(b"%d" % number)
        for number, stream in enumerate(streams):
            assert await stream.receive() == b"%d" % number
        assert (await pair.dialer.statistics()).streams == 200
        for stream in streams:
            await stream.send_eof()
            assert await read_all(stream) == b""
            await stream.aclose()


async def test_half_close_and_reset():
    async with connected() as pair:
        near = await pair.dialer.open_stream()
        await near.send(b"question")
        await near.send_eof()
        far = await pair.listener.accept_stream()
        assert await read_all(far) == b"question"
        await far.send(b"answer")
        await far.send_eof()
        assert await read_all(near) == b"answer"
        near, far = await pair.dialer.open_stream(), None
        await near.send(b"x")
        far = await pair.listener.accept_stream()
        far.reset()
        with pytest.raises(StreamReset):
            await near.receive()


async def test_a_channel_with_a_label_is_a_stream_like_any_other():
    # Only a connection that is signaled begins with a channel of this name.
    async with connected() as pair:
        peer = pair.dialer._link.peer
        channel = peer.open_channel(ToldEvents(), label=INIT_LABEL)
        channel.send(encode_frame(b"hello"))
        with anyio.fail_after(5):
            stream = await pair.listener.accept_stream()
            assert await stream.receive() == b"hello"
        stream.reset()


async def test_no_message_is_larger_than_everybody_can_read(monkeypatch):
    sizes, send = [], NativeChannel.send

    def record(channel, data):
        sizes.append(len(data))
        send(channel, data)

    monkeypatch.setattr(NativeChannel, "send", record)
    async with connected() as pair, serving(pair.listener, echo):
        assert await ask(pair.dialer, bytes(50_000)) == bytes(50_000)
    assert MAX_DIRECT_FRAME - FRAME_OVERHEAD < max(sizes) <= MAX_DIRECT_FRAME


@pytest.mark.parametrize("leave", [Connection.aclose, Connection.abort])
async def test_who_leaves_at_once_has_proven_who_it_is_all_the_same(leave):
    """The server's last message of Noise goes out before the end does, and the dialer acts on both."""
    async with transport() as server, transport() as client:
        listener = await server.listen(ANY_PORT)

        async def serve():
            for _ in range(DIALS):
                await leave(await listener.accept())

        with anyio.fail_after(20):
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(serve)
                for _ in range(DIALS):
                    connection = await client.dial(listener.addresses[0])
                    assert connection.remote_peer == server.peer_id
                    assert isinstance(await connection.wait_closed(), ConnectionClosed)
            while server.statistics().connections:
                await anyio.sleep(0.001)
        assert client.statistics().connections == 0
        assert (client.statistics().connected, client.statistics().failed) == (DIALS, 0)
        assert not listener._port._proven


async def test_who_falls_silent_is_disconnected_and_may_come_back():
    seen = {}

    async def watch(connection):
        states = seen[connection] = []
        async for state in connection.state_changes():
            states += [state]

    async def until(state):
        with anyio.fail_after(10):
            while any(states[-1:] != [state] for states in seen.values()):
                await anyio.sleep(0.01)

    async with transport(liveness_timeout=4) as server, transport(liveness_timeout=4) as client:
        listener = await server.listen(ANY_PORT)
        async with relay_to(listener.addresses[0]) as relay, anyio.create_task_group() as task_group:
            async with await client.dial(relay.address) as dialer, await listener.accept() as inbound:
                for connection in (dialer, inbound):
                    task_group.start_soon(watch, connection)
                await anyio.wait_all_tasks_blocked()
                await until(ConnectionState.CONNECTED)
                relay.loses = lambda direction, data: True
                await until(ConnectionState.DISCONNECTED)
                assert repr(dialer).endswith("disconnected>")
                relay.loses = lambda direction, data: False
                await until(ConnectionState.CONNECTED)
                async with anyio.create_task_group() as handlers:
                    handlers.start_soon(inbound.serve, echo)
                    assert await ask(dialer, b"as before") == b"as before"
                    handlers.cancel_scope.cancel()
    expected = [ConnectionState.CONNECTED, ConnectionState.DISCONNECTED, ConnectionState.CONNECTED]
    for states in seen.values():
        assert states == [*expected, ConnectionState.CLOSED]


async def test_silence_during_the_proof_of_who_is_there_is_no_state_of_a_connection(monkeypatch):
    def send(self):
        """Nothing: the proof never begins."""

    monkeypatch.setattr(NoiseChannel, "_send", send)
    async with (
        transport(dial_timeout=3, liveness_timeout=1) as client,
        transport(liveness_timeout=1) as server,
    ):
        listener = await server.listen(ANY_PORT)
        async with relay_to(listener.addresses[0]) as relay:

            async def cut_later():
                while not any(link.phase == "noise" for link in client._links._links):
                    await anyio.sleep(0.001)
                relay.loses = lambda direction, data: True

            async with anyio.create_task_group() as task_group:
                task_group.start_soon(cut_later)
                with pytest.raises(
                    NoiseFailed,
                    match=r"waiting for the server to begin \(message 1 of 3\): the peer has been silent",
                ):
                    await client.dial(relay.address)


async def test_who_has_not_proven_who_it_is_can_open_few_streams(monkeypatch, caplog):
    receive = NoiseChannel._receive
    held = []

    def hold(channel, data):
        held.append(data)

    # The dialer is silent on channel 0, until it is let go on.
    monkeypatch.setattr(NoiseChannel, "_receive", hold)
    count = 1200
    with anyio.fail_after(20):
        async with transport() as server, transport() as client, anyio.create_task_group() as task_group:
            listener = await server.listen(ANY_PORT)
            task_group.start_soon(client.dial, listener.addresses[0])
            while not held:
                await anyio.sleep(0.001)
            (near,), (far,) = client._links._links, server._links._links
            channels = [ToldEvents() for _ in range(count)]
            for number, events in enumerate(channels):
                near.direct.open_channel(events).send(encode_frame(b"%d" % number))
            while sum(events.told[-1:] == ["closed"] for events in channels) < count - MAX_UNPROVEN_STREAMS:
                await anyio.sleep(0.01)
            assert len(far.streams) == MAX_UNPROVEN_STREAMS
            # Once it is proven, there are as many as ever.
            monkeypatch.setattr(NoiseChannel, "_receive", receive)
            near._noise.on_message(b"".join(held))
            connection = await listener.accept()
            for number in range(MAX_UNPROVEN_STREAMS):
                assert await (await connection.accept_stream()).receive() == b"%d" % number
            last = ToldEvents()
            near.direct.open_channel(last).send(encode_frame(b"last"))
            assert await (await connection.accept_stream()).receive() == b"last"
            task_group.cancel_scope.cancel()
    assert not [record for record in own_records(caplog) if record.levelno >= logging.WARNING]


async def test_an_engine_that_fails_before_the_proof_is_no_fault_of_the_peer(monkeypatch):
    def send(self):
        """Nothing: the proof never begins."""

    monkeypatch.setattr(NoiseChannel, "_send", send)
    async with transport() as server, transport() as client:
        listener = await server.listen(ANY_PORT)

        async def fail_later():
            while not (links := [link for link in client._links._links if link.phase == "noise"]):
                await anyio.sleep(0.001)
            links[0].direct.close(EngineError("out of order"))

        async with anyio.create_task_group() as task_group:
            task_group.start_soon(fail_later)
            with anyio.fail_after(5), pytest.raises(OwnFault, match="given up before it stood: out of order"):
                await client.dial(listener.addresses[0])


async def test_channel_0_is_no_stream_and_what_comes_on_it_costs_nothing():
    async with connected() as pair, serving(pair.listener, echo):
        assert (await pair.dialer.statistics()).streams == 0
        channel = pair.dialer._link._noise._channel
        for _ in range(200):
            # More than the receive window holds.
            channel.send(bytes(16384))
        channel.send(encode_frame(flag=Flag.FIN))
        assert await ask(pair.dialer, b"still here") == b"still here"
        with anyio.fail_after(5):
            while (await pair.listener.statistics()).engine.unread > 1024:
                await anyio.sleep(0.01)
        # Some peers close it.
        channel.close()
        assert await ask(pair.dialer, b"still here") == b"still here"


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        (b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", "on channel 0: length of a frame"),
        (encode_frame(b"\xff\xff"), "a Noise handshake message has 32 to 4096 bytes, not 65535"),
        (
            encode_frame(b"\x00\x40" + bytes(64)),
            "message 1 of 3 can't be decrypted|none that a secret|connection ended",
        ),
        (encode_frame(flag=Flag.FIN), "the peer ended channel 0 while waiting for the server to begin"),
        (encode_frame(flag=Flag.RESET), "the peer ended channel 0 while waiting for the server to begin"),
    ],
    ids=["framing", "length", "garbage", "fin", "reset"],
)
async def test_a_server_that_says_something_else(said, heard, monkeypatch):
    def send(self):
        if self._handshake.outbox and self._handshake._is_server:
            self._handshake.outbox.clear()
            self._channel.send(said)

    monkeypatch.setattr(NoiseChannel, "_send", send)
    async with transport() as server, transport() as client:
        listener = await server.listen(ANY_PORT)
        with anyio.fail_after(5), pytest.raises(NoiseFailed, match=heard):
            await client.dial(listener.addresses[0])
        with anyio.fail_after(5):
            while server.statistics().connections:
                await anyio.sleep(0.002)
        assert client.statistics().connections == 0


async def test_a_server_that_closes_channel_0(monkeypatch):
    def send(self):
        if self._handshake._is_server:
            self._handshake.outbox.clear()
            self._channel.send(encode_frame(b"\x00"))
            self._channel.close()

    monkeypatch.setattr(NoiseChannel, "_send", send)
    async with transport() as server, transport() as client:
        listener = await server.listen(ANY_PORT)
        with (
            anyio.fail_after(5),
            pytest.raises(NoiseFailed, match="while waiting for the server to begin"),
        ):
            await client.dial(listener.addresses[0])
