"""The page about data channels describes the frames that are sent."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import DOCS
from webrtc_transport.config import TransportConfig
from webrtc_transport.protocol.framing import Flag, Frame, FrameDecoder, encode_frame
from webrtc_transport.protocol.limits import MAX_FRAME_LENGTH, MAX_FRAME_PAYLOAD, MIN_MESSAGE_SIZE

TEXT = (DOCS / "reference" / "wire.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^\| (.+) \| `((?:[0-9a-f]{2} ?)+)` \|$", TEXT, re.MULTILINE)


def described(words):
    """The frame that the page describes in words."""
    payload = re.search(r"payload `(\w+)`", words)
    flags = [flag for flag in Flag if f"`{flag.name}`" in words]
    return Frame(flags[0] if flags else None, payload[1].encode() if payload else b"")


@pytest.mark.parametrize(("words", "shown"), EXAMPLES)
def test_example(words, shown):
    frame = described(words)
    assert encode_frame(frame.payload, frame.flag) == bytes.fromhex(shown)
    assert FrameDecoder().feed(bytes.fromhex(shown)) == [frame]


def test_each_flag_has_an_example_and_an_explanation():
    assert {described(words).flag for words, _ in EXAMPLES} == {None, *Flag}
    assert all(f"\n| `{flag.name}` | " in TEXT for flag in Flag)


def test_the_numbers_are_those_of_the_code():
    assert f"at most {MAX_FRAME_LENGTH:,} bytes" in TEXT
    assert f"has {MAX_FRAME_PAYLOAD:,} bytes" in TEXT
    assert f"less than {MIN_MESSAGE_SIZE} bytes is refused" in TEXT
    assert TransportConfig().fin_ack_timeout == 10
    assert "A peer gets ten seconds to send its `FIN_ACK`" in TEXT
