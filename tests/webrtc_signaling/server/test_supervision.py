import asyncio

import pytest

from webrtc_signaling.server.supervision import guarded

LOGGER = "libp2p.transport.webrtc.signaling.server"


def test_an_error_is_logged_with_its_traceback_and_the_rest_goes_on(caplog):
    caplog.set_level("ERROR", LOGGER)
    done = []
    for number in range(3):
        with guarded("count"):
            done.append(10 // (number - 1))
    assert done == [-10, 10]
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert "wanted to count" in record.getMessage()
    assert record.exc_info[0] is ZeroDivisionError


def test_cancellation_is_no_error(caplog):
    with pytest.raises(asyncio.CancelledError), guarded("wait"):
        raise asyncio.CancelledError
    assert not caplog.records
