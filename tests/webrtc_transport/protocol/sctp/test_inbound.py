"""Each chunk is acted on, the unknown and the malformed too."""

import struct

import pytest

from tests.links import Pair, chunk_types
from webrtc_transport.protocol.sctp.packet import ChunkType, PacketWriter, encode_chunk


def write(pair, *chunks):
    """Have a packet with these chunks arrive at b."""
    association = pair.b.association
    packet = PacketWriter(5000, 5000, association._inbound.handshake.tag).build(chunks)
    association.receive(packet, pair.now)


def data(pair, offset, payload, *, flags=3, ssn=0, stream_id=1):
    tsn = (pair.a.association._sender.initial_tsn + offset) & 0xFFFFFFFF
    body = struct.pack("!IHHI", tsn, stream_id, ssn, 53) + payload
    return encode_chunk(ChunkType.DATA, body, flags=flags)


def test_unordered_messages_are_not_held_up():
    pair = Pair().connect()
    write(pair, data(pair, 1, b"second", flags=7))
    pair.flush()
    assert pair.b.received == {1: [b"second"]}
    write(pair, data(pair, 2, b"third", ssn=1))
    write(pair, data(pair, 0, b"first", ssn=0))
    pair.flush()
    assert pair.b.received == {1: [b"second", b"first", b"third"]}


def test_forward_tsn_skips_what_was_given_up():
    pair = Pair().connect()
    write(pair, data(pair, 2, b"third", ssn=2))
    tsn = pair.a.association._sender.initial_tsn + 1
    write(pair, encode_chunk(ChunkType.FORWARD_TSN, struct.pack("!IHH", tsn & 0xFFFFFFFF, 1, 1)))
    pair.flush()
    assert pair.b.received == {1: [b"third"]}


def test_forward_tsn_on_a_stream_that_never_was():
    pair = Pair().connect()
    tsn = pair.a.association._sender.initial_tsn
    write(pair, encode_chunk(ChunkType.FORWARD_TSN, struct.pack("!IHH", tsn, 9, 0)))
    write(pair, data(pair, 1, b"next", ssn=1, stream_id=9))
    pair.flush()
    assert pair.b.received == {9: [b"next"]}


def test_data_behind_a_malformed_chunk_is_as_if_lost():
    pair = Pair().connect()
    whole = data(pair, 0, b"first")
    write(pair, whole, struct.pack("!BBH", 3, 0, 2), data(pair, 1, b"second", ssn=1))
    pair.flush()
    assert pair.b.received == {1: [b"first"]}


def test_unknown_chunks():
    pair = Pair().connect()
    sent = []
    pair.observe = lambda end, packet: sent.append(chunk_types(packet))
    write(pair, encode_chunk(0x3F, b"stop"), data(pair, 0, b"not read"))
    write(pair, encode_chunk(0xBF, b"skip"), data(pair, 0, b"read"))
    write(pair, encode_chunk(0xFF, b"skip and report"))
    pair.flush()
    assert pair.b.received == {1: [b"read"]}
    assert ChunkType.ERROR in sent[0]


def test_a_heartbeat_is_answered_as_it_is():
    pair = Pair().connect()
    sent = []
    pair.observe = lambda end, packet: sent.append(packet)
    write(pair, encode_chunk(ChunkType.HEARTBEAT, b"\0\1\0\7abc"))
    pair.flush()
    assert encode_chunk(ChunkType.HEARTBEAT_ACK, b"\0\1\0\7abc") in sent[0]


def test_the_round_trip_of_a_heartbeat_counts():
    pair = Pair().connect()
    pair.run_for(31.0)
    assert pair.a.association.smoothed_rtt == pytest.approx(0.01)
