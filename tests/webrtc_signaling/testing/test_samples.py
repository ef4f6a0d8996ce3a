import pytest

from webrtc_signaling.testing.samples import ANSWER, BYE, END_OF_CANDIDATES, OFFER, candidate, error
from webrtc_transport.protocol.signals import parse_signal


@pytest.mark.parametrize("signal", [OFFER, ANSWER, candidate(7), END_OF_CANDIDATES, error("busy", "no"), BYE])
def test_they_are_valid(signal):
    assert parse_signal(signal.model_dump(mode="json")) == signal


def test_candidates_differ():
    assert candidate(1) != candidate(2)
