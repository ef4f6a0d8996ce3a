"""STUN messages, by the vectors of RFC 5769, beside aioice, and with whatever else may come."""

from __future__ import annotations

import aioice.stun
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webrtc_transport.protocol.limits import MAX_STUN_LENGTH
from webrtc_transport.protocol.stun import HEADER_LENGTH, Attribute
from webrtc_transport.protocol.stun_message import (
    ErrorCode,
    MessageKind,
    StunError,
    StunMessage,
    binding_error,
    binding_request,
    binding_success,
    encode_message,
)

PASSWORD = b"VOkJxbRl1RmTxUk/WvJxBt"
TRANSACTION = bytes.fromhex("b7e7a701bc34d686fa87dfae")
USERNAME = b"server/ufrag:client/ufrag"

# RFC 5769, section 2.1: padded with spaces, in contrast to what RFC 8489 demands of senders.
SAMPLE_REQUEST = bytes.fromhex(
    "000100582112a442b7e7a701bc34d686fa87dfae"
    "802200105354554e207465737420636c69656e74"
    "002400046e0001ff"
    "80290008932ff9b151263b36"
    "00060009" + b"evtj:h6vY".hex() + "202020"
    "000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2"
    "80280004e57a3bcf"
)
# RFC 5769, sections 2.2 and 2.3.
SAMPLE_RESPONSE_IPV4 = bytes.fromhex(
    "0101003c2112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000080001a147e112a643"
    "000800142b91f599fd9e90c38c7489f92af9ba53f06be7d7"
    "80280004c07d4c96"
)
SAMPLE_RESPONSE_IPV6 = bytes.fromhex(
    "010100482112a442b7e7a701bc34d686fa87dfae"
    "8022000b7465737420766563746f7220"
    "002000140002a1470113a9faa5d3f179bc25f4b5bed2b9d9"
    "00080014a382954e4be67bf11784c97c8292c275bfe3ed41"
    "80280004c8fb0b4c"
)


def request(**changes) -> bytes:
    settings = {
        "username": USERNAME,
        "password": PASSWORD,
        "priority": 1853817087,
        "tie_breaker": 7,
        "use_candidate": True,
    }
    return binding_request(TRANSACTION, **(settings | changes))


def attribute(kind: int, value: bytes) -> bytes:
    return kind.to_bytes(2) + len(value).to_bytes(2) + value + bytes(-len(value) % 4)


def raw(*attributes: bytes, kind: int = MessageKind.BINDING_REQUEST) -> bytes:
    body = b"".join(attributes)
    return kind.to_bytes(2) + len(body).to_bytes(2) + bytes.fromhex("2112a442") + TRANSACTION + body


