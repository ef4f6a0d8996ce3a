"""The numbers follow from each other."""

import tracemalloc

import msgpack
import pytest

from tests.webrtc_signaling.samples import envelope
from webrtc_signaling.batch import pack
from webrtc_signaling.channel import ReliableChannel
from webrtc_signaling.codec import Codec, decode, encode, encode_bytes
from webrtc_signaling.limits import (
    ACK_EVERY,
    MAX_BATCH_SIZE,
    MAX_COLLECTION_LENGTH,
    MAX_MESSAGE_SIZE,
    MAX_PEER_ID_LENGTH,
    MAX_QUEUED_BYTES,
    MAX_QUEUED_MESSAGES,
    MAX_SESSION_DESCRIPTIONS,
    MAX_SESSION_SIGNALS,
)
from webrtc_signaling.messages import MAX_NUMBER, Numbered, to_wire
from webrtc_transport.errors import InvalidSignal
from webrtc_transport.protocol.limits import (
    MAX_PROOF_KEY_LENGTH,
    MAX_PROOF_SIGNATURE_LENGTH,
    MAX_REMOTE_CANDIDATES,
    MAX_SDP_LENGTH,
)
from webrtc_transport.protocol.signals import DescriptionData, Offer, Proof


def largest_message(character):
    proof = Proof(
        public_key=b"k" * MAX_PROOF_KEY_LENGTH,
        signature=b"s" * MAX_PROOF_SIGNATURE_LENGTH,
        issued_at=MAX_NUMBER,
    )
    offer = Offer(data=DescriptionData(type="offer", sdp=character * MAX_SDP_LENGTH), proof=proof)
    peer = "1" * MAX_PEER_ID_LENGTH
    route = envelope(offer, sender=peer, recipient=peer, session="s" * 64, index=MAX_SESSION_SIGNALS - 1)
    return Numbered(route, MAX_NUMBER, MAX_NUMBER)


@pytest.mark.parametrize("codec", Codec)
@pytest.mark.parametrize("character", ["\x01", '"', "\N{GRINNING FACE}", "é"])
def test_the_largest_valid_message_fits(character, codec):
    assert len(encode(largest_message(character), codec)) < MAX_MESSAGE_SIZE


def test_the_largest_valid_message_fits_in_a_body():
    [body] = pack([encode_bytes(largest_message("\x01"), Codec.JSON)])
    assert len(body) < MAX_BATCH_SIZE


def test_a_message_has_room_in_its_collections():
    fields = to_wire(largest_message("x"), binary=True)
    assert max(len(fields), len(fields["data"]), len(fields["proof"])) < MAX_COLLECTION_LENGTH


@pytest.mark.parametrize("header", [b"\xdd", b"\xdf"])
def test_what_a_header_announces_costs_little(header):
    bomb = (header + b"\x00\x00\x00\x20") * (MAX_MESSAGE_SIZE // 5)
    tracemalloc.start()
    try:
        with pytest.raises(InvalidSignal):
            decode(bomb, Codec.MSGPACK)
        assert tracemalloc.get_traced_memory()[1] < 2 * 1024 * 1024
    finally:
        tracemalloc.stop()
    with pytest.raises(InvalidSignal):
        decode(msgpack.packb([0] * (MAX_COLLECTION_LENGTH + 1)), Codec.MSGPACK)


def test_a_session_has_room_for_its_candidates_and_descriptions():
    assert MAX_SESSION_SIGNALS >= 3 * MAX_REMOTE_CANDIDATES + MAX_SESSION_DESCRIPTIONS + 1


def test_a_queue_has_room_for_two_hundred_dials():
    channel = ReliableChannel(max_messages=MAX_QUEUED_MESSAGES, max_bytes=MAX_QUEUED_BYTES)
    for _ in range(200):
        channel.push("offer", 8 * 1024)
        for _ in range(16):
            channel.push("candidate", 512)
    assert len(channel.transmit(0)) == 200 * 17


def test_acknowledgements_come_long_before_a_queue_is_full():
    assert ACK_EVERY * 16 < MAX_QUEUED_MESSAGES
