import pytest

from tests.webrtc_signaling.samples import (
    ALICE_ID,
    ANSWER,
    BOB_ID,
    BYE,
    END_OF_CANDIDATES,
    INSTANCE,
    OFFER,
    PROOF,
    SESSION,
    candidate,
    envelope,
    error,
)
from webrtc_signaling.limits import MAX_SESSION_SIGNALS
from webrtc_signaling.messages import (
    Ack,
    Challenge,
    Failure,
    Malformed,
    Numbered,
    Register,
    Registered,
    SessionFailure,
    UnsupportedVersion,
    error_data,
    parse_client_message,
    parse_server_message,
    register_payload,
    to_wire,
)
from webrtc_transport.errors import InvalidSignal
from webrtc_transport.protocol.limits import MAX_REASON_LENGTH

FROM_CLIENT = [
    Register(peer=ALICE_ID, public_key=b"\x00\xff", signature=b"\xfe", instance=INSTANCE, received=3),
    Register(peer=ALICE_ID, instance=INSTANCE),
    Ack(ack=7),
]
FROM_SERVER = [
    Challenge(nonce="nonce-0123456789"),
    Registered(peer=ALICE_ID, proven=True, resumed=False, received=0, grace=30.0, notice="careful"),
    Ack(ack=0),
    Failure(data=error_data("replaced", "by another")),
    Numbered(SessionFailure(peer=BOB_ID, session=SESSION, data=error_data("peer-gone", "it left")), 1, 0),
]
FROM_BOTH = [
    Numbered(envelope(signal, index=index), seq=4, ack=2)
    for index, signal in enumerate([OFFER, ANSWER, candidate(1), END_OF_CANDIDATES, BYE, error("busy", "no")])
]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("message", FROM_CLIENT + FROM_BOTH)
def test_what_a_client_sends_arrives_unchanged(message, binary):
    assert parse_client_message(to_wire(message, binary=binary)) == message


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("message", FROM_SERVER + FROM_BOTH)
def test_what_a_server_sends_arrives_unchanged(message, binary):
    assert parse_server_message(to_wire(message, binary=binary)) == message


def test_an_offer_has_the_documented_shape():
    assert to_wire(Numbered(envelope(OFFER), seq=3, ack=7), binary=False) == {
        "version": 1,
        "type": "offer",
        "from": ALICE_ID,
        "to": BOB_ID,
        "session": SESSION,
        "index": 0,
        "seq": 3,
        "ack": 7,
        "data": {"type": "offer", "sdp": "v=0\r\n"},
        "proof": {"public_key": "CAE=", "signature": "/wA=", "issued_at": PROOF.issued_at},
    }


def test_the_end_of_candidates_is_null_and_a_missing_proof_is_absent():
    assert to_wire(Numbered(envelope(END_OF_CANDIDATES), 1, 0), binary=False)["data"] is None
    assert "proof" not in to_wire(Numbered(envelope(ANSWER), 1, 0), binary=False)


def test_what_is_signed_to_register():
    assert register_payload(nonce="abc", peer="12D3") == b"webrtc-signaling-register/1\nabc\n12D3"


def valid(**changes):
    fields = to_wire(Numbered(envelope(OFFER), seq=1, ack=0), binary=False)
    return {name: value for name, value in (fields | changes).items() if value is not ...}


def test_unknown_fields_are_dropped():
    message = parse_client_message(valid(extra=[1], data={"type": "offer", "sdp": "v=0\r\n", "more": 1}))
    assert message == Numbered(envelope(OFFER), 1, 0)


@pytest.mark.parametrize("version", [0, 2, "1", None, ..., 1.5, [1], {}])
def test_another_version_is_refused_by_name(version):
    with pytest.raises(UnsupportedVersion, match="version"):
        parse_client_message(valid(version=version))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("type", "hello"),
        ("type", None),
        ("type", ["offer"]),
        ("from", ...),
        ("from", ""),
        ("from", "12D3KooW0OIl"),
        ("from", "1" * 129),
        ("from", b"12D3"),
        ("to", ...),
        ("to", 5),
        ("session", "short"),
        ("session", "x" * 65),
        ("session", "new\nline-0123456789"),
        ("session", "0123456789abcdef\n"),
        ("index", -1),
        ("index", MAX_SESSION_SIGNALS),
        ("index", True),
        ("index", "0"),
        ("seq", 0),
        ("seq", 2**53),
        ("seq", float("nan")),
        ("seq", ...),
        ("ack", -1),
        ("ack", ...),
    ],
)
def test_a_message_without_a_valid_route_is_refused_naming_the_field(field, value):
    with pytest.raises(InvalidSignal, match=field):
        parse_client_message(valid(**{field: value}))


@pytest.mark.parametrize(
    "changes",
    [
        {"data": ...},
        {"data": "v=0"},
        {"data": {"type": "offer", "sdp": "x" * 16385}},
        {"data": {"type": "rollback", "sdp": ""}},
        {"proof": {"public_key": "%%%", "signature": "", "issued_at": 0}},
        {"proof": {"public_key": "", "signature": "", "issued_at": -1}},
        {"type": "error", "data": {"code": "Not A Code"}},
        {"type": "candidate", "data": {"candidate": "x" * 513}},
    ],
)
def test_malformed_content_concerns_its_session_alone(changes):
    message = parse_client_message(valid(**changes)).message
    assert isinstance(message, Malformed)
    assert (message.sender, message.recipient, message.session) == (ALICE_ID, BOB_ID, SESSION)
    assert "data" in message.reason or "proof" in message.reason


def test_the_reason_of_a_malformed_signal_does_not_repeat_its_content():
    message = parse_client_message(valid(data={"type": "offer", "sdp": ["secret"]})).message
    assert "secret" not in message.reason


@pytest.mark.parametrize("value", [None, [], "register", 5, True])
def test_a_message_is_a_map(value):
    for parse in (parse_client_message, parse_server_message):
        with pytest.raises(InvalidSignal, match="map"):
            parse(value)


def test_neither_side_takes_the_messages_of_its_own_kind():
    with pytest.raises(InvalidSignal, match="no message of a client"):
        parse_client_message(to_wire(FROM_SERVER[0], binary=False))
    with pytest.raises(InvalidSignal, match="no message of a server"):
        parse_server_message(to_wire(FROM_CLIENT[0], binary=False))


def test_a_client_can_not_send_errors_of_the_service():
    with pytest.raises(InvalidSignal, match="from"):
        parse_client_message(to_wire(FROM_SERVER[-1], binary=False))


def test_the_text_of_an_error_is_cut_to_what_may_be_sent():
    assert len(error_data("busy", "x" * 10_000).message) == MAX_REASON_LENGTH
