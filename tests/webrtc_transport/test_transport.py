"""The life of a transport, and what it refuses."""

import anyio
import pytest

from tests.leaks import nothing_left
from tests.pairs import connected, read_all, serving, transport
from webrtc_transport import Identity, WebRTCTransport
from webrtc_transport.errors import (
    AddressError,
    ConfigurationError,
)

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
