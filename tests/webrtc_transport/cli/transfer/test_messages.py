import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from webrtc_transport.cli.transfer.messages import (
    MAX_MESSAGE,
    MAX_NAME,
    MAX_SIZE,
    Decoder,
    Digest,
    Done,
    InvalidMessage,
    Offer,
    Refusal,
    Resume,
    Start,
    encode,
)

DIGEST = "0" * 64
SIZES = st.integers(0, MAX_SIZE)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
MESSAGES = st.one_of(
    st.builds(
        Offer, name=TEXTS.filter(lambda text: len(text) <= MAX_NAME), size=SIZES, proof=st.none() | DIGESTS
    ),
    st.builds(Resume, offset=SIZES, sha256=DIGESTS),
    st.builds(Start, offset=SIZES),
    st.builds(Digest, sha256=DIGESTS),
    st.builds(Done),
    st.builds(Refusal, code=st.just("busy"), reason=TEXTS.filter(lambda text: len(text) <= 300)),
)


def framed(body):
    return len(body).to_bytes(2) + body


def decoded(data):
    decoder = Decoder()
    decoder.feed(data)
    return decoder.next_message()


@settings(deadline=None)
@given(st.lists(MESSAGES, max_size=4), st.binary(max_size=50), st.integers(1, 100))
def test_messages_come_out_as_they_went_in_however_they_are_cut(messages, rest, portion):
    data = b"".join(map(encode, messages))
    decoder, found = Decoder(), []
    for start in range(0, len(data), portion):
        decoder.feed(data[start : start + portion])
        while (message := decoder.next_message()) is not None:
            found.append(message)
    assert found == messages
    decoder.feed(rest)
    assert decoder.take(7) + decoder.take(1000) == rest


def test_the_longest_messages_fit():
    offer = Offer(name="\x01" * MAX_NAME, size=MAX_SIZE, proof=DIGEST)
    assert decoded(encode(offer)) == offer
    refusal = Refusal(code="mismatch", reason="\U0010ffff" * 300)
    assert decoded(encode(refusal)) == refusal


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_anything_else_is_an_error_or_waits(data):
    decoder = Decoder()
    decoder.feed(data)
    with contextlib.suppress(InvalidMessage):
        while decoder.next_message() is not None:
            pass


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
FIELDS = st.dictionaries(
    st.sampled_from(["type", "version", "name", "size", "proof", "offset", "sha256", "code", "reason"]),
    JSON | st.sampled_from(["offer", "resume", "start", "digest", "done", "refusal", DIGEST]),
)


@settings(deadline=None)
@given(JSON | FIELDS)
def test_any_json_is_a_message_or_an_error(value):
    body = json.dumps(value).encode()
    try:
        message = decoded(framed(body))
    except InvalidMessage:
        return
    assert message is not None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        b'{"type": "hello"}',
        b'{"type": "start", "offset": -1}',
        b'{"type": "start", "offset": "1"}',
        b'{"type": "start", "offset": 1e300}',
        b'{"type": "start", "offset": 9007199254740992}',
        b'{"type": "digest", "sha256": "00"}',
        b'{"type": "offer", "version": 0, "name": "", "size": 0}',
        json.dumps({"type": "offer", "name": "x" * (MAX_NAME + 1), "size": 0}).encode(),
        b'{"type": "refusal", "code": "because"}',
        b"[" * 4000,
        b"\xff\xfe",
    ],
)
def test_what_is_no_message(body):
    with pytest.raises(InvalidMessage):
        decoded(framed(body))


def test_a_length_is_refused_before_its_bytes_come():
    with pytest.raises(InvalidMessage, match=f"{MAX_MESSAGE}"):
        decoded((MAX_MESSAGE + 1).to_bytes(2))


def test_a_message_that_is_too_long_is_not_made():
    with pytest.raises(ValueError, match="bytes"):
        encode(Offer.model_construct(name="x" * 5000, size=0))