class TestVectors:
    def test_request(self):
        message = StunMessage(SAMPLE_REQUEST)
        assert message.kind == MessageKind.BINDING_REQUEST
        assert message.transaction_id == TRANSACTION
        assert message.username == b"evtj:h6vY"
        assert message.priority == 0x6E0001FF
        assert message.controlled == 0x932FF9B151263B36
        assert message.controlling is None
        assert not message.use_candidate
        assert message.unknown == []
        assert message.is_authentic(PASSWORD)
        assert not message.is_authentic(PASSWORD + b"x")

    @pytest.mark.parametrize(
        ("data", "address"),
        [
            (SAMPLE_RESPONSE_IPV4, ("192.0.2.1", 32853)),
            (SAMPLE_RESPONSE_IPV6, ("2001:db8:1234:5678:11:2233:4455:6677", 32853)),
        ],
    )
    def test_response(self, data, address):
        message = StunMessage(data)
        assert message.kind == MessageKind.BINDING_SUCCESS
        assert message.mapped_address == address
        assert message.is_authentic(PASSWORD)

    @pytest.mark.parametrize("data", [SAMPLE_REQUEST, SAMPLE_RESPONSE_IPV4, SAMPLE_RESPONSE_IPV6])
    def test_no_bit_of_them_can_be_changed(self, data):
        # Save the type of the last attribute: if it isn't FINGERPRINT, there is none.
        for position in {*range(len(data) * 8)} - {*range(len(data) * 8 - 64, len(data) * 8 - 48)}:
            changed = bytearray(data)
            changed[position // 8] ^= 1 << position % 8
            with pytest.raises(StunError):
                StunMessage(bytes(changed))

    @given(st.integers(0, len(SAMPLE_REQUEST) - 33))
    def test_without_a_fingerprint_integrity_finds_it(self, position):
        # All but the last 32 bytes: MESSAGE-INTEGRITY and FINGERPRINT. The length is that of what is left.
        data = bytearray(SAMPLE_REQUEST[:-8])
        data[3] -= 8
        assert StunMessage(bytes(data)).is_authentic(PASSWORD)
        data[position] ^= 0x01
        try:
            message = StunMessage(bytes(data))
        except StunError:
            return
        assert not message.is_authentic(PASSWORD)


class TestMadeAndParsed:
    @given(
        st.fixed_dictionaries(
            {
                "username": st.text(alphabet="abc:/+é", min_size=1, max_size=250).map(str.encode),
                "password": st.binary(max_size=256),
                "priority": st.integers(1, 2**31 - 1),
                "tie_breaker": st.integers(0, 2**64 - 1),
                "controlling": st.booleans(),
                "use_candidate": st.booleans(),
            }
        )
    )
    def test_request(self, check):
        message = StunMessage(binding_request(TRANSACTION, **check))
        roles = (message.controlling, message.controlled)
        assert message.kind == MessageKind.BINDING_REQUEST
        assert message.username == check["username"]
        assert message.priority == check["priority"]
        assert roles == (
            (check["tie_breaker"], None) if check["controlling"] else (None, check["tie_breaker"])
        )
        assert message.use_candidate is check["use_candidate"]
        assert message.is_authentic(check["password"])

    @given(st.ip_addresses(), st.integers(0, 65535), st.binary(min_size=12, max_size=12))
    def test_success(self, address, port, transaction_id):
        message = StunMessage(binding_success(transaction_id, (str(address), port), PASSWORD))
        assert message.mapped_address == (str(address), port)
        assert message.transaction_id == transaction_id
        assert message.is_authentic(PASSWORD)
        assert message.error_code is None

    def test_the_zone_of_an_address_stays_here(self):
        message = StunMessage(binding_success(TRANSACTION, ("fe80::1%eth0", 1), PASSWORD))
        assert message.mapped_address == ("fe80::1", 1)

    @pytest.mark.parametrize("code", ErrorCode)
    def test_error(self, code):
        message = StunMessage(binding_error(TRANSACTION, code))
        assert message.kind == MessageKind.BINDING_ERROR
        assert message.error_code == code
        assert not message.has_integrity
        assert not message.is_authentic(b"")

    def test_unknown_attributes_are_named(self):
        data = binding_error(
            TRANSACTION, ErrorCode.UNKNOWN_ATTRIBUTE, unknown=[0x7FFF, 0x1234], password=PASSWORD
        )
        message = StunMessage(data)
        assert message.attributes[Attribute.UNKNOWN_ATTRIBUTES] == bytes.fromhex("7fff1234")
        assert message.is_authentic(PASSWORD)

    def test_no_answer_is_longer_than_the_shortest_check_from_there(self):
        # USERNAME of webrtc-direct, PRIORITY, the role and MESSAGE-INTEGRITY.
        check = request(username=b"libp2p+webrtc+v1/12345:abcd", use_candidate=False)[:-8]
        assert len(binding_success(TRANSACTION, ("2001:db8::1", 1), PASSWORD)) <= len(check)
        assert len(binding_error(TRANSACTION, ErrorCode.ROLE_CONFLICT, password=PASSWORD)) <= len(check)


class TestBesideAioice:
    def test_it_reads_ours(self):
        message = aioice.stun.parse_message(request())
        assert message.check_message_integrity(PASSWORD)
        assert message.attributes["USERNAME"] == USERNAME.decode()
        assert message.attributes["ICE-CONTROLLING"] == 7
        assert "USE-CANDIDATE" in message.attributes
        message = aioice.stun.parse_message(binding_success(TRANSACTION, ("2001:db8::7", 4001), PASSWORD))
        assert message.check_message_integrity(PASSWORD)
        assert message.attributes["XOR-MAPPED-ADDRESS"] == ("2001:db8::7", 4001)

    def test_we_read_its(self):
        theirs = aioice.stun.Message(
            aioice.stun.Method.BINDING,
            aioice.stun.Class.REQUEST,
            transaction_id=TRANSACTION,
            attributes={"USERNAME": USERNAME.decode(), "PRIORITY": 5, "ICE-CONTROLLED": 9},
        )
        theirs.add_message_integrity(PASSWORD)
        message = StunMessage(bytes(theirs))
        assert (message.username, message.priority, message.controlled) == (USERNAME, 5, 9)
        assert message.is_authentic(PASSWORD)


class TestAttributes:
    def test_what_follows_the_integrity_is_not_there(self):
        head = raw(attribute(Attribute.PRIORITY, bytes(4)))
        data = encode_message(1, TRANSACTION, [(Attribute.PRIORITY, bytes(4))], PASSWORD)[:-8]
        data += attribute(Attribute.USERNAME, b"mallory") + attribute(0x7FFF, b"")
        data = data[:2] + (len(data) - HEADER_LENGTH).to_bytes(2) + data[4:]
        message = StunMessage(data)
        assert message.username is None
        assert message.unknown == []
        assert message.is_authentic(PASSWORD)
        assert len(head) < len(data)

    def test_the_first_of_two_counts(self):
        message = StunMessage(
            raw(attribute(Attribute.USERNAME, b"one"), attribute(Attribute.USERNAME, b"two"))
        )
        assert message.username == b"one"

    def test_unknown_ones_are_reported_if_they_must_be_understood(self):
        message = StunMessage(raw(attribute(0x7FFF, b"x"), attribute(0x8FFF, b"x")))
        assert message.unknown == [0x7FFF]

    @pytest.mark.parametrize(
        "data",
        [
            b"",
            raw()[:-1],
            raw() + b"\0",
            raw() + bytes(4),
            raw()[:4] + bytes(4) + raw()[8:],
            b"\x40" + raw()[1:],
            raw(b"\x00\x06\x00\x05abcd"),
            raw(b"\x00\x06\xff\xffabcd"),
            raw(attribute(Attribute.PRIORITY, bytes(3))),
            raw(attribute(Attribute.PRIORITY, bytes(5))),
            raw(attribute(Attribute.USE_CANDIDATE, b"x")),
            raw(attribute(Attribute.USERNAME, bytes(514))),
            raw(attribute(Attribute.USERNAME, b"\xff")),
            raw(attribute(Attribute.MESSAGE_INTEGRITY, bytes(19))),
            raw(attribute(Attribute.MESSAGE_INTEGRITY, bytes(24))),
            raw(attribute(Attribute.XOR_MAPPED_ADDRESS, b"\0\x01" + bytes(18))),
            raw(attribute(Attribute.FINGERPRINT, bytes(4))),
            request() + b"\0\0\0\0",
            raw(*[attribute(0x8FFF, bytes(400))] * 4),
        ],
        ids=lambda data: data[:30].hex(),
    )
    def test_malformed(self, data):
        with pytest.raises(StunError):
            StunMessage(data)

    def test_too_long(self):
        fits = raw(attribute(0x8FFF, bytes(MAX_STUN_LENGTH - HEADER_LENGTH - 4)))
        assert len(fits) == MAX_STUN_LENGTH
        StunMessage(fits)
        with pytest.raises(StunError):
            StunMessage(raw(attribute(0x8FFF, bytes(MAX_STUN_LENGTH - HEADER_LENGTH))))


def read_all(message: StunMessage) -> None:
    for name in ("username", "priority", "controlling", "controlled", "error_code", "mapped_address"):
        getattr(message, name)
    assert not message.is_authentic(b"another password")


class TestAnything:
    @given(st.binary(max_size=200))
    def test_any_bytes(self, data):
        try:
            message = StunMessage(data)
        except StunError:
            return
        read_all(message)

    @given(
        st.lists(
            st.tuples(st.sampled_from(Attribute) | st.integers(0, 0xFFFF), st.binary(max_size=40)), max_size=6
        )
    )
    def test_any_attributes(self, attributes):
        try:
            message = StunMessage(raw(*(attribute(kind, value) for kind, value in attributes)))
        except StunError:
            return
        read_all(message)

    @given(st.data())
    def test_a_check_with_bytes_changed(self, data):
        changed = bytearray(request())
        for _ in range(data.draw(st.integers(1, 4))):
            changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
        try:
            message = StunMessage(bytes(changed))
        except StunError:
            return
        read_all(message)
