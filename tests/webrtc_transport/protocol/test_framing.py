"""Frames on the wire: libp2p specs, webrtc/README.md, "Multiplexing"."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webrtc_transport.errors import FramingError
from webrtc_transport.protocol.framing import MAX_SHORT_PAYLOAD, Flag, Frame, FrameDecoder, encode_frame
from webrtc_transport.protocol.limits import MAX_FRAME_LENGTH, MAX_FRAME_PAYLOAD
from webrtc_transport.protocol.protobuf import encode_message, encode_varint

frames = st.builds(Frame, st.sampled_from([None, *Flag]), st.binary(max_size=300)).filter(
    lambda frame: frame.payload or frame.flag is not None
)


@st.composite
def cut(draw, data):
    """``data`` in pieces of any size, empty ones too."""
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=20)))
    return [data[start:end] for start, end in pairwise([0, *cuts, len(data)])]


class TestWire:
    @pytest.mark.parametrize(
        ("frame", "wire"),
        [
            (Frame(Flag.FIN, b""), "02 0800"),
            (Frame(Flag.STOP_SENDING, b""), "02 0801"),
            (Frame(Flag.RESET, b""), "02 0802"),
            (Frame(Flag.FIN_ACK, b""), "02 0803"),
            (Frame(None, b"libp2p"), "08 1206 6c6962703270"),
            (Frame(Flag.FIN, b"bye"), "07 0800 1203 627965"),
        ],
    )
    def test_both_ways(self, frame, wire):
        assert encode_frame(frame.payload, frame.flag).hex() == wire.replace(" ", "")
        assert FrameDecoder().feed(bytes.fromhex(wire)) == [frame]

    def test_nothing_to_say(self):
        assert encode_frame() == b"\x00"

    def test_takes_a_memoryview(self):
        assert encode_frame(memoryview(b"abc")[1:]) == encode_frame(b"bc")

    def test_fields_may_come_in_either_order(self):
        assert FrameDecoder().feed(bytes.fromhex("07 1203 627965 0800")) == [Frame(Flag.FIN, b"bye")]


class TestLimit:
    @pytest.mark.parametrize("flag", [None, *Flag])
    def test_the_largest_payload_fits_beside_any_flag(self, flag):
        frame = encode_frame(bytes(MAX_FRAME_PAYLOAD), flag)
        assert len(frame) <= MAX_FRAME_LENGTH
        assert FrameDecoder().feed(frame) == [Frame(flag, bytes(MAX_FRAME_PAYLOAD))]

    def test_one_byte_more_does_not(self):
        with pytest.raises(ValueError, match="16377"):
            encode_frame(bytes(MAX_FRAME_PAYLOAD + 1), Flag.FIN)

    def test_a_frame_of_exactly_the_limit_is_taken(self):
        payload = bytes(MAX_FRAME_LENGTH - 5)
        frame = encode_frame(payload)
        assert len(frame) == MAX_FRAME_LENGTH
        assert FrameDecoder().feed(frame) == [Frame(None, payload)]

    @pytest.mark.parametrize("size", [1, MAX_SHORT_PAYLOAD, MAX_SHORT_PAYLOAD + 1])
    def test_a_short_frame_is_the_same_message_as_a_long_one(self, size):
        payload = bytes(range(size))
        body = encode_message(None, payload)
        frame = encode_varint(len(body)) + body
        assert encode_frame(payload) == encode_frame(memoryview(payload)) == frame
        assert FrameDecoder().feed(frame) == [Frame(None, payload)]
        assert FrameDecoder().feed(frame + frame) == [Frame(None, payload)] * 2
        short = payload if size <= MAX_SHORT_PAYLOAD else None
        assert FrameDecoder().short_payload(frame) == short

    def test_what_is_not_one_short_frame_waits_for_the_general_way(self):
        decoder = FrameDecoder()
        frame = encode_frame(b"payload")
        for message in (b"", frame[:2], frame[:-1], frame + frame, encode_frame(b"payload", Flag.FIN)):
            assert decoder.short_payload(message) is None
        decoder.feed(frame[:3])
        # In the middle of a frame the same bytes are something else.
        assert decoder.short_payload(frame) is None
        assert decoder.feed(frame[3:]) == [Frame(None, b"payload")]

    @pytest.mark.parametrize("prefix", ["ff7f", "808001", "ffffffffffffffff7f"])
    def test_longer_frames_are_refused_at_their_prefix(self, prefix):
        decoder = FrameDecoder()
        with pytest.raises(FramingError, match="limit"):
            decoder.feed(bytes.fromhex(prefix))
        assert decoder.buffered == 0

    def test_a_refused_message_is_not_stored(self):
        decoder = FrameDecoder()
        message = b"\xff\xff\xff\x7f" + bytes(1 << 20)
        tracemalloc.start()
        try:
            with pytest.raises(FramingError):
                decoder.feed(message)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < MAX_FRAME_LENGTH

    def test_a_message_of_empty_frames_gives_nothing(self):
        assert FrameDecoder().feed(bytes(100_000)) == []


class TestMalformed:
    @pytest.mark.parametrize(
        ("wire", "problem"),
        [
            ("8000", "superfluous"),
            ("ffffffffffffffffffff", "9 bytes"),
            ("01 08", "ends"),
            ("03 1205 61", "ends"),
            ("02 0a00", "wire type"),
            ("02 1001", "wire type"),
            ("03 088000", "superfluous"),
            ("01 00", "wire type"),
            ("02 1b00", "unsupported"),
        ],
        ids=[
            "prefix not shortest",
            "prefix too long",
            "flag without value",
            "payload cut off",
            "flag as bytes",
            "payload as integer",
            "flag not shortest",
            "field 0",
            "group",
        ],
    )
    def test_is_refused(self, wire, problem):
        with pytest.raises(FramingError, match=problem):
            FrameDecoder().feed(bytes.fromhex(wire))

    @given(st.lists(st.binary(max_size=64), max_size=10))
    def test_any_bytes_give_frames_or_a_framing_error(self, messages):
        decoder = FrameDecoder()
        try:
            for message in messages:
                for frame in decoder.feed(message):
                    assert frame.payload or frame.flag is not None
                assert decoder.buffered < MAX_FRAME_LENGTH
        except FramingError:
            pass


class TestForwardCompatibility:
    def test_an_unknown_flag_is_ignored(self):
        assert FrameDecoder().feed(bytes.fromhex("02 0804")) == []

    def test_the_payload_beside_an_unknown_flag_is_kept(self):
        assert FrameDecoder().feed(bytes.fromhex("05 0804 1201 61")) == [Frame(None, b"a")]

    def test_unknown_fields_are_ignored(self):
        # go-libp2p puts an error code in field 3 beside RESET and STOP_SENDING.
        assert FrameDecoder().feed(bytes.fromhex("05 0802 18e707")) == [Frame(Flag.RESET, b"")]


class TestBoundaries:
    """A frame need not line up with SCTP's messages."""

    @given(st.data(), st.lists(frames, max_size=8))
    def test_do_not_matter(self, data, expected):
        wire = b"".join(encode_frame(frame.payload, frame.flag) for frame in expected)
        decoder = FrameDecoder()
        decoded = [frame for piece in data.draw(cut(wire)) for frame in decoder.feed(piece)]
        assert decoded == expected
        assert decoder.buffered == 0
        decoder.finish()

    def test_prefix_and_body_in_two_messages(self):
        decoder = FrameDecoder()
        frame = encode_frame(b"x" * 200)
        assert decoder.feed(frame[:2]) == []
        assert decoder.buffered == 2
        assert decoder.feed(frame[2:]) == [Frame(None, b"x" * 200)]

    def test_the_largest_frame_byte_by_byte(self):
        decoder = FrameDecoder()
        wire = encode_frame(bytes(MAX_FRAME_PAYLOAD), Flag.FIN)
        for index in range(len(wire) - 1):
            assert decoder.feed(wire[index : index + 1]) == []
            assert decoder.buffered == index + 1
        assert decoder.feed(wire[-1:]) == [Frame(Flag.FIN, bytes(MAX_FRAME_PAYLOAD))]
        assert decoder.buffered == 0

    @pytest.mark.parametrize("size", [1, 2, 100])
    def test_a_channel_closed_inside_of_a_frame(self, size):
        decoder = FrameDecoder()
        decoder.feed(encode_frame(b"x" * 200)[:size])
        with pytest.raises(FramingError, match=f"closed {size} bytes"):
            decoder.finish()

    def test_a_channel_closed_between_frames(self):
        decoder = FrameDecoder()
        decoder.finish()
        decoder.feed(encode_frame(b"x"))
        decoder.finish()
