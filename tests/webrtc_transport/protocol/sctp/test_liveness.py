import random

import pytest

from webrtc_transport.protocol.sctp.liveness import MAX_HEARTBEATS, Liveness

TIMEOUT = 30.0
INTERVAL = TIMEOUT / 2


@pytest.fixture
def liveness():
    return Liveness(random.Random(1).randbytes, 0.0, TIMEOUT)


def test_silence_is_asked_about(liveness):
    assert liveness.handle_timer(INTERVAL - 0.1) == []
    liveness.heard(10.0)
    assert liveness.handle_timer(INTERVAL) == []
    (chunk,) = liveness.handle_timer(10.0 + INTERVAL)
    assert liveness.answered(chunk[4:], 25.1) == pytest.approx(0.1)
    assert liveness.answered(chunk[4:], 25.1) is None


def test_a_peer_that_never_answers(liveness):
    count = 0
    while not liveness.is_lost:
        now = liveness.timer
        count += len(liveness.handle_timer(now))
    assert count == MAX_HEARTBEATS
    assert now == pytest.approx(TIMEOUT)


def test_other_answers(liveness):
    assert liveness.answered(b"", 0.0) is None
    liveness.handle_timer(INTERVAL)
    assert liveness.answered(b"\0\1\0\x0c12345678", 31.0) is None
