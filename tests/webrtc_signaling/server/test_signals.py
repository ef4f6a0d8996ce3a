"""A signal is the same before and behind the server, whatever its kind, its encoding and the way that it is checked."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.webrtc_signaling.samples import (
    ALICE_ID,
    ANSWER,
    BOB_ID,
    BYE,
    END_OF_CANDIDATES,
    OFFER,
    SESSION,
    candidate,
    envelope,
    error,
    routed_signal,
)
from webrtc_signaling.codec import Codec, decode_bytes, encode_bytes
from webrtc_signaling.limits import MAX_MESSAGE_SIZE
from webrtc_signaling.messages import (
    Ack,
    Malformed,
    Numbered,
    SessionFailure,
    UnsupportedVersion,
    error_data,
    parse_client_message,
    parse_server_message,
)
from webrtc_signaling.server.signals import RoutedSignal, encode, parse, parse_delivery
from webrtc_signaling.testing.samples import PROOF
from webrtc_transport.errors import InvalidSignal

SIGNED = OFFER.model_copy(update={"proof": PROOF})
SIGNALS = [OFFER, SIGNED, ANSWER, candidate(1), END_OF_CANDIDATES, BYE, error("busy")]
CODECS = pytest.mark.parametrize("codec", Codec)


def read(data, codec=Codec.JSON):
    return parse(data, codec, is_text=codec is Codec.JSON)


def message(**changes):
    """A valid candidate as a client sends it, but for the ``changes``."""
    fields = {
        "version": 1,
        "type": "candidate",
        "from": ALICE_ID,
        "to": BOB_ID,
        "session": SESSION,
        "index": 1,
        "seq": 3,
        "ack": 2,
        "data": {"candidate": "c", "sdpMid": "0"},
    }
    return json.dumps(
        {name: value for name, value in (fields | changes).items() if value != "absent"}
    ).encode()


@CODECS
@pytest.mark.parametrize("signal", SIGNALS)
def test_signals_are_passed_on_as_they_came(signal, codec):
    sent = Numbered(envelope(signal, index=7), 3, 2)
    received = read(encode_bytes(sent, codec), codec)
    assert received == Numbered(routed_signal(signal, index=7), 3, 2)
    for other in Codec:
        passed_on = encode(received, other)
        assert parse_server_message(decode_bytes(passed_on, other, is_text=other is Codec.JSON)) == sent


@pytest.mark.parametrize("signal", SIGNALS)
def test_other_servers_get_them_likewise(signal):
    numbered = Numbered(routed_signal(signal), 9, 0)
    assert parse_delivery(encode(numbered, Codec.JSON)) == numbered


@CODECS
def test_errors_about_sessions_reach_clients_and_other_servers(codec):
    failure = SessionFailure(peer=ALICE_ID, session=SESSION, data=error_data("peer-gone", "it left"))
    data = encode(Numbered(failure, 1, 0), codec)
    assert parse_server_message(decode_bytes(data, codec, is_text=codec is Codec.JSON)).message == failure
    if codec is Codec.JSON:
        assert parse_delivery(data).message == failure


@pytest.mark.parametrize("kind", ["bye", "error"])
def test_some_end_their_session(kind):
    assert routed_signal({"bye": BYE, "error": error("busy")}[kind]).ends_session
    assert not routed_signal(OFFER).ends_session


def test_what_nobody_knows_is_not_passed_on():
    data = message(more="x", data={"candidate": "c", "more": {"x": [1]}})
    passed_on = json.loads(encode(read(data), Codec.JSON))
    assert passed_on["data"]["candidate"] == "c"
    assert b"more" not in encode(read(data), Codec.JSON)
    assert "more" not in passed_on


def test_of_equal_keys_the_last_counts():
    data = message().replace(b'{"version": 1', b'{"to": "x", "version": 1')[:-1] + b',"seq":4,"data":null}'
    received = read(data)
    assert (received.seq, received.message.recipient) == (4, BOB_ID)
    assert received.message == routed_signal(END_OF_CANDIDATES, index=1)


def test_acknowledgements():
    assert read(b'{"version":1,"type":"ack","ack":5}').ack == 5
    assert isinstance(read(b'{"version":1,"type":"ack","ack":5}'), Ack)
    with pytest.raises(InvalidSignal, match="nothing to deliver"):
        parse_delivery(b'{"version":1,"type":"ack","ack":5}')


@pytest.mark.parametrize(
    ("changes", "error_"),
    [
        ({"version": 2}, UnsupportedVersion),
        ({"version": 1.0}, UnsupportedVersion),
        ({"version": "absent"}, UnsupportedVersion),
        ({"from": "absent", "sender": ALICE_ID}, InvalidSignal),
        ({"to": "../../etc"}, InvalidSignal),
        ({"to": 7}, InvalidSignal),
        ({"session": "short"}, InvalidSignal),
        ({"session": 'x","seq":1,"y":"zzzzzzzzz'}, InvalidSignal),
        ({"index": 256}, InvalidSignal),
        ({"index": "1"}, InvalidSignal),
        ({"seq": 0}, InvalidSignal),
        ({"seq": True}, InvalidSignal),
        ({"seq": 2**53}, InvalidSignal),
        ({"ack": -1}, InvalidSignal),
        ({"ack": "absent"}, InvalidSignal),
        ({"type": "ice-servers"}, InvalidSignal),
        ({"type": ["offer"]}, InvalidSignal),
    ],
)
def test_what_is_no_message_is_refused(changes, error_):
    with pytest.raises(error_):
        read(message(**changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"data": {"candidate": ["x"]}},
        {"data": {"candidate": "x" * 10_000}},
        {"data": "x"},
        {"type": "offer", "data": {"type": "answer", "sdp": "v=0"}},
        {"type": "offer", "data": {"type": "offer", "sdp": "v=0"}, "proof": {"public_key": "!"}},
        {"type": "error", "data": {"code": "NOT A CODE"}},
    ],
)
def test_signals_that_are_malformed_name_their_session(changes):
    received = read(message(**changes)).message
    assert isinstance(received, Malformed)
    assert (received.recipient, received.session) == (BOB_ID, SESSION)
    assert isinstance(parse_delivery(message(**changes)).message, Malformed)


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"\xff", b'"x"', b"[" * 1000, message()[:-1], bytes(MAX_MESSAGE_SIZE + 1)]
)
def test_what_is_no_json_or_too_long_is_refused(data):
    for check in (read, parse_delivery):
        with pytest.raises(InvalidSignal):
            check(data)


def test_a_message_that_is_too_long_is_refused_before_it_is_read():
    with pytest.raises(InvalidSignal, match=f"{MAX_MESSAGE_SIZE} are allowed"):
        read(message(more="x" * MAX_MESSAGE_SIZE))


FIELDS = st.fixed_dictionaries(
    {},
    optional={
        name: st.one_of(
            st.none(), st.integers(), st.text(max_size=20), st.just({"candidate": "c", "sdpMLineIndex": "0"})
        )
        for name in ("version", "type", "from", "to", "session", "index", "seq", "ack", "data", "proof")
    },
)


def test_numbers_that_json_has_not_are_refused_where_they_count_and_go_no_further():
    """The single pass skips what it doesn't know, whatever that is."""
    assert b"NaN" not in encode(read(message(more=float("nan"))), Codec.JSON)
    for name in ("index", "seq", "ack"):
        with pytest.raises(InvalidSignal):
            read(message(**{name: float("nan")}))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FIELDS)
