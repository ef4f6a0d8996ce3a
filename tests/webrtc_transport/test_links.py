"""The registry of links: counted, closed, and none after the end."""

import math
import time

import anyio
import pytest

from tests.direct_pairs import ANY_PORT, transport
from tests.pairs import config
from webrtc_transport.errors import ConnectError, ConnectionClosed, StreamStalled, StreamTimeout
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


class DrainingLink:
    """One whose streams are due when they say."""

    def __init__(self, *due):
        self.due = list(due)
        self.asked = []

    def reset_unacknowledged_streams(self, now):
        self.asked.append(now)
        self.due = [due for due in self.due if due > now]
        return min(self.due, default=math.inf)


@pytest.mark.parametrize("delays", [[0.05, 0.02], []])
async def test_streams_without_acknowledgement_are_looked_for_when_they_are_due(delays):
    links, begin = Links(), time.monotonic()
    link = DrainingLink(*(begin + delay for delay in delays))
    links._links.add(link)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(links.reset_unacknowledged_streams, 0.1)
            while len(link.asked) < len(delays) + 2:
                await anyio.sleep(0.001)
            task_group.cancel_scope.cancel()
    for asked, delay in zip(link.asked[1:], [*sorted(delays), max([0, *delays]) + 0.1], strict=False):
        # uvloop's clock counts milliseconds.
        assert asked >= begin + delay - 0.002


async def test_only_a_stream_that_somebody_closes_is_given_up_without_acknowledgement():
    async with transport(fin_ack_timeout=0.1) as client, transport() as server:
        listener = await server.listen(ANY_PORT)
        async with await client.dial(listener.addresses[0]) as connection, await listener.accept() as inbound:
            # A peer that takes channels and never answers on them.
            inbound._link.on_channel = lambda channel: None
            half, whole = [await connection.open_stream() for _ in range(2)]
            await half.send_eof()
            await whole.send(b"data")
            with anyio.fail_after(5), pytest.raises(StreamTimeout, match=r"no FIN_ACK within 0\.1 s"):
                await whole.aclose()
            assert list(connection._link._draining.values()) == [math.inf]
            half.reset()
            assert not connection._link._draining
