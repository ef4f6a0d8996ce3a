from __future__ import annotations

import os

import pytest

from tests.webrtc_transport.protocol.ice_checks import CLIENT, check, unknown_attribute
from webrtc_transport.protocol.ice_answers import CheckAnswers
from webrtc_transport.protocol.stun import Attribute
from webrtc_transport.protocol.stun_message import ErrorCode, MessageKind, StunMessage, encode_message
from webrtc_transport.protocol.ufrag import Flow, new_credentials

CREDENTIALS = new_credentials(Flow.V2)
PASSWORD = CREDENTIALS.server.password.encode()


def judge(data: bytes) -> tuple[bool, list[StunMessage]]:
    answers = CheckAnswers(CREDENTIALS.username, CREDENTIALS.server.password, 0)
    accepted = answers.is_authentic(StunMessage(data), len(data), CLIENT, 0)
    assert all(address == CLIENT and len(answer) <= len(data) for answer, address in answers.outbox)
    return accepted, [StunMessage(answer) for answer, _ in answers.outbox]


def test_ours_is_accepted_and_answered():
    data = check(CREDENTIALS)
    assert judge(data) == (True, [])
    answers = CheckAnswers(CREDENTIALS.username, CREDENTIALS.server.password, 0)
    size = answers.accept(StunMessage(data), CLIENT)
    [(answer, address)] = answers.outbox
    message = StunMessage(answer)
    assert (len(answer), address, message.mapped_address) == (size, CLIENT, CLIENT)
    assert message.kind == MessageKind.BINDING_SUCCESS
    assert message.transaction_id == StunMessage(data).transaction_id
    assert message.is_authentic(PASSWORD)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (encode_message(1, os.urandom(12), [(Attribute.PRIORITY, bytes(4)), (0x8000, bytes(20))]), 400),
        (encode_message(1, os.urandom(12), [(Attribute.USERNAME, CREDENTIALS.username)]), 400),
        (encode_message(1, os.urandom(12), [(Attribute.PRIORITY, bytes(4))], PASSWORD), 400),
        (check(CREDENTIALS, username=CREDENTIALS.answering_username), 401),
        (check(CREDENTIALS, password=b"x" * 22), 401),
    ],
)
def test_others_are_refused(data, code):
    accepted, [answer] = judge(data)
    assert not accepted
    assert answer.error_code == code
    assert not answer.has_integrity


def test_what_is_not_understood_is_named():
    accepted, [answer] = judge(unknown_attribute(CREDENTIALS))
    assert not accepted
    assert answer.error_code == ErrorCode.UNKNOWN_ATTRIBUTE
    assert answer.attributes[Attribute.UNKNOWN_ATTRIBUTES] == bytes.fromhex("7abc")
    assert answer.is_authentic(PASSWORD)


def test_no_refusal_is_longer_than_what_it_refuses():
    assert judge(encode_message(1, os.urandom(12), [])) == (False, [])


def test_refusals_are_few():
    answers = CheckAnswers(CREDENTIALS.username, CREDENTIALS.server.password, 0)
    data = check(CREDENTIALS, password=b"x" * 22)
    for _ in range(100):
        answers.is_authentic(StunMessage(data), len(data), CLIENT, 0)
    assert len(answers.outbox) == 10
    # And they keep nobody out.
    assert answers.is_authentic(StunMessage(check(CREDENTIALS)), 100, CLIENT, 0)
