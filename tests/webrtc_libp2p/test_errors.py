import anyio
import pytest
from libp2p.stream_muxer.exceptions import (
    MuxedConnUnavailable,
    MuxedStreamClosed,
    MuxedStreamEOF,
    MuxedStreamError,
    MuxedStreamReset,
)
from libp2p.transport.exceptions import OpenConnectionError

from webrtc_libp2p.errors import opening_connections, opening_streams, reading, writing
from webrtc_transport.errors import (
    AddressError,
    ConnectionLost,
    FramingError,
    IceFailed,
    SignalingUnavailable,
    StreamReset,
    StreamStopped,
    StreamTimeout,
    TooManyStreams,
)

CASES = [
    (reading, anyio.EndOfStream(), MuxedStreamEOF),
    (reading, anyio.ClosedResourceError(), MuxedStreamEOF),
    (reading, StreamReset("x"), MuxedStreamReset),
    (reading, FramingError("x"), MuxedStreamReset),
    (reading, ConnectionLost("x"), MuxedStreamReset),
    (writing, anyio.ClosedResourceError(), MuxedStreamClosed),
    (writing, StreamStopped("x"), MuxedStreamClosed),
    (writing, StreamReset("x"), MuxedStreamReset),
    (writing, StreamTimeout("x"), MuxedStreamReset),
    (writing, ConnectionLost("x"), MuxedStreamReset),
    (opening_streams, ConnectionLost("x"), MuxedConnUnavailable),
    (opening_streams, TooManyStreams("x"), MuxedStreamError),
    (opening_connections, IceFailed("x"), OpenConnectionError),
    (opening_connections, SignalingUnavailable("x"), OpenConnectionError),
    (opening_connections, AddressError("x"), OpenConnectionError),
    (opening_connections, anyio.BusyResourceError("listening with"), OpenConnectionError),
]


@pytest.mark.parametrize(("context", "raised", "told"), CASES)
def test_each_error_has_its_name_in_py_libp2p(context, raised, told):
    with pytest.raises(told) as caught, context():
        raise raised
    assert caught.type is told
    assert caught.value.__cause__ is raised


@pytest.mark.parametrize("context", [reading, writing, opening_streams, opening_connections])
def test_what_is_a_bug_passes(context):
    with pytest.raises(ZeroDivisionError), context():
        raise ZeroDivisionError


def test_the_name_of_what_failed_is_in_the_text():
    with (
        pytest.raises(OpenConnectionError, match="IceFailed: no candidate pair worked"),
        opening_connections(),
    ):
        raise IceFailed("no candidate pair worked")
