"""Their senders stop at our window, whoever wrote them, and nothing is lost. Only the native engine can do that."""

import time

import pytest

from tests.interop.runtimes import connect
from webrtc_transport.protocol.sctp.receiver import FREE_OVERRUN

MIB = 1024 * 1024
MESSAGE = 16 * 1024
WINDOW = 256 * 1024
CHANNELS = 2

LONG_PAUSE = 90
"""Seconds: enough for the retransmissions that some stack allows in a row."""


def still(value, span=0.5, within=20):
    """Wait until ``value()`` hasn't changed for ``span`` seconds, and return it."""
    deadline = time.monotonic() + within
    last, since = value(), time.monotonic()
    while time.monotonic() - since < span:
        assert time.monotonic() < deadline, f"still changing after {within} s"
        time.sleep(0.02)
        now = value()
        if now != last:
            last, since = now, time.monotonic()
    return last


@pytest.fixture
def connected(native, foreign, we_offer):
    connect(*((native, foreign) if we_offer else (foreign, native)), ours=(native,), receive_buffer=WINDOW)
    yield
    foreign.call("close")
    native.call("ended")


@pytest.mark.usefixtures("connected")
def test_a_reader_that_does_not_read_holds_its_sender(native, foreign):
    total = CHANNELS * 2 * MIB
    native.call("control", reads=False)
    transfer = foreign.start("send", channels=CHANNELS, bytes=total // CHANNELS, size=MESSAGE)
    unread = still(lambda: native.call("control")["unread"])
    # The window counts parts of messages, and each channel may have one under way. Beyond a window that is shut,
    # a sender tries with a packet at a time (RFC 9260, section 6.1), and those are taken up to a bound.
    assert WINDOW - (CHANNELS + 1) * MESSAGE <= unread <= WINDOW + FREE_OVERRUN + MESSAGE
    assert foreign.call("progress")["left"] < total
    native.call("control", reads=True)
    foreign.finish(transfer)


@pytest.mark.soak
@pytest.mark.usefixtures("connected")
def test_a_reader_may_pause_for_long(native, foreign):
    # A sender that hears from us must not count its tries as errors (RFC 9260, section 6.1).
    native.call("control", reads=False)
    transfer = foreign.start("send", channels=CHANNELS, bytes=2 * MIB, size=MESSAGE)
    time.sleep(LONG_PAUSE)
    native.call("control", reads=True)
    foreign.finish(transfer, timeout=120)


@pytest.mark.usefixtures("connected")
def test_a_reader_that_pauses_again_and_again_loses_nothing(native, foreign):
    transfer = foreign.start("send", channels=CHANNELS, bytes=MIB, size=MESSAGE)
    for _ in range(10):
        native.call("control", reads=False)
        time.sleep(0.02)
        native.call("control", reads=True)
    foreign.finish(transfer)


@pytest.mark.usefixtures("connected")
def test_the_other_direction_is_not_held(native, foreign):
    native.call("open", bytes=MIB)  # whether the other end listens yet is an answer that would be held, too
    native.call("control", reads=False)
    transfer = foreign.start("send", channels=1, bytes=MIB, size=MESSAGE)
    still(lambda: native.call("control")["unread"], span=0.2)
    # The hash comes back, which isn't read yet either; what was sent has left the buffer by then.
    ours = native.start("send", channels=1, bytes=MIB, size=MESSAGE)
    still(lambda: native.call("progress"), span=0.2)
    assert native.call("progress") == {"handed": MIB, "left": MIB}
    native.call("control", reads=True)
    native.finish(ours)
    foreign.finish(transfer)
