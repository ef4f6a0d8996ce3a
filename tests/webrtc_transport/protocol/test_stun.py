"""What passes the gate in front of a STUN parser, and what does not."""

from __future__ import annotations

from contextlib import suppress

import aioice.stun
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webrtc_transport.protocol.stun import (
    HEADER_LENGTH,
    MAGIC_COOKIE,
    MAX_TEXT_LENGTH,
    MAX_USERNAME_LENGTH,
    Attribute,
    PacketKind,
    classify,
    is_well_formed_stun,
)

REQUEST, INDICATION, RESPONSE, ERROR = 0x0001, 0x0011, 0x0101, 0x0111
CLASSES = (REQUEST, INDICATION, RESPONSE, ERROR)


def attribute(kind: int, value: bytes = b"") -> bytes:
    return kind.to_bytes(2) + len(value).to_bytes(2) + value + bytes(-len(value) % 4)


def message(*attributes: bytes, kind: int = REQUEST) -> bytes:
    body = b"".join(attributes)
    return kind.to_bytes(2) + len(body).to_bytes(2) + MAGIC_COOKIE.to_bytes(4) + bytes(12) + body


def connectivity_check() -> bytes:
    """What aioice sends to a peer."""
    check = aioice.stun.Message(
        aioice.stun.Method.BINDING,
        aioice.stun.Class.REQUEST,
        transaction_id=bytes(12),
        attributes={
            "USERNAME": "abcd:efgh1",
            "PRIORITY": 1853817087,
            "ICE-CONTROLLING": 7,
            "USE-CANDIDATE": None,
        },
    )
    check.add_message_integrity(b"password")
    return bytes(check)


def response() -> bytes:
    """What a STUN server sends to us."""
    answer = aioice.stun.Message(
        aioice.stun.Method.BINDING,
        aioice.stun.Class.RESPONSE,
        transaction_id=bytes(12),
        attributes={"XOR-MAPPED-ADDRESS": ("2001:db8::7", 4001), "SOFTWARE": "test"},
    )
    answer.add_fingerprint()
    return bytes(answer)


def error() -> bytes:
    """What a TURN server sends to who has no credentials."""
    answer = aioice.stun.Message(
        aioice.stun.Method.ALLOCATE,
        aioice.stun.Class.ERROR,
        transaction_id=bytes(12),
        attributes={"ERROR-CODE": (401, "Unauthorized"), "REALM": "example.com", "NONCE": b"0123"},
    )
    return bytes(answer)


class TestClassify:
    @pytest.mark.parametrize("first", range(256))
    def test_by_first_byte(self, first):
        stun, dtls = range(4), range(20, 64)
        expected = (
            PacketKind.STUN if first in stun else PacketKind.DTLS if first in dtls else PacketKind.OTHER
        )
        assert classify(bytes((first,))) is expected
        assert classify(bytes((first,)) + bytes(100)) is expected

    def test_an_empty_datagram(self):
        assert classify(b"") is PacketKind.OTHER


class TestWellFormed:
    @pytest.mark.parametrize("make", [connectivity_check, response, error, message])
    def test_whole_messages(self, make):
        assert is_well_formed_stun(make())

    def test_any_cut_is_noticed(self):
        whole = connectivity_check()
        assert not any(is_well_formed_stun(whole[:size]) for size in range(len(whole)))

    def test_anything_more_is_noticed(self):
        whole = connectivity_check()
        assert not any(is_well_formed_stun(whole + bytes(size)) for size in range(1, 9))

    @pytest.mark.parametrize("first", [0x40, 0x80, 0xC0])
    def test_top_bits(self, first):
        assert not is_well_formed_stun(bytes((first,)) + message()[1:])

    def test_cookie(self):
        whole = message()
        assert not is_well_formed_stun(whole[:4] + bytes(4) + whole[8:])

    def test_a_body_that_is_no_multiple_of_four(self):
        whole = message()
        for size in (1, 2, 3):
            assert not is_well_formed_stun(whole[:2] + size.to_bytes(2) + whole[4:] + bytes(size))

    @pytest.mark.parametrize("size", [5, 8, 0xFFFF])
    def test_an_attribute_that_reaches_out_of_the_message(self, size):
        body = Attribute.DATA.to_bytes(2) + size.to_bytes(2) + bytes(4)
        assert not is_well_formed_stun(message(body))

    def test_an_attribute_after_the_fingerprint(self):
        fingerprint, software = (
            attribute(Attribute.FINGERPRINT, bytes(4)),
            attribute(Attribute.SOFTWARE, b"x"),
        )
        assert is_well_formed_stun(message(software, fingerprint))
        assert not is_well_formed_stun(message(fingerprint, software))


