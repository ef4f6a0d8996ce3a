import struct

import pytest
from aiortc.rtcsctptransport import (
    AbortChunk,
    DataChunk,
    HeartbeatChunk,
    InitChunk,
    ReconfigChunk,
    SackChunk,
    parse_packet,
    serialize_packet,
)
from google_crc32c import value as crc32c
from hypothesis import given
from hypothesis import strategies as st

from webrtc_transport.engine.sctp_packet import Chunk, chunk_types, split, without_tag


def packet(*chunks, tag=7):
    header = struct.pack("!HHL", 5000, 5000, tag)
    body = b"".join(map(bytes, chunks))
    return header + struct.pack("<L", crc32c(header + bytes(4) + body)) + body


def chunk(kind, value=b"", length=None):
    packed = struct.pack("!BBH", kind, 0, 4 + len(value) if length is None else length) + value
    return packed + bytes(-len(packed) % 4)


def data(tsn=1, user_data=b"hello"):
    result = DataChunk(3)
    result.tsn, result.stream_id, result.user_data = tsn, 1, user_data
    return result


def sack(*gaps):
    result = SackChunk()
    result.gaps = list(gaps)
    return result


def with_parameters(chunk_class, *parameters):
    result = chunk_class()
    result.params = list(parameters)
    return result


def test_the_types_of_the_chunks():
    assert chunk_types(packet(data())) == {Chunk.DATA}
    assert chunk_types(packet(sack((2, 3)), data(), data(2))) == {Chunk.SACK, Chunk.DATA}
    assert chunk_types(packet(chunk(200, b"unknown"))) == {200}
    assert chunk_types(packet()) == set()
    assert chunk_types(b"") == set()


@pytest.mark.parametrize("chunk_class", [InitChunk, HeartbeatChunk, AbortChunk, ReconfigChunk])
@pytest.mark.parametrize("value", [b"", b"a", b"abcd", b"abcde"])
def test_parameters_as_aiortc_writes_them(chunk_class, value):
    chunk_types(packet(with_parameters(chunk_class, (0x8008, value), (13, value))))


@pytest.mark.parametrize(
    "kind", [Chunk.HEARTBEAT, Chunk.HEARTBEAT_ACK, Chunk.ABORT, Chunk.ERROR, Chunk.RECONFIG]
)
@pytest.mark.parametrize("length", [0, 1, 3])
def test_a_parameter_shorter_than_its_header(kind, length):
    # At 0, aiortc's parser would not come to an end.
    with pytest.raises(ValueError, match="parameter"):
        chunk_types(packet(chunk(kind, struct.pack("!HH", 1, length))))
    with pytest.raises(ValueError, match="parameter"):
        chunk_types(packet(chunk(kind, struct.pack("!HHLHH", 1, 8, 0, 1, length))))


@pytest.mark.parametrize("kind", [Chunk.INIT, Chunk.INIT_ACK])
def test_a_parameter_of_an_init(kind):
    assert chunk_types(packet(chunk(kind, bytes(16)))) == {kind}
    with pytest.raises(ValueError, match="parameter"):
        chunk_types(packet(chunk(kind, bytes(16) + bytes(4))))


@pytest.mark.parametrize("length", [0, 3, 9, 65535])
def test_a_chunk_of_a_wrong_length(length):
    with pytest.raises(ValueError, match="length"):
        chunk_types(packet(chunk(Chunk.HEARTBEAT, bytes(4), length)))


@pytest.mark.parametrize("gaps", [[], [(1, 1)], [(2, 5), (6, 6)], [(2, 2), (4, 65535)]])
def test_gap_blocks(gaps):
    assert chunk_types(packet(sack(*gaps))) == {Chunk.SACK}


@pytest.mark.parametrize("gaps", [[(0, 1)], [(3, 2)], [(1, 5), (5, 6)], [(1, 65535)] * 2, [(4, 5), (1, 2)]])
def test_gap_blocks_that_overlap_or_run_backwards(gaps):
    with pytest.raises(ValueError, match="gap block"):
        chunk_types(packet(sack(*gaps)))


def test_gap_blocks_that_are_not_there():
    with pytest.raises(ValueError, match="shorter than its gap blocks"):
        chunk_types(packet(chunk(Chunk.SACK, struct.pack("!LLHH", 1, 1, 2, 0) + bytes(4))))


def test_a_packet_is_split_into_what_carries_data_and_what_does_not():
    whole = packet(sack((2, 3)), data(1), data(2, b"world"))
    control, carriers = split(whole)
    assert control == [packet(sack((2, 3)))]
    assert carriers == [packet(data(1)), packet(data(2, b"world"))]


def test_a_packet_of_a_wrong_checksum_is_not_split():
    with pytest.raises(ValueError, match="checksum"):
        split(packet(data(), sack())[:-1] + b"x")


def test_a_packet_loses_its_tag():
    init = with_parameters(InitChunk, (0x8008, b"\x82"))
    assert without_tag(serialize_packet(5000, 5000, 99, init)) == serialize_packet(5000, 5000, 0, init)


@given(st.binary(max_size=60))
def test_what_passes_comes_to_an_end_in_aiortc(body):
    # A regression would hang: pytest's run would, and hypothesis' deadline would fail it if it is only slow.
    candidate = packet(body)
    try:
        chunk_types(candidate)
    except ValueError:
        return
    try:
        parse_packet(candidate)
    except (ValueError, struct.error):
        return


@given(
    st.lists(
        st.tuples(
            st.sampled_from([1, 2, 3, 4, 5, 6, 9, 130, 0, 192]),
            st.binary(max_size=24),
            st.none() | st.integers(0, 40),
        ),
        max_size=4,
    )
)
def test_chunks_that_pass_come_to_an_end_in_aiortc(chunks):
    candidate = packet(*(chunk(*parts) for parts in chunks))
    try:
        chunk_types(candidate)
    except ValueError:
        return
    try:
        parse_packet(candidate)
    except (ValueError, struct.error):
        return
