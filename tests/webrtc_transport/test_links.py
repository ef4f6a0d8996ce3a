"""The registry of links: counted, closed, and none after the end."""

import itertools
import math
import time
from types import SimpleNamespace

import anyio
import pytest

from tests.direct_pairs import ANY_PORT, transport
from tests.pairs import config
from webrtc_transport.errors import ConnectError, ConnectionClosed, StreamStalled, StreamTimeout
from webrtc_transport.link import PeerLink
from webrtc_transport.links import DRAIN_LOOKS_PER_TIMEOUT, Links, TransportStatistics
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


@pytest.mark.parametrize(("fin_ack_timeout", "delays"), [(2, [0.05, 0.02]), (0.02, [])])
async def test_streams_without_acknowledgement_are_looked_for_when_they_are_due(fin_ack_timeout, delays):
    links = Links()
    link = DrainingLink(*(time.monotonic() + delay for delay in delays))
    links._links.add(link)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(links.reset_unacknowledged_streams, fin_ack_timeout)
            while link.due or len(link.asked) < 2 - len(delays):
                await anyio.sleep(0.001)
            task_group.cancel_scope.cancel()


async def test_many_streams_without_acknowledgement_are_looked_for_a_few_at_a_time():
    links = Links()
    began = time.monotonic()
    link = DrainingLink(*(began + number / 1000 for number in range(1000)))
    links._links.add(link)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(links.reset_unacknowledged_streams, 10)
            while link.due:
                await anyio.sleep(0.01)
            task_group.cancel_scope.cancel()
    pauses = [later - before for before, later in itertools.pairwise(link.asked)]
    assert min(pauses) > 0.99 * 10 / DRAIN_LOOKS_PER_TIMEOUT


class ClosingStream:
    """Knows its link, and when it was given up."""

    is_inbound = False

    def __init__(self, link):
        self._link = link
        self.given_up = False
        link.stream_draining(self)
        link.stream_closing(self)

    def timed_out(self, why):
        assert why == f"no FIN_ACK within {self._link.fin_ack_timeout:g} s; sent bytes may be lost"
        self.given_up = True
        self._link.stream_drained(self)


async def test_only_streams_that_are_due_are_looked_at(monkeypatch):
    now = 100.0
    monkeypatch.setattr("webrtc_transport.link.time", SimpleNamespace(monotonic=lambda: now))
    link = link_of(Links())
    streams = []
    for _ in range(10):
        streams.append(ClosingStream(link))
        now += 1.0
    # One whose FIN_ACK has come.
    link.stream_drained(streams[0])
    first, timeout = 101.0, link.fin_ack_timeout
    assert link.reset_unacknowledged_streams(first) == first + timeout
    assert link.reset_unacknowledged_streams(first + timeout + 2.5) == first + timeout + 3.0
    assert [stream.given_up for stream in streams] == [False, True, True, True, *[False] * 6]
    assert link.reset_unacknowledged_streams(first + timeout + 100) == math.inf
    assert all(stream.given_up for stream in streams[1:])
    assert not link._draining


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
            assert connection._link._draining == {half}
            assert not connection._link._closing
            half.reset()
            assert not connection._link._draining


@pytest.mark.parametrize("way", ["left", "cancelled"])
async def test_a_stream_that_is_closed_under_a_shield_is_given_up_while_the_transport_ends(way):
    given_up = []

    async def close_under_a_shield(stream, *, task_status):
        with anyio.CancelScope(shield=True):
            task_status.started()
            with anyio.fail_after(5), pytest.raises(StreamTimeout):
                await stream.aclose()
            given_up.append(stream)

    async with transport() as server:
        listener = await server.listen(ANY_PORT)
        with anyio.CancelScope() as scope:
            async with transport(fin_ack_timeout=0.2) as client:
                connection = await client.dial(listener.addresses[0])
                # A peer that takes channels and never answers on them.
                (await listener.accept())._link.on_channel = lambda channel: None
                stream = await connection.open_stream()
                await stream.send(b"data")
                await client._tasks.start(close_under_a_shield, stream)
                if way == "cancelled":
                    scope.cancel()
    assert given_up == [stream]
