from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webrtc_transport.protocol.protobuf import (
    ProtobufError,
    TruncatedError,
    decode_message,
    decode_varint,
    encode_message,
    encode_varint,
)

MAX = 2**63 - 1


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (255, "ff01"),
        (300, "ac02"),
        (16384, "808001"),
        (MAX, "ffffffffffffffff7f"),
    ],
)
def test_varints_as_in_the_specification(value: int, encoded: str) -> None:
    assert encode_varint(value) == bytes.fromhex(encoded)
    assert decode_varint(bytes.fromhex(encoded)) == (value, len(encoded) // 2)


@given(st.integers(0, MAX), st.binary(max_size=4), st.binary(max_size=4))
def test_a_varint_is_found_in_the_midst_of_data(value: int, before: bytes, after: bytes) -> None:
    encoded = encode_varint(value)
    data = before + encoded + after
    for kind in (bytes, bytearray, memoryview):
        assert decode_varint(kind(data), len(before)) == (value, len(before) + len(encoded))


@pytest.mark.parametrize("value", [-1, MAX + 1])
def test_what_no_varint_holds_cannot_be_encoded(value: int) -> None:
    with pytest.raises(ValueError, match="a varint holds 0 to"):
        encode_varint(value)


@pytest.mark.parametrize("encoded", ["", "80", "ff" * 8])
def test_the_beginning_of_a_varint_is_truncated(encoded: str) -> None:
    with pytest.raises(TruncatedError):
        decode_varint(bytes.fromhex(encoded))


@pytest.mark.parametrize("encoded", ["8000", "8100", "ff8000"])
def test_a_varint_is_in_its_shortest_form(encoded: str) -> None:
    with pytest.raises(ProtobufError, match="superfluous") as caught:
        decode_varint(bytes.fromhex(encoded))
    assert not isinstance(caught.value, TruncatedError)


@pytest.mark.parametrize("encoded", ["ff" * 9, "80" * 9 + "01", "ff" * 100])
def test_a_varint_has_at_most_nine_bytes(encoded: str) -> None:
    with pytest.raises(ProtobufError, match="more than 9 bytes") as caught:
        decode_varint(bytes.fromhex(encoded))
    assert not isinstance(caught.value, TruncatedError)


@pytest.mark.parametrize(
    ("kind", "data", "encoded"),
    [
        (None, None, ""),
        (0, None, "0800"),
        (3, None, "0803"),
        (None, b"", "1200"),
        (None, b"ab", "12026162"),
        (0, b"a", "0800120161"),
        (300, b"x" * 128, "08ac02128001" + "78" * 128),
    ],
)
def test_messages_as_on_the_wire(kind: int | None, data: bytes | None, encoded: str) -> None:
    assert encode_message(kind, data) == bytes.fromhex(encoded)
    assert decode_message(bytes.fromhex(encoded)) == (kind, data)


@given(st.none() | st.integers(0, MAX), st.none() | st.binary())
def test_messages_survive_the_wire(kind: int | None, data: bytes | None) -> None:
    encoded = encode_message(kind, data)
    for form in (bytes, bytearray, memoryview):
        decoded = decode_message(form(encoded))
        assert decoded == (kind, data)
        assert decoded[1] is None or type(decoded[1]) is bytes
    assert encode_message(kind, None if data is None else memoryview(data)) == encoded


UNKNOWN = [
    "1800",  # field 3, varint
    "18ffffffffffffffffff01",  # field 3, varint, -1
    "188000",  # field 3, varint that is longer than it needs to be
    "190102030405060708",  # field 3, 64 bits
    "1a03616263",  # field 3, bytes
    "1d01020304",  # field 3, 32 bits
    "f80700",  # field 127, varint
]


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_unknown_fields_are_skipped(unknown: str) -> None:
    for encoded in (f"{unknown}0801120161", f"0801{unknown}120161", f"0801120161{unknown}"):
        assert decode_message(bytes.fromhex(encoded)) == (1, b"a")


@pytest.mark.parametrize("unknown", UNKNOWN)
def test_truncated_unknown_fields_are_refused(unknown: str) -> None:
    encoded = bytes.fromhex(unknown)
    for end in range(1, len(encoded)):
        with pytest.raises(TruncatedError):
            decode_message(encoded[:end])


def test_of_a_repeated_field_the_last_one_counts() -> None:
    assert decode_message(bytes.fromhex("08011201610802120162")) == (2, b"b")


@pytest.mark.parametrize(
    "encoded",
    ["08", "0880", "12", "1201", "12026100"[:6], "12ffffffffffffffff7f", "0801120361"],
)
def test_truncated_messages_are_refused(encoded: str) -> None:
    with pytest.raises(TruncatedError):
        decode_message(bytes.fromhex(encoded))


@pytest.mark.parametrize(
    "encoded",
    [
        "0a0161",  # field 1 as bytes
        "0d00000000",  # field 1 as 32 bits
        "1000",  # field 2 as varint
        "110000000000000000",  # field 2 as 64 bits
        "0000",  # field 0
        "0200",
        "1b1c",  # groups
        "1e",
        "1f",
        "888000",  # field 1 with a tag that is too long
        "18ffffffffffffffffffff01",  # a varint of 11 bytes
        "18ffffffffffffffffffff",  # ten bytes, and still no end
        "088000",
    ],
)
def test_malformed_messages_are_refused(encoded: str) -> None:
    with pytest.raises(ProtobufError) as caught:
        decode_message(bytes.fromhex(encoded))
    assert not isinstance(caught.value, TruncatedError)


@given(st.binary(), st.integers(0, 20))
def test_no_bytes_raise_anything_else(data: bytes, offset: int) -> None:
    for decode in (decode_message, lambda data: decode_varint(data, offset)):
        with contextlib.suppress(ProtobufError):
            decode(data)
