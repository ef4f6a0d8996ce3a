"""A stream beside an owner that only counts: what counts as unread, and until when."""

import itertools

import pytest

from tests.webrtc_transport.stream_owners import Channel, Owner
from webrtc_transport.protocol.framing import Flag, encode_frame
from webrtc_transport.stream import Stream


@pytest.fixture
def owner():
    return Owner()


@pytest.fixture
def channel():
    return Channel()


@pytest.fixture
def stream(owner, channel):
    return Stream(owner, channel, inbound=True)


FRAME = encode_frame(bytes(1000))


def test_a_frame_that_has_not_arrived_whole_counts_as_unread(owner, channel, stream):
    for arrived, byte in enumerate(FRAME[:-1], start=1):
        channel.message_arrived(bytes([byte]))
        assert owner.consumed == 0, arrived
    channel.message_arrived(FRAME[-1:])
    # All but the payload, which waits to be read.
    assert owner.consumed == len(FRAME) - 1000
    assert stream.unread == (1000, 0)


@pytest.mark.parametrize("cut", [1, 3, 500, 1003])
def test_what_is_left_of_a_frame_counts_from_one_message_to_the_next(owner, channel, stream, cut):
    data = FRAME * 3
    for start in range(0, len(data), cut):
        channel.message_arrived(data[start : start + cut])
    assert owner.consumed == len(data) - 3000
    assert stream.unread == (3000, 0)


def reset(stream, channel):
    stream.reset()


def reset_by_peer(stream, channel):
    # Inside of the frame that isn't whole, its body begins: so by the connection below, as a reset arrives.
    channel.channel_closed()


def broken(stream, channel):
    channel.message_arrived(b"\xff" * 2000)


@pytest.mark.parametrize("end", [reset, reset_by_peer, broken])
@pytest.mark.parametrize("arrived", [b"", FRAME], ids=["part", "whole and part"])
def test_everything_counts_as_read_when_the_stream_ends(owner, channel, stream, end, arrived):
    channel.message_arrived(arrived + FRAME[:600])
    end(stream, channel)
    unread = stream.unread[0]
    total = len(arrived) + 600 + (2000 if end is broken else 0)
    assert owner.consumed + unread == total
    # What comes after that is thrown away as it comes.
    before = owner.consumed
    channel.message_arrived(FRAME[600:700])
    assert owner.consumed == before + 100


def test_a_reset_is_the_last_frame(owner, channel, stream):
    for _ in itertools.repeat(None, 2):
        stream.reset()
    assert channel.sent == [encode_frame(flag=Flag.RESET)]


def test_many_fins_are_answered_once(owner, channel, stream):
    channel.message_arrived(encode_frame(flag=Flag.FIN) * 20_000)
    channel.message_arrived(encode_frame(flag=Flag.FIN))
    assert channel.sent == [encode_frame(flag=Flag.FIN_ACK)]
    assert owner.consumed == 20_001 * len(encode_frame(flag=Flag.FIN))
