"""Noise on channel 0, and what a peer may put there."""

import anyio
import pytest

from tests.direct_pairs import ANY_PORT, connected, transport
from tests.pairs import echo, read_all, serving
from webrtc_transport.direct_link import NoiseChannel
from webrtc_transport.engine.native_channel import NativeChannel
from webrtc_transport.errors import NoiseFailed, StreamReset
from webrtc_transport.protocol.framing import Flag, encode_frame
from webrtc_transport.protocol.limits import FRAME_OVERHEAD, MAX_DIRECT_FRAME

pytestmark = pytest.mark.anyio


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


async def test_no_message_is_larger_than_everybody_can_read(monkeypatch):
    sizes, send = [], NativeChannel.send

    def record(channel, data):
        sizes.append(len(data))
        send(channel, data)

    monkeypatch.setattr(NativeChannel, "send", record)
    async with connected() as pair, serving(pair.listener, echo):
        assert await ask(pair.dialer, bytes(50_000)) == bytes(50_000)
    assert MAX_DIRECT_FRAME - FRAME_OVERHEAD < max(sizes) <= MAX_DIRECT_FRAME


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
