"""The caller's end of a peer connection: its limits, and what it says of failures."""

import anyio
import pytest

from tests.logs import own_records
from tests.pairs import config, connected
from webrtc_transport import Identity
from webrtc_transport.errors import (
    ConnectError,
    ConnectionAborted,
    ConnectionClosed,
    ConnectTimeout,
    EngineError,
    IceFailed,
    StreamReset,
)
from webrtc_transport.link import PeerLink, ended, set_up_failed
from webrtc_transport.portal import SameLoopPortal

pytestmark = pytest.mark.anyio

PEER = Identity.generate().peer_id


async def test_more_streams_than_allowed_are_reset(caplog):
    async with connected(listener_settings=config(max_inbound_streams=2)) as pair:
        streams = [await pair.dialer.open_stream() for _ in range(5)]
        for stream in streams[:2]:
            await stream.send(b"data")
        for stream in streams[2:]:
            with pytest.raises(StreamReset, match="or has too many streams"):
                await stream.receive()
        # Once for the connection: a peer that goes on fills no log.
        [record] = own_records(caplog)
        assert record.getMessage() == (
            f"a stream of {pair.listener.remote_peer} is reset: it has 2 open (max_inbound_streams)"
        )
        for stream in streams[:2]:
            inbound = await pair.listener.accept_stream()
            assert inbound.id == stream.id


async def test_a_full_backlog_resets_streams(caplog):
    async with connected(listener_settings=config(accept_backlog=1)) as pair:
        first, second = await pair.dialer.open_stream(), await pair.dialer.open_stream()
        await first.send(b"first")
        with pytest.raises(StreamReset):
            await second.receive()
        assert await (await pair.listener.accept_stream()).receive() == b"first"
    assert "1 wait to be accepted (accept_backlog)" in caplog.text


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


def test_every_reason_ends_a_connection_as_one_of_its_own_errors():
    closed = ConnectionClosed("closed")
    assert type(ended(closed)) is ConnectionClosed
    assert ended(closed) is not closed
    assert type(ended(IceFailed("no pair"))) is ConnectionAborted
    assert str(ended(KeyError("x"))) == "KeyError: 'x'"
    assert type(ended(KeyError("x"))) is EngineError


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


def test_what_is_no_error_of_connecting_is_told_as_one():
    failed = IceFailed("no pair")
    assert set_up_failed(failed) is failed
    assert type(set_up_failed(ConnectionClosed("the transport was closed"))) is ConnectError


async def test_the_init_channel_is_opened_and_closed_and_no_stream_of_the_peer():
    async with connected() as pair:
        with anyio.fail_after(5):
            await pair.dialer._link.pass_init_channel()
        assert not pair.dialer._link.streams
        stream = await pair.dialer.open_stream()
        await stream.send(b"first")
        assert await (await pair.listener.accept_stream()).receive() == b"first"


async def test_the_init_channel_of_a_connection_that_ends_is_not_waited_for():
    async with connected() as pair:
        await pair.dialer.abort()
        with anyio.fail_after(5):
            await pair.dialer._link.pass_init_channel()
