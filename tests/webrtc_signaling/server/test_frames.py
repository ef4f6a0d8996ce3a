import contextlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webrtc_signaling.samples import ALICE_ID, BOB_ID, OFFER, SESSION, candidate, envelope
from webrtc_signaling.codec import Codec, encode
from webrtc_signaling.limits import MAX_MESSAGE_SIZE
from webrtc_signaling.messages import Challenge, Numbered, SessionFailure, error_data
from webrtc_signaling.server.frames import (
    MAX_ENTRY_SIZE,
    Delivery,
    Progress,
    Unknown,
    delivery,
    pack,
    unpack,
)
from webrtc_transport.errors import InvalidSignal

FLOW = "flow-0123456789-0"
FAILURE = SessionFailure(peer=ALICE_ID, session=SESSION, data=error_data("peer-gone", "it has left"))


@pytest.mark.parametrize("message", [envelope(OFFER), envelope(candidate(1), index=1), FAILURE])
def test_messages_are_delivered_as_they_are(message):
    [entry] = pack([delivery(BOB_ID, FLOW, Numbered(message, 7, 0))])
    [frame] = unpack(entry)
    assert (frame.peer, frame.flow) == (BOB_ID, FLOW)
    assert frame.message() == Numbered(message, 7, 0)


def test_other_frames_come_back_as_they_were():
    frames = [
        Progress(peer=BOB_ID, flow=FLOW, received=3, taken=2),
        Unknown(peer=BOB_ID, flow=FLOW, is_here=True),
    ]
    [entry] = pack(frames)
    assert list(unpack(entry)) == frames


def test_entries_are_bounded_and_the_largest_frame_fits():
    large = Delivery.model_construct(kind="delivery", peer=BOB_ID, flow=FLOW, body=bytes(MAX_MESSAGE_SIZE))
    entries = list(pack([large, large, *[Unknown(peer=BOB_ID, flow=FLOW, is_here=False)] * 3000]))
    assert all(len(entry) <= MAX_ENTRY_SIZE for entry in entries)
    assert sum(len(list(unpack(entry))) for entry in entries) == 3002


def valid(**changes):
    frame = {"kind": "progress", "peer": BOB_ID, "flow": FLOW, "received": 1, "taken": 1} | changes
    return msgpack.packb({name: value for name, value in frame.items() if value is not None})


@pytest.mark.parametrize(
    "entry",
    [
        valid(kind="other"),
        valid(kind=None),
        valid(peer="../../etc"),
        valid(peer="1" * 1000),
        valid(flow="short"),
        valid(received=-1),
        valid(received="1"),
        valid(taken=2**60),
        valid(taken=None),
        valid(more={str(number): 1 for number in range(20)}),
        msgpack.packb([1, 2]),
        msgpack.packb(7),
        b"\xc1",
        bytes(MAX_ENTRY_SIZE + 1),
        b"\xdf\xff\xff\xff\xff",
        b"\x81" * 5000,
    ],
)
def test_what_no_server_writes_is_refused(entry):
    with pytest.raises(InvalidSignal):
        list(unpack(entry))


@given(st.binary(max_size=300))
def test_noise_is_refused_or_means_nothing(entry):
    with contextlib.suppress(InvalidSignal):
        list(unpack(entry))


def test_what_is_before_a_malformed_frame_counts():
    frames = unpack(valid() + b"\xc1")
    assert next(frames).received == 1
    with pytest.raises(InvalidSignal):
        next(frames)


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", encode(Challenge(nonce="nonce-0123456789"), Codec.MSGPACK), msgpack.packb({"version": 1})],
)
def test_bodies_that_are_no_messages_are_refused(body):
    with pytest.raises(InvalidSignal):
        Delivery(peer=BOB_ID, flow=FLOW, body=body).message()
