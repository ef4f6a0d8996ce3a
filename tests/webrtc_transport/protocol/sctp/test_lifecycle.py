import pytest

from webrtc_transport.protocol.sctp.congestion import NewReno
from webrtc_transport.protocol.sctp.lifecycle import Lifecycle
from webrtc_transport.protocol.sctp.packet import CauseCode, encode_cause, encode_chunk
from webrtc_transport.protocol.sctp.sender import Sender
from webrtc_transport.protocol.sctp.settings import AssociationSettings
from webrtc_transport.protocol.sctp.states import State
from webrtc_transport.protocol.sctp.transmitter import Transmitter

CHUNK = encode_chunk(10, b"cookie")


@pytest.fixture
def transmitter():
    return Transmitter(AssociationSettings(), Sender(1, NewReno(1160), 10**6), bytes)


@pytest.fixture
def lifecycle(transmitter):
    return Lifecycle(transmitter)


def test_a_step_that_is_not_in_the_table_is_a_mistake_of_ours(lifecycle):
    with pytest.raises(AssertionError, match=r"CLOSED to State\.SHUTDOWN_SENT"):
        lifecycle.move(State.SHUTDOWN_SENT)


def test_what_is_not_answered_is_repeated_and_then_given_up(lifecycle, transmitter):
    lifecycle.move(State.COOKIE_WAIT)
    lifecycle.repeat(CHUNK, 3, 0.0)
    times = 1
    while lifecycle.timer is not None:
        lifecycle.handle_timer(lifecycle.timer)
        times += 1
    assert lifecycle.ended.reason == "the peer does not answer (COOKIE_WAIT)"
    assert not lifecycle.ended.is_orderly
    assert [packet[12:] for packet in transmitter.take_packets()] == [CHUNK] * 3
    assert times == 4


def test_an_answer_stops_it(lifecycle, transmitter):
    lifecycle.repeat(CHUNK, 3, 0.0)
    lifecycle.stop_repeating()
    lifecycle.handle_timer(100.0)
    assert len(transmitter.take_packets()) == 1
    assert lifecycle.ended is None


def test_the_last_word_of_a_shutdown_may_be_missing(lifecycle):
    for state in (State.ESTABLISHED, State.SHUTDOWN_RECEIVED, State.SHUTDOWN_ACK_SENT):
        lifecycle.move(state)
    lifecycle.repeat(CHUNK, 1, 0.0)
    lifecycle.handle_timer(lifecycle.timer)
    assert lifecycle.ended.is_orderly


@pytest.mark.parametrize("is_known", [True, False])
def test_a_failure_is_told_to_a_peer_that_is_known(lifecycle, transmitter, is_known):
    if is_known:
        transmitter.address(7)
    lifecycle.fail(CauseCode.NO_USER_DATA, "why")
    sent = [packet[12:] for packet in transmitter.take_packets()]
    assert sent == ([encode_cause(6, CauseCode.NO_USER_DATA, b"why")] if is_known else [])
    assert lifecycle.ended.reason == "why"
    assert lifecycle.state is State.ENDED
