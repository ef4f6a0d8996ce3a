"""Whatever arrives is a typed message or an InvalidSignal."""

import json

import msgpack
import pydantic_core
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webrtc_signaling.samples import (
    ALICE_ID,
    ANSWER,
    BYE,
    END_OF_CANDIDATES,
    INSTANCE,
    OFFER,
    PROOF,
    candidate,
    envelope,
    error,
)
from webrtc_signaling.codec import Codec, decode, encode
from webrtc_signaling.limits import MAX_COLLECTION_LENGTH, MAX_MESSAGE_SIZE
from webrtc_signaling.messages import (
    Ack,
    Malformed,
    Numbered,
    Register,
    parse_client_message,
    parse_server_message,
    to_wire,
)
from webrtc_transport.errors import InvalidSignal

PARSERS = [parse_client_message, parse_server_message]


def accepted(parse, *arguments):
    """What ``parse`` makes of its input; nothing, if it says in bounded words what is wrong."""
    try:
        return parse(*arguments)
    except InvalidSignal as exc:
        reason = str(exc)
    assert len(reason) < 1000
    return None


def take(frame, codec):
    """Decode and parse as both ends do, and pass on what was accepted."""
    value = accepted(decode, frame, codec)
    for parse in PARSERS:
        message = accepted(parse, value)
        if isinstance(message, Numbered) and not isinstance(message.message, Malformed):
            encode(message, Codec.MSGPACK)
            text = encode(message, Codec.JSON)
            # Signals are put together in a shorter way; it leads to the same.
            assert text == pydantic_core.to_json(to_wire(message, binary=False)).decode()


@pytest.mark.parametrize("codec", Codec)
def test_round_trip(codec):
    message = Numbered(envelope(OFFER), 1, 0)
    frame = encode(message, codec)
    assert isinstance(frame, str if codec is Codec.JSON else bytes)
    assert parse_client_message(decode(frame, codec)) == message


@pytest.mark.parametrize("signal", [OFFER, ANSWER, candidate(1), END_OF_CANDIDATES, BYE, error("busy")])
@pytest.mark.parametrize("proof", [None, PROOF])
def test_json_of_a_signal_is_that_of_its_map(signal, proof):
    if hasattr(signal, "proof"):
        signal = signal.model_copy(update={"proof": proof})
    message = Numbered(envelope(signal), 3, 7)
    assert encode(message, Codec.JSON) == pydantic_core.to_json(to_wire(message, binary=False)).decode()


def test_msgpack_carries_bytes_as_they_are():
    register = Register(peer=ALICE_ID, public_key=b"\x00\xff", signature=b"\xfe", instance=INSTANCE)
    assert msgpack.unpackb(encode(register, Codec.MSGPACK))["public_key"] == b"\x00\xff"
    assert json.loads(encode(register, Codec.JSON))["public_key"] == "AP8="


@given(st.text())
def test_any_text(text):
    take(text, Codec.JSON)


@given(st.binary())
def test_any_bytes(data):
    take(data, Codec.MSGPACK)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda children: st.lists(children) | st.dictionaries(st.text() | st.binary(), children),
    max_leaves=20,
)
FIELDS = ["version", "type", "from", "to", "session", "index", "seq", "ack", "data", "proof", "peer", "nonce"]
TYPES = ["offer", "answer", "candidate", "bye", "error", "ack", "register", "registered", "challenge"]
maps = st.fixed_dictionaries(
    {"version": st.just(1), "type": st.sampled_from(TYPES) | values},
    optional=dict.fromkeys(FIELDS[2:], values),
)
mutations = st.tuples(
    st.sampled_from([to_wire(Numbered(envelope(s), 1, 0), binary=True) for s in (OFFER, candidate(1))]),
    st.sampled_from(FIELDS),
    values,
).map(lambda drawn: drawn[0] | {drawn[1]: drawn[2]})


@given(maps | mutations | values)
def test_any_structure_in_msgpack(value):
    take(msgpack.packb(value), Codec.MSGPACK)


@given(maps | mutations | values)
def test_any_structure_in_json(value):
    take(json.dumps(value, default=repr, skipkeys=True), Codec.JSON)


@given(maps | mutations | values)
def test_any_structure_that_a_decoder_could_give(value):
    for parse in PARSERS:
        accepted(parse, value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[" * 60_000,
        '{"a":' * 20_000,
        '{"version":1,"type":' + "[" * 190 + "]" * 190 + "}",
        '{"version":' + "[" * 190 + "]" * 190 + "}",
        '{"version":' + "1" * 4000 + "}",
        '{"version":' + "1" * 5000 + "}",
        '{"version":1,"type":"ack","ack":NaN}',
        '{"version":1,"type":"ack","ack":Infinity}',
        '{"version":1,"type":"ack","ack":1e999}',
        '{"version":1,"type":"ack","ack":-1}',
        '{"version":1,"type":"ack","ack":18446744073709551616}',
        '{"version":1,"type":"\\ud800"}',
        '{"version":1,"type":"ack","ack":1}{"version":1}',
        "\ud800",
        "\x00",
        '"' + "x" * MAX_MESSAGE_SIZE + '"',
    ],
)
def test_hostile_json(text):
    with pytest.raises(InvalidSignal):
        parse_client_message(decode(text, Codec.JSON))


def test_of_equal_keys_the_last_counts():
    text = '{"version":1,"type":"register","ack":1,"type":"ack","ack":2}'
    assert parse_client_message(decode(text, Codec.JSON)) == Ack(ack=2)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x81",
        b"\x91" * 100_000,
        b"\x81\xa1a" * 900 + b"\xc0",
        b"\x82\xa7version\x01\xa4type" + b"\x91" * 1000 + b"\xc0",
        b"\x81\xa7version" + b"\x91" * 1000 + b"\xc0",
        b"\xdd\xff\xff\xff\xff",
        b"\xdd\x00\x01\x00\x00" * 1000,
        b"\xdf\x00\x01\x00\x00",
        b"\xdb\xff\xff\xff\xff",
        b"\xa1\xff",
        b"\xd6\xff\x00\x00\x00\x00",
        b"\xd4\x05\x00",
        b"\x81\x01\x01",
        b"\x81\xa1a\x01\x01",
        b"\xc6\x00\x02\x00\x00" + b"x" * 2 * MAX_MESSAGE_SIZE,
    ],
)
def test_hostile_msgpack(data):
    with pytest.raises(InvalidSignal):
        parse_client_message(decode(data, Codec.MSGPACK))


def test_a_collection_can_not_announce_more_than_a_message_has():
    for header in (b"\xdc", b"\xde"):
        with pytest.raises(InvalidSignal, match="exceeds"):
            decode(header + (MAX_COLLECTION_LENGTH + 1).to_bytes(2, "big"), Codec.MSGPACK)


@pytest.mark.parametrize(("frame", "codec"), [(b"{}", Codec.JSON), ("{}", Codec.MSGPACK)])
def test_the_kind_of_frame_is_that_of_the_subprotocol(frame, codec):
    with pytest.raises(InvalidSignal, match="frames"):
        decode(frame, codec)
