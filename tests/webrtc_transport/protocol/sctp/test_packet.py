import google_crc32c
import pytest

from webrtc_transport.protocol.sctp.packet import (
    CauseCode,
    ChunkType,
    Init,
    PacketError,
    PacketReader,
    PacketWriter,
    encode_cause,
    encode_chunk,
    encode_parameter,
    parse_cause,
    split_packet,
    split_parameters,
)


def test_a_packet_of_rfc_9260():
    packet = PacketWriter(5000, 5001, 0x01020304).build([encode_chunk(ChunkType.COOKIE_ACK)])
    ports, tag, view = split_packet(packet)
    assert (ports, tag, bytes(view)) == ((5000, 5001), 0x01020304, b"\x0b\0\0\4")


def test_the_checksum_is_castagnoli_little_endian():
    # The check value of CRC32c over "123456789" is 0xE3069283; here over a packet, computed by another library.
    packet = PacketWriter(1, 2, 3).build([])
    assert packet[8:] == _crc32c(b"\0\1\0\2\0\0\0\3\0\0\0\0").to_bytes(4, "little")


def test_the_checksum_is_computed_by_the_extension_in_c():
    # The package has a fallback in Python, which is a hundred times slower, and warns when it takes it.
    assert google_crc32c.implementation == "c"


def _crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize("length", range(16))
def test_short_packets_are_refused(length):
    with pytest.raises(PacketError):
        split_packet(bytes(length))


def test_every_flipped_bit_is_noticed():
    packet = PacketWriter(5000, 5000, 7).build([encode_chunk(ChunkType.HEARTBEAT, b"abcdefg")])
    for bit in range(8 * len(packet)):
        broken = bytearray(packet)
        broken[bit // 8] ^= 1 << bit % 8
        with pytest.raises(PacketError):
            split_packet(bytes(broken))


@pytest.mark.parametrize("size", range(9))
def test_chunks_and_parameters_are_padded(size):
    chunk = encode_chunk(130, encode_parameter(13, bytes(size)))
    assert len(chunk) % 4 == 0
    assert list(split_parameters(memoryview(chunk)[4:])) == [(13, bytes(size))]


@pytest.mark.parametrize("value", ["000d0003", "000d0000", "000d0009aaaa", "000dffff"])
def test_parameters_that_do_not_fit_are_refused(value):
    with pytest.raises(PacketError):
        list(split_parameters(memoryview(bytes.fromhex(value))))


class TestInit:
    def test_it_survives_the_wire(self):
        init = Init(1, 2, 3, 4, 5, b"cookie", frozenset({130, 192}))
        assert Init.parse(memoryview(init.encode(ChunkType.INIT_ACK))[4:]) == init

    @pytest.mark.parametrize("field", [0, 8, 10])
    def test_no_tag_or_no_streams(self, field):
        value = bytearray(Init(1, 2, 3, 4, 5).encode(ChunkType.INIT)[4:])
        value[field : field + (4 if field == 0 else 2)] = bytes(4 if field == 0 else 2)
        with pytest.raises(PacketError):
            Init.parse(memoryview(bytes(value)))

    def test_too_short(self):
        with pytest.raises(PacketError):
            Init.parse(memoryview(bytes(15)))

    @pytest.mark.parametrize(
        ("kind", "is_reported", "is_last"),
        [(0x3FFF, False, True), (0x7FFF, True, True), (0xBFFF, False, False), (0xFFFF, True, False)],
    )
    def test_unknown_parameters(self, kind, is_reported, is_last):
        value = Init(1, 2, 3, 4, 5).encode(ChunkType.INIT)[4:20]
        value += encode_parameter(kind, b"what") + encode_parameter(7, b"cookie")
        init = Init.parse(memoryview(value))
        assert init.unrecognized == ((encode_parameter(kind, b"what"),) if is_reported else ())
        assert init.cookie == (b"" if is_last else b"cookie")

    def test_reports_are_bounded(self):
        value = Init(1, 2, 3, 4, 5).encode(ChunkType.INIT)[4:20] + encode_parameter(0xFFFF, bytes(500)) * 500
        assert len(b"".join(Init.parse(memoryview(value)).unrecognized)) < 600


def test_causes():
    chunk = encode_cause(ChunkType.ABORT, CauseCode.USER_INITIATED_ABORT, b"why")
    assert parse_cause(memoryview(chunk)[4:]) == (12, b"why")
    assert parse_cause(memoryview(b"")) == (0, b"")
    assert parse_cause(memoryview(b"\0\1\xff\xff")) == (0, b"")


class TestPacketReader:
    PACKET = PacketWriter(7, 9, 0xCAFE).build([encode_chunk(ChunkType.COOKIE_ACK)])

    def test_it_knows_its_packets(self):
        reader = PacketReader(9, 7, 0xCAFE)
        assert self.PACKET.startswith(reader.start)
        assert reader.is_intact(self.PACKET)
        assert not PacketWriter(7, 9, 0xCAFF).build([]).startswith(reader.start)

    @pytest.mark.parametrize(
        "packet", [PACKET[:11], PACKET[:-1], PACKET + bytes(4), PACKET[:8] + bytes(4) + PACKET[12:]]
    )
    def test_what_is_cut_or_changed_is_not_intact(self, packet):
        assert not PacketReader(9, 7, 0xCAFE).is_intact(packet)
