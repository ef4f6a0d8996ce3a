"""Each chunk is acted on, the unknown and the malformed too."""

import struct

import pytest

from tests.links import Pair, chunk_types
from webrtc_transport.protocol.sctp.packet import (
    CauseCode,
    ChunkType,
    PacketWriter,
    encode_cause,
    encode_chunk,
)


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


def end_by(*chunk):
    """How an association ends by an ABORT."""
    pair = Pair().connect()
    write(pair, encode_cause(ChunkType.ABORT, *chunk) if chunk else encode_chunk(ChunkType.ABORT, b""))
    pair.flush()
    return pair.b.ended


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param((), id="aiortc"),
        pytest.param((CauseCode.USER_INITIATED_ABORT,), id="usrsctp and Pion"),
        pytest.param((CauseCode.USER_INITIATED_ABORT, b"Close called"), id="dcSCTP"),
    ],
)
def test_an_application_that_closes_is_in_order(chunk):
    assert end_by(*chunk).is_orderly


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        ((CauseCode.USER_INITIATED_ABORT, b"Too many retransmissions"), ": Too many retransmissions"),
        ((CauseCode.PROTOCOL_VIOLATION, b"a gap"), " (cause 13): a gap"),
        ((CauseCode.PROTOCOL_VIOLATION, b""), " (cause 13)"),
        ((CauseCode.NO_USER_DATA, b"\0\0\0\1"), " (cause 9)"),
        ((CauseCode.USER_INITIATED_ABORT, b"\x1b[2J\n\xff" + b"a" * 500), ": ?[2J?\ufffd" + "a" * 122),
    ],
)
def test_one_that_has_failed_is_not_and_its_reason_is_told(chunk, reason):
    ended = end_by(*chunk)
    assert not ended.is_orderly
    assert ended.reason == "the peer aborted the association" + reason


def test_a_failure_of_ours_reaches_the_peer_as_one():
    pair = Pair().connect()
    pair.a.association._lifecycle.fail(CauseCode.USER_INITIATED_ABORT, "the peer does not answer heartbeats")
    pair.flush()
    pair.run_for(1.0)
    assert not pair.b.ended.is_orderly
    assert pair.b.ended.reason == "the peer aborted the association: the peer does not answer heartbeats"


def test_a_close_of_ours_reaches_the_peer_as_one():
    pair = Pair().connect()
    pair.a.association.abort()
    pair.flush()
    pair.run_for(1.0)
    assert pair.b.ended.is_orderly
