import pytest

from tests.compliance.engine_ends import CERTIFICATES, settings
from webrtc_transport.engine.description import answer, describe, is_dtls_server
from webrtc_transport.protocol.limits import MAX_FRAME_LENGTH
from webrtc_transport.protocol.sdp import DtlsSetup, SessionDescription

ACTPASS, ACTIVE, PASSIVE = DtlsSetup.ACTPASS, DtlsSetup.ACTIVE, DtlsSetup.PASSIVE


def offer(setup, mid="0"):
    return SessionDescription("ufrag", "p" * 22, describe(settings()).fingerprints, setup, mid=mid)


def test_a_description_tells_the_certificate_and_new_credentials():
    first, second = describe(settings()), describe(settings())
    assert [(f.algorithm, f.digest) for f in first.fingerprints] == [
        ("sha-256", CERTIFICATES[0].fingerprint())
    ]
    assert first.max_message_size == MAX_FRAME_LENGTH
    assert first.setup is ACTPASS
    assert not first.candidates
    assert first.ufrag != second.ufrag
    assert first.pwd != second.pwd


def test_credentials_are_as_random_as_they_must_be():
    # RFC 8839, section 5.4: 24 bits and 128 bits; a hexadecimal digit has 4.
    description = describe(settings())
    assert 4 * len(description.ufrag) >= 24
    assert 4 * len(description.pwd) >= 128


@pytest.mark.parametrize(("offered", "answered"), [(ACTPASS, ACTIVE), (PASSIVE, ACTIVE), (ACTIVE, PASSIVE)])
def test_an_answer_takes_the_role_that_is_left(offered, answered):
    local = answer(describe(settings(offerer=False)), offer(offered, mid="data"))
    assert local.setup is answered
    assert local.mid == "data"


@pytest.mark.parametrize(
    ("local", "remote", "is_server"),
    [
        (ACTPASS, ACTIVE, True),
        (ACTPASS, PASSIVE, False),
        (ACTIVE, ACTPASS, False),
        (ACTIVE, PASSIVE, False),
        (PASSIVE, ACTIVE, True),
    ],
)
def test_the_active_end_is_the_client(local, remote, is_server):
    assert is_dtls_server(offer(local), offer(remote)) is is_server
