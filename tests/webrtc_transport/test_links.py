"""The registry of links: counted, closed, and none after the end."""

import anyio
import pytest

from tests.direct_pairs import ANY_PORT, transport
from tests.pairs import config
from webrtc_transport.errors import ConnectError, ConnectionClosed, StreamStalled
from webrtc_transport.link import PeerLink
from webrtc_transport.links import Links, TransportStatistics
from webrtc_transport.portal import SameLoopPortal

pytestmark = pytest.mark.anyio


def link_of(links):
    return PeerLink(SameLoopPortal(), config(), "somebody", first_phase="ice", on_end=links.ended)


async def test_what_is_set_up_is_counted():
    links = Links()
    good, bad, given_up = (link_of(links) for _ in range(3))
    async with links.setting_up(good):
        assert links.statistics() == TransportStatistics(connections=1)
    for link, failure in ((bad, ConnectError("no")), (given_up, KeyError("a bug"))):
        with pytest.raises(type(failure)):
            async with links.setting_up(link):
                raise failure
        assert link.end_reason is not None
    assert links.statistics() == TransportStatistics(connections=1, connected=1, failed=2)
    good.payload_sent = 5
    await links.close(ConnectionClosed("the transport was closed"))
    assert isinstance(good.end_reason, ConnectionClosed)
    assert links.statistics() == TransportStatistics(connected=1, failed=2, payload_sent=5)


async def test_there_are_none_after_the_end():
    links = Links()
    await links.close(ConnectionClosed("the transport was closed"))
    link = link_of(links)
    with pytest.raises(ConnectError, match="the transport was closed"):
        async with links.setting_up(link):
            raise AssertionError
    assert link.end_reason is not None


async def test_stalled_streams_are_found_in_direct_connections():
    async with transport(stalled_stream_timeout=0.2) as server, transport() as client:
        listener = await server.listen(ANY_PORT)
        async with await client.dial(listener.addresses[0]) as connection, await listener.accept() as inbound:
            stream = await connection.open_stream()
            await stream.send(b"unread")
            unread = await inbound.accept_stream()
            with anyio.fail_after(5):
                while unread._receive_end is None:
                    await anyio.sleep(0.01)
            with pytest.raises(StreamStalled):
                await unread.receive()
