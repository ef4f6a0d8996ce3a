"""Frames of a client are taken apart however they arrive, and what breaks RFC 6455 is refused."""

import struct

import pytest
from aiohttp import WSCloseCode
from hypothesis import given
from hypothesis import strategies as st

from webrtc_signaling.server.websocket_frames import (
    MAX_FRAGMENTS,
    FrameError,
    FrameReader,
    Opcode,
    close_code,
    close_frame,
    frame,
)

MAX = 70_000
KEY = b"\x01\x80\xff\x7f"
FRAGMENT = (Opcode.CONTINUATION, b"")


def masked(opcode, payload, *, final=True, reserved=0, mask=True, length=None):
    """A frame of a client; ``length`` is what it announces if that isn't true."""
    length = len(payload) if length is None else length
    head = bytes([final << 7 | reserved | opcode])
    bit = mask << 7
    if length < 126:
        head += bytes([bit | length])
    elif length < 1 << 16:
        head += struct.pack("!BH", bit | 126, length)
    else:
        head += struct.pack("!BQ", bit | 127, length)
    if not mask:
        return head + payload
    return head + KEY + bytes(byte ^ KEY[place % 4] for place, byte in enumerate(payload))


def read(*pieces):
    """What is whole in them: a fragment by itself is nothing."""
    reader = FrameReader(MAX)
    messages = [message for piece in pieces for message in reader.feed(piece)]
    return [message for message in messages if message != FRAGMENT]


@pytest.mark.parametrize("length", [0, 1, 3, 4, 125, 126, 127, 65_535, 65_536, MAX])
@pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
def test_payloads_of_any_length(opcode, length):
    payload = bytes(range(256)) * (length // 256) + bytes(length % 256)
    assert read(masked(opcode, payload)) == [(opcode, payload)]


MESSAGES = st.lists(st.tuples(st.sampled_from([Opcode.TEXT, Opcode.BINARY]), st.binary(max_size=300)))


@given(MESSAGES, st.data())
def test_the_same_in_any_pieces(messages, data):
    stream = b""
    for opcode, payload in messages:
        parts = data.draw(st.integers(1, 3))
        size = len(payload) // parts + 1
        for part in range(parts):
            stream += masked(
                opcode if part == 0 else Opcode.CONTINUATION,
                payload[part * size : (part + 1) * size],
                final=part == parts - 1,
            )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert read(*pieces) == messages


def test_control_frames_come_amid_a_message():
    begin = masked(Opcode.TEXT, b"ab", final=False)
    end = masked(Opcode.CONTINUATION, b"c")
    assert read(begin, masked(Opcode.PING, b"?"), end) == [(Opcode.PING, b"?"), (Opcode.TEXT, b"abc")]


def test_nothing_is_kept_between_messages():
    reader = FrameReader(MAX)
    whole = masked(Opcode.TEXT, b"x" * 1000)
    assert not list(reader.feed(whole[:500]))
    assert reader._buffer is not None
    assert len(list(reader.feed(whole[500:] + whole))) == 2
    assert reader._buffer is None
    assert reader._fragments is None


@pytest.mark.parametrize(
    "data",
    [
        masked(Opcode.TEXT, b"x", mask=False),
        masked(Opcode.TEXT, b"x", reserved=0x40),
        masked(3, b"x"),
        masked(11, b"x"),
        masked(Opcode.PING, b"x" * 126),
        masked(Opcode.PING, b"x", final=False),
        masked(Opcode.CONTINUATION, b"x"),
        masked(Opcode.TEXT, b"x", final=False) + masked(Opcode.TEXT, b"y"),
    ],
)
def test_what_breaks_the_protocol(data):
    with pytest.raises(FrameError) as caught:
        read(data)
    assert caught.value.code is WSCloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    "data",
    [
        # Refused by what it announces, before any of it is kept.
        masked(Opcode.TEXT, b"", length=MAX + 1),
        masked(Opcode.TEXT, b"", length=2**63),
        masked(Opcode.TEXT, bytes(MAX), final=False) + masked(Opcode.CONTINUATION, b"x"),
        masked(Opcode.TEXT, bytes(MAX), final=False) + masked(Opcode.CONTINUATION, b"", length=126),
    ],
)
def test_a_message_that_is_too_long(data):
    with pytest.raises(FrameError) as caught:
        read(data)
    assert caught.value.code is WSCloseCode.MESSAGE_TOO_BIG


def test_nothing_is_kept_after_what_is_no_frame():
    reader = FrameReader(MAX)
    # The fault is in a frame that was begun before, and amid a message.
    assert list(reader.feed(masked(Opcode.TEXT, b"x" * 1000, final=False) + b"\x82")) == [FRAGMENT]
    assert reader._buffer is not None
    with pytest.raises(FrameError):
        list(reader.feed(b"\x00"))
    assert reader._buffer is None
    assert reader._fragments is None


def test_who_stops_at_a_message_goes_on_behind_it():
    reader = FrameReader(MAX)
    stream = masked(Opcode.TEXT, b"a") + masked(Opcode.PING, b"b") + masked(Opcode.TEXT, b"c")
    for piece in (stream[:1], stream[1:-1]):
        feed = reader.feed(piece)
        first = next(feed, None)
        feed.close()
    assert first == (Opcode.TEXT, b"a")
    assert list(reader.feed(stream[-1:])) == [(Opcode.PING, b"b"), (Opcode.TEXT, b"c")]


def test_a_message_of_too_many_fragments():
    begin, part = masked(Opcode.TEXT, b"", final=False), masked(Opcode.CONTINUATION, b"", final=False)
    last = masked(Opcode.CONTINUATION, b"x")
    most = begin + part * (MAX_FRAGMENTS - 2)
    assert read(most + last, most, last) == 2 * [(Opcode.TEXT, b"x")]
    reader = FrameReader(MAX)
    # Each that isn't the last is told: they count as control frames do.
    assert list(reader.feed(most + part)) == [FRAGMENT] * MAX_FRAGMENTS
    with pytest.raises(FrameError, match="a message of more than 1024 fragments") as caught:
        list(reader.feed(last))
    assert caught.value.code is WSCloseCode.POLICY_VIOLATION


@pytest.mark.parametrize("length", [0, 125, 126, 65_535, 65_536])
def test_frames_of_the_server(length):
    payload = bytes(length)
    data = frame(Opcode.BINARY, payload)
    assert data == masked(Opcode.BINARY, payload, mask=False)


def test_codes_of_a_close():
    assert close_frame(1008) == b"\x88\x02\x03\xf0"
    assert close_code(b"\x03\xf0why") == 1008
    assert close_code(b"") is None