SIZES = {
    Attribute.CHANGE_REQUEST: {4},
    Attribute.MESSAGE_INTEGRITY: {20},
    Attribute.CHANNEL_NUMBER: {4},
    Attribute.LIFETIME: {4},
    Attribute.REQUESTED_ADDRESS_FAMILY: {4},
    Attribute.EVEN_PORT: {1},
    Attribute.REQUESTED_TRANSPORT: {4},
    Attribute.DONT_FRAGMENT: {0},
    Attribute.MESSAGE_INTEGRITY_SHA256: {16, 20, 24, 28, 32},
    Attribute.RESERVATION_TOKEN: {8},
    Attribute.PRIORITY: {4},
    Attribute.USE_CANDIDATE: {0},
    Attribute.FINGERPRINT: {4},
    Attribute.ICE_CONTROLLED: {8},
    Attribute.ICE_CONTROLLING: {8},
    Attribute.UNKNOWN_ATTRIBUTES: {*range(0, 41, 2)},
    Attribute.DATA: {*range(41)},
}
TEXTS = {
    Attribute.USERNAME: MAX_USERNAME_LENGTH,
    Attribute.REALM: MAX_TEXT_LENGTH,
    Attribute.NONCE: MAX_TEXT_LENGTH,
    Attribute.SOFTWARE: MAX_TEXT_LENGTH,
}
ADDRESSES = {
    Attribute.MAPPED_ADDRESS,
    Attribute.SOURCE_ADDRESS,
    Attribute.CHANGED_ADDRESS,
    Attribute.XOR_PEER_ADDRESS,
    Attribute.XOR_RELAYED_ADDRESS,
    Attribute.XOR_MAPPED_ADDRESS,
    Attribute.ALTERNATE_SERVER,
    Attribute.RESPONSE_ORIGIN,
    Attribute.OTHER_ADDRESS,
}


class TestAttributes:
    def test_each_is_tested_here(self):
        assert {*SIZES, *TEXTS, *ADDRESSES, Attribute.ERROR_CODE} == set(Attribute)

    def test_each_that_aioice_reads_is_known(self):
        assert set(aioice.stun.ATTRIBUTES_BY_TYPE) <= set(Attribute)

    @pytest.mark.parametrize(("kind", "sizes"), SIZES.items())
    def test_sizes(self, kind, sizes):
        accepted = {size for size in range(41) if is_well_formed_stun(message(attribute(kind, bytes(size))))}
        assert accepted == sizes

    @pytest.mark.parametrize(("kind", "longest"), TEXTS.items())
    def test_texts(self, kind, longest):
        assert is_well_formed_stun(message(attribute(kind, b"")))
        assert is_well_formed_stun(message(attribute(kind, b"x" * longest)))
        assert not is_well_formed_stun(message(attribute(kind, b"x" * (longest + 1))))
        assert not is_well_formed_stun(message(attribute(kind, b"\xff")))

    def test_the_longest_user_name_of_ice(self):
        assert is_well_formed_stun(message(attribute(Attribute.USERNAME, b"a" * 256 + b":" + b"b" * 256)))

    @pytest.mark.parametrize("kind", sorted(ADDRESSES))
    def test_addresses(self, kind):
        accepted = {
            (family, size)
            for family in range(4)
            for size in range(4, 24)
            if is_well_formed_stun(message(attribute(kind, bytes((0, family)) + bytes(size - 2))))
        }
        assert accepted == {(1, 8), (2, 20)}
        assert not is_well_formed_stun(message(attribute(kind, b"")))

    @pytest.mark.parametrize(
        ("value", "accepted"),
        [
            (b"\0\0\x04\x01Unauthorized", True),
            (b"\0\0\x03\x00", True),
            (b"\0\0\x06\x63", True),
            (b"\0\0\x04" + b"\0" + b"x" * MAX_TEXT_LENGTH, True),
            (b"\0\0\x04" + b"\0" + b"x" * (MAX_TEXT_LENGTH + 1), False),
            (b"\0\0\x04", False),
            (b"\0\0\x02\x00", False),
            (b"\0\0\x07\x00", False),
            (b"\0\0\x04\x64", False),
            (b"\0\0\x04\x00\xff", False),
        ],
    )
    def test_error_codes(self, value, accepted):
        assert is_well_formed_stun(message(attribute(Attribute.ERROR_CODE, value), kind=ERROR)) == accepted


class TestUnknownAttributes:
    @pytest.mark.parametrize("kind", CLASSES)
    def test_that_may_be_ignored(self, kind):
        assert is_well_formed_stun(message(attribute(0xC057, bytes(4)), kind=kind))

    @pytest.mark.parametrize(
        ("kind", "accepted"), [(REQUEST, False), (INDICATION, False), (RESPONSE, True), (ERROR, True)]
    )
    def test_that_must_be_understood(self, kind, accepted):
        assert is_well_formed_stun(message(attribute(0x7FFF, bytes(4)), kind=kind)) == accepted


def parses_or_says_no(data: bytes) -> None:
    """aioice raises struct.error and others on what the gate has to hold back."""
    if is_well_formed_stun(data):
        with suppress(ValueError):
            aioice.stun.parse_message(data)


kinds = st.sampled_from(Attribute) | st.integers(0, 0xFFFF)
values = st.binary(max_size=40) | st.sampled_from([bytes(size) for size in (0, 1, 2, 4, 8, 20)])
class_and_method = st.sampled_from([*CLASSES, 0x0103, 0x0113]) | st.integers(0, 0x3FFF)


class TestInFrontOfAioice:
    @settings(max_examples=500)
    @given(st.binary(max_size=200))
    def test_any_bytes(self, data):
        parses_or_says_no(data)

    @settings(max_examples=2000)
    @given(st.lists(st.builds(attribute, kinds, values), max_size=6), class_and_method)
    def test_any_attributes(self, attributes, kind):
        parses_or_says_no(message(*attributes, kind=kind))

    @settings(max_examples=2000)
    @given(
        st.sampled_from([connectivity_check(), response(), error()]),
        st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
        st.integers(0, 3),
    )
    def test_any_change_of_a_message(self, data, changes, cut):
        changed = bytearray(data)
        for position, byte in changes:
            changed[position % len(changed)] = byte
        del changed[len(changed) - 4 * cut :]
        changed[2:4] = (len(changed) - HEADER_LENGTH).to_bytes(2)
        parses_or_says_no(bytes(changed))
        parses_or_says_no(data[:2] + bytes(changed)[2:])
