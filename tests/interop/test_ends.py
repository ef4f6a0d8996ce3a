"""How connections with peers that nobody here wrote end: by a good-bye of either end, or without a word."""

import signal
import time

import pytest

from tests.interop.runtimes import ENGINES, connect, running_peer

MIB = 1024 * 1024
MESSAGE = 16 * 1024
LIVENESS_TIMEOUT = 2.0


@pytest.fixture(params=ENGINES)
def ours(request, engines):
    return engines[request.param]


@pytest.fixture
def connected(ours, foreign, we_offer):
    connect(*((ours, foreign) if we_offer else (foreign, ours)), ours=(ours,))


@pytest.mark.usefixtures("connected")
class TestGoodBye:
    def test_theirs_is_told_within_a_second(self, ours, foreign):
        started = time.monotonic()
        foreign.call("close")
        assert ours.call("ended")["reason"].startswith("ConnectionClosed: ")
        assert time.monotonic() - started < 1

    def test_theirs_amid_a_transfer(self, ours, foreign):
        transfer = ours.start("send", channels=1, bytes=64 * MIB, size=MESSAGE)
        while ours.call("progress")["left"] < MIB:
            pass
        started = time.monotonic()
        foreign.call("close")
        assert ours.call("ended")["reason"].startswith("ConnectionClosed: ")
        assert time.monotonic() - started < 1
        ours.abandon(transfer)

    def test_ours_is_told_within_a_second(self, ours, foreign):
        foreign.call("watch")
        started = time.monotonic()
        ours.call("close")
        foreign.call("ended")
        assert time.monotonic() - started < 1


@pytest.mark.parametrize("kind", ["aiortc", "libdatachannel", "libwebrtc"])
def test_a_peer_that_is_killed_amid_a_transfer_is_given_up(kind, namespace, native):
    with running_peer(kind, namespace) as foreign:
        connect(native, foreign, ours=(native,), liveness_timeout=LIVENESS_TIMEOUT)
        transfer = native.start("send", channels=1, bytes=64 * MIB, size=MESSAGE)
        while native.call("progress")["left"] < MIB:
            pass
        killed = time.monotonic()
        foreign.process.send_signal(signal.SIGKILL)
        reason = native.call("ended")["reason"]
        assert reason.startswith("ConnectionLost: ")
        assert time.monotonic() - killed < LIVENESS_TIMEOUT + 1
        native.abandon(transfer)
