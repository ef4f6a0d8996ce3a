import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webrtc_transport.protocol.sctp.data_channel import (
    MAX_OPEN_LENGTH,
    DcepError,
    Open,
    PayloadProtocol,
    decode_message,
    encode_message,
)


def test_the_wire_form_of_rfc_8832():
    encoded = Open("ab", "c").encode()
    assert encoded == bytes.fromhex("03 00 0000 00000000 0002 0001 6162 63")
    assert Open.parse(encoded) == Open("ab", "c")


def test_channel_types():
    assert Open.parse(Open(is_ordered=False, reliability=2).encode()) == Open(is_ordered=False, reliability=2)
    assert Open(is_ordered=False).encode()[1] == 0x80


@given(st.binary(max_size=2 * MAX_OPEN_LENGTH))
def test_any_bytes(data):
    for message in (data, b"\3" + data):
        with contextlib.suppress(DcepError):
            Open.parse(message)


@pytest.mark.parametrize(
    "data",
    [
        "",
        "03",
        "030000000000000000010000",
        "03000000000000000000000061",
        "0300000000000000000100 00ff".replace(" ", ""),
    ],
)
def test_malformed(data):
    with pytest.raises(DcepError):
        Open.parse(bytes.fromhex(data))


def test_too_long():
    with pytest.raises(DcepError):
        Open.parse(Open("x" * MAX_OPEN_LENGTH).encode())


@pytest.mark.parametrize("data", [b"", b"x"])
def test_messages(data):
    ppid, wire = encode_message(data)
    assert wire
    assert decode_message(ppid, wire) == data


def test_kinds():
    assert decode_message(PayloadProtocol.STRING, b"x") == b"x"
    assert decode_message(PayloadProtocol.STRING_EMPTY, b"\0") == b""
    assert decode_message(0, b"x") is None
