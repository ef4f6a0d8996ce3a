"""Envelopes that a service carries without looking at them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webrtc_signaling.samples import ALICE_ID, BOB_ID, BYE, OFFER, SESSION, candidate, envelope
from webrtc_signaling.envelopes import decode_envelope, encode_envelope
from webrtc_signaling.limits import MAX_MESSAGE_SIZE
from webrtc_signaling.messages import Malformed
from webrtc_transport.errors import InvalidSignal


@pytest.mark.parametrize("signal", [OFFER, candidate(1), BYE])
def test_round_trip(signal):
    sent = envelope(signal)
    data = encode_envelope(sent)
    assert b"\n" not in data
    assert decode_envelope(data) == sent


def test_it_has_the_shape_of_the_rendezvous_protocol():
    fields = json.loads(encode_envelope(envelope(OFFER)))
    assert fields["type"] == "offer"
    assert (fields["from"], fields["to"], fields["session"]) == (ALICE_ID, BOB_ID, SESSION)
    assert (fields["version"], fields["index"]) == (1, 0)


def test_a_malformed_signal_costs_its_session_alone():
    data = encode_envelope(envelope(OFFER)).replace(b'"sdp"', b'"spd"')
    malformed = decode_envelope(data)
    assert isinstance(malformed, Malformed)
    assert malformed.sender == ALICE_ID


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"[" * 10_000, "not JSON"),
        (b"[]", "a message is a map"),
        (b"{}", "version"),
        (b'{"version":1}', "from"),
        (b" " * (MAX_MESSAGE_SIZE + 1), "are allowed"),
    ],
    ids=["empty", "nested", "list", "no-version", "no-route", "too-large"],
)
def test_what_is_no_envelope(data, reason):
    with pytest.raises(InvalidSignal, match=reason):
        decode_envelope(data)


@given(st.binary())
def test_anything_is_an_envelope_or_an_invalid_signal(data):
    with pytest.raises(InvalidSignal):
        decode_envelope(data)