def test_the_usual_way_and_the_thorough_one_agree(changes):
    """What is checked in a single pass is what the definition of the messages says of it, and so are the errors."""
    data = message(**changes)
    try:
        expected = parse_client_message(decode_bytes(data, Codec.JSON, is_text=True))
    except InvalidSignal:
        with pytest.raises(InvalidSignal):
            read(data)
        return
    received = read(data)
    if isinstance(received, Numbered) and isinstance(received.message, RoutedSignal):
        received = parse_server_message(decode_bytes(encode(received, Codec.JSON), Codec.JSON, is_text=True))
    assert received == expected


@pytest.mark.parametrize(
    "signal", [OFFER, SIGNED, ANSWER, candidate(1), END_OF_CANDIDATES, BYE, error("busy")]
)
def test_the_usual_messages_take_the_usual_way(signal, monkeypatch):
    data = encode_bytes(Numbered(envelope(signal), 3, 2), Codec.JSON)
    monkeypatch.setattr("webrtc_signaling.server.signals.parse_client_message", None)
    assert read(data).message.type == signal.type
    with pytest.raises(TypeError):
        read(message(version=2))


def test_texts_of_clients_are_not_kept():
    one, other = read(message()), read(message())
    assert one.message.session == other.message.session
    assert one.message.session is not other.message.session
