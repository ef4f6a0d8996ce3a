import contextlib

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webrtc_signaling.samples import ALICE_ID, BOB_ID, OFFER, SESSION, candidate, routed_signal
from webrtc_signaling.limits import MAX_MESSAGE_SIZE
from webrtc_signaling.messages import Numbered, SessionFailure, error_data
from webrtc_signaling.server.frames import (
    MAX_ENTRY_SIZE,
    Delivery,
    Progress,
    Unknown,
    deliveries,
    pack,
    unpack,
)
from webrtc_signaling.server.signals import parse_delivery
from webrtc_transport.errors import InvalidSignal
from webrtc_transport.protocol.signals import DescriptionData, Offer

FLOW = "flow-0123456789-0"
FAILURE = SessionFailure(peer=ALICE_ID, session=SESSION, data=error_data("peer-gone", "it has left"))


@pytest.mark.parametrize("message", [routed_signal(OFFER), routed_signal(candidate(1), index=1), FAILURE])
def test_messages_are_delivered_as_they_are(message):
    messages = [Numbered(message, 7, 0), Numbered(message, 8, 0)]
    [entry] = pack(deliveries(BOB_ID, FLOW, messages))
    [frame] = unpack(entry)
    assert (frame.peer, frame.flow) == (BOB_ID, FLOW)
    assert [parse_delivery(body) for body in frame.bodies] == messages


def test_many_messages_make_several_frames_in_order():
    long = routed_signal(Offer(data=DescriptionData(type="offer", sdp="\x01" * 16_000)))
    messages = [Numbered(long, seq, 0) for seq in range(1, 4)]
    messages += [Numbered(routed_signal(candidate(1)), seq, 0) for seq in range(4, 1004)]
    frames = [frame for entry in pack(deliveries(BOB_ID, FLOW, messages)) for frame in unpack(entry)]
    assert len(frames) < 8
    assert [parse_delivery(body) for frame in frames for body in frame.bodies] == messages


def test_of_nothing_there_is_no_frame():
    assert list(deliveries(BOB_ID, FLOW, [])) == []


def test_other_frames_come_back_as_they_were():
    frames = [
        Progress(peer=BOB_ID, flow=FLOW, received=3, taken=2),
        Unknown(peer=BOB_ID, flow=FLOW, is_here=True),
    ]
    [entry] = pack(frames)
    assert list(unpack(entry)) == frames


def test_entries_are_bounded_and_the_largest_frame_fits():
    large = Delivery.model_construct(
        kind="delivery", peer=BOB_ID, flow=FLOW, bodies=[bytes(MAX_MESSAGE_SIZE)]
    )
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
        b"\x91" * 5000,
        valid(kind="delivery"),
        valid(kind="delivery", bodies=[]),
        valid(kind="delivery", bodies=["text"]),
        valid(kind="delivery", bodies=[bytes(MAX_MESSAGE_SIZE + 1)]),
        valid(kind="delivery", bodies=[b"{}"] * 513),
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
