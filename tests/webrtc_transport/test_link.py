"""The caller's end of a peer connection: its limits, and what it says of failures."""

import pytest

from tests.pairs import config, connected
from webrtc_transport.abc import PeerSettings
from webrtc_transport.errors import (
    ConnectionAborted,
    ConnectionClosed,
    ConnectTimeout,
    EngineError,
    IceFailed,
    StreamReset,
)
from webrtc_transport.link import PeerLink, ended

pytestmark = pytest.mark.anyio


async def test_more_streams_than_allowed_are_reset():
    async with connected(listener_settings=config(max_inbound_streams=2)) as pair:
        streams = [await pair.dialer.open_stream() for _ in range(3)]
        for stream in streams[:2]:
            await stream.send(b"data")
        with pytest.raises(StreamReset):
            await streams[2].receive()
        for stream in streams[:2]:
            inbound = await pair.listener.accept_stream()
            assert inbound.id == stream.id


async def test_a_full_backlog_resets_streams():
    async with connected(listener_settings=config(accept_backlog=1)) as pair:
        first, second = await pair.dialer.open_stream(), await pair.dialer.open_stream()
        await first.send(b"first")
        with pytest.raises(StreamReset):
            await second.receive()
        assert await (await pair.listener.accept_stream()).receive() == b"first"


@pytest.mark.parametrize(
    ("phase", "cure"),
    [
        ("signaling", "is it listening"),
        ("ice", "configure a TURN server"),
        ("dtls", "DTLS handshake"),
        ("sctp", "SCTP handshake"),
        ("connected", "too late"),
    ],
)
def test_a_deadline_names_the_phase_and_the_cure(phase, cure):
    settings = PeerSettings(offerer=True, certificate=None, ice_servers=(), config=config())
    link = PeerLink(None, settings, on_end=print)
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
