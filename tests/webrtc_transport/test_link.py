"""The caller's end of a peer connection: its limits, and what it says of failures."""

from types import SimpleNamespace

import anyio
import pytest

from tests.logs import own_records
from tests.pairs import config, connected
from webrtc_transport import Identity
from webrtc_transport import link as link_module
from webrtc_transport.channel_port import ChannelPort
from webrtc_transport.errors import (
    ConnectionClosed,
    ConnectTimeout,
    StreamReset,
    TooManyStreams,
)
from webrtc_transport.link import PeerLink
from webrtc_transport.portal import SameLoopPortal
from webrtc_transport.stream import Stream

pytestmark = pytest.mark.anyio

PEER = Identity.generate().peer_id


async def test_more_streams_than_allowed_are_reset(caplog):
    async with connected(listener_settings=config(max_inbound_streams=2)) as pair:
        streams = [await pair.dialer.open_stream() for _ in range(2)]
        for stream in streams:
            await stream.send(b"data")
            inbound = await pair.listener.accept_stream()
            assert inbound.id == stream.id
        streams += [await pair.dialer.open_stream() for _ in range(3)]
        for stream in streams[2:]:
            with pytest.raises(StreamReset, match="or has too many streams"):
                await stream.receive()
        # Once for the connection: a peer that goes on fills no log.
        [record] = own_records(caplog)
        assert record.getMessage() == (
            f"a stream of {pair.listener.remote_peer} is reset: it has 2 open (max_inbound_streams)"
        )


async def test_streams_that_nobody_accepts_count_even_when_they_are_over(caplog):
    async with connected(listener_settings=config(max_inbound_streams=1)) as pair:
        first = await pair.dialer.open_stream()
        await first.send(b"first")
        first.reset()
        while (await pair.listener.statistics()).streams:
            await anyio.sleep(0.001)
        second = await pair.dialer.open_stream()
        with pytest.raises(StreamReset):
            await second.receive()
        await pair.listener.accept_stream()
    assert "1 wait to be accepted (max_inbound_streams)" in caplog.text


@pytest.mark.parametrize(
    ("phase", "cure"),
    [
        ("signaling", "is it listening"),
        ("ice", "configure a TURN server"),
        ("dtls", "DTLS handshake"),
        ("sctp", "SCTP handshake"),
        ("noise", "prove who it is"),
        ("connected", "too late"),
    ],
)
def test_a_deadline_names_the_phase_and_the_cure(phase, cure):
    link = PeerLink(SameLoopPortal(), config(), PEER, first_phase="signaling", on_end=print)
    link.phase = phase
    error = link.timed_out(3)
    assert isinstance(error, ConnectTimeout)
    assert isinstance(error, TimeoutError)
    assert f"after 3 s, in phase {phase!r}" in str(error)
    assert cure in str(error)


async def test_a_stream_that_comes_after_the_end_fails_by_name():
    link = PeerLink(SameLoopPortal(), config(), PEER, first_phase="ice", on_end=lambda link: None)
    link.on_closed(ConnectionClosed("the peer closed the connection"))
    port = ChannelPort(link.portal)
    stream = Stream(link, port, inbound=True)
    link._stream_arrived(stream, port)
    with pytest.raises(ConnectionClosed):
        await stream.receive()
    with pytest.raises(ConnectionClosed):
        await link.accept_stream()
    assert not link.streams


async def test_a_stream_of_a_connection_that_ends_meanwhile_fails_by_name():
    class EndsFirst(SameLoopPortal):
        """A portal across which the end of the connection comes before the answer."""

        async def call(self, func, *args):
            link.on_closed(ConnectionClosed("the peer closed the connection"))
            raise ConnectionClosed("the peer connection is over")

    link = PeerLink(EndsFirst(), config(), PEER, first_phase="ice", on_end=lambda link: None)
    with pytest.raises(ConnectionClosed):
        await link.open_stream()
    assert not link.streams


async def test_streams_over_the_limit_are_counted_out_again():
    async with connected(listener_settings=config(max_inbound_streams=2)) as pair:
        for _ in range(6):
            stream = await pair.dialer.open_stream()
            await stream.send(b"data")
            await (await pair.listener.accept_stream()).aclose()
            await stream.aclose()
            while (await pair.listener.statistics()).streams:
                await anyio.sleep(0.001)


class CrowdedPeer:
    """One that has so many stream ids, and gives the next one when somebody frees it."""

    def __init__(self, ids):
        self.ids = ids

    def open_channel(self, events, label="", negotiated_id=None):
        if not self.ids:
            raise TooManyStreams("all stream ids of this end are in use")
        self.ids -= 1
        return SimpleNamespace(id=self.ids, send=None)


def crowded(ids, **changes):
    link = PeerLink(
        SameLoopPortal(), config(**changes), PEER, first_phase="connected", on_end=lambda link: None
    )
    link._peer = CrowdedPeer(ids)
    return link


async def test_who_opens_waits_until_the_peer_has_closed_a_channel(monkeypatch):
    monkeypatch.setattr(link_module, "MAX_CLOSING", 2)
    link = crowded(ids=100)
    first, second, third = [await link.open_stream() for _ in range(3)]
    link.stream_finished(first)
    await link.open_stream()
    link.stream_finished(second)
    opened = []

    async def open_stream():
        opened.append(await link.open_stream())

    with anyio.fail_after(5):
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(open_stream)
            await anyio.wait_all_tasks_blocked()
            # One that is over makes none free, and neither does one of the peer's.
            link.stream_finished(third)
            inbound = Stream(link, ChannelPort(link.portal), inbound=True)
            link._stream_arrived(inbound, ChannelPort(link.portal))
            link.stream_closed(inbound)
            link.stream_closed(second)
            await anyio.wait_all_tasks_blocked()
            assert not opened
            link.stream_closed(first)
    assert len(opened) == 1


async def test_who_opens_waits_for_the_id_of_a_stream_that_is_over():
    link = crowded(ids=1)
    stream = await link.open_stream()
    # While it goes on, nobody knows when its id is free.
    with pytest.raises(TooManyStreams, match="all stream ids"):
        await link.open_stream()
    link.stream_finished(stream)
    with anyio.fail_after(5):
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(link.open_stream)
            await anyio.wait_all_tasks_blocked()
            link.peer.ids = 1
            link.stream_closed(stream)
    assert len(link.streams) == 1


async def test_the_wait_for_a_peer_that_closes_no_channels_has_an_end():
    link = crowded(ids=1, fin_ack_timeout=0.05)
    link.stream_finished(await link.open_stream())
    with anyio.fail_after(5), pytest.raises(TooManyStreams, match=r"of 1 streams .* for 0\.05 s"):
        await link.open_stream()


async def test_who_waits_for_a_channel_is_told_of_the_end_of_the_connection():
    link = crowded(ids=1)
    link.stream_finished(await link.open_stream())

    async def open_stream():
        with pytest.raises(ConnectionClosed):
            await link.open_stream()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(open_stream)
            await anyio.wait_all_tasks_blocked()
            link.on_closed(ConnectionClosed("the peer closed the connection"))
