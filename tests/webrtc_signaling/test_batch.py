import pytest

from tests.webrtc_signaling.samples import OFFER, candidate, envelope
from webrtc_signaling.batch import pack, unpack
from webrtc_signaling.codec import Codec, decode_bytes, encode_bytes
from webrtc_signaling.limits import MAX_BATCH_SIZE
from webrtc_signaling.messages import Ack, Numbered, parse_client_message
from webrtc_transport.errors import InvalidSignal
from webrtc_transport.protocol.signals import DescriptionData, Offer


def lines_of(messages):
    return [encode_bytes(message, Codec.JSON) for message in messages]


def messages_of(body):
    return [parse_client_message(decode_bytes(line, Codec.JSON, is_text=True)) for line in unpack(body)]


def test_messages_are_lines_and_come_back():
    messages = [Numbered(envelope(OFFER), 1, 0), Ack(ack=7), Numbered(envelope(candidate(1), index=1), 2, 7)]
    [body] = pack(lines_of(messages))
    assert body.count(b"\n") == 3
    assert messages_of(body) == messages


def test_nothing_makes_no_body():
    assert list(pack([])) == []
    assert unpack(b"") == unpack(b"\n\n") == []


def test_many_messages_make_several_bodies_in_order():
    offer = Offer(data=DescriptionData(type="offer", sdp="\x01" * 16_000))
    messages = [Numbered(envelope(offer), seq, 0) for seq in range(1, 11)]
    bodies = list(pack(lines_of(messages)))
    # Each takes 96 KiB, so two fit in.
    assert len(bodies) == 5
    assert all(len(body) <= MAX_BATCH_SIZE for body in bodies)
    assert [message for body in bodies for message in messages_of(body)] == messages


def test_line_feeds_in_a_message_are_no_ends_of_it():
    offer = Offer(data=DescriptionData(type="offer", sdp="v=0\r\n\u2028\x85\n"))
    [body] = pack(lines_of([Numbered(envelope(offer), 1, 0)]))
    [message] = messages_of(body)
    assert message.message.signal == offer


def test_what_is_too_long_or_no_text_is_refused():
    assert len(unpack(b"1" * MAX_BATCH_SIZE)) == 1
    with pytest.raises(InvalidSignal, match="262145 bytes"):
        unpack(b"1" * (MAX_BATCH_SIZE + 1))
    with pytest.raises(InvalidSignal, match="UTF-8"):
        unpack(b"\xff")
