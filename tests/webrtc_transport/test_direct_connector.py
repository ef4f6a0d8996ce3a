"""The certificate of webrtc-direct: derived, unless one is configured."""

from datetime import UTC, datetime, timedelta

import pytest

from webrtc_transport import Certificate, Identity, TransportConfig
from webrtc_transport.direct_connector import DirectConnector
from webrtc_transport.errors import ConfigurationError
from webrtc_transport.links import Links


def connector(identity, **settings):
    return DirectConnector(identity, None, TransportConfig(**settings), Links())


def test_it_is_derived_from_the_identity():
    identity = Identity.generate()
    first, second = connector(identity), connector(Identity.from_protobuf(identity.to_protobuf()))
    assert first.fingerprint == second.fingerprint
    assert first.fingerprint.digest == identity.derive_certificate().fingerprint()
    assert first.fingerprint != connector(Identity.generate()).fingerprint
    assert first.context is first.context
    first.check_certificate()


def test_a_configured_one_is_used():
    certificate = Certificate.generate(now=datetime.now(UTC))
    assert (
        connector(Identity.generate(), certificate=certificate).fingerprint.digest
        == certificate.fingerprint()
    )


def test_an_expired_one_is_refused():
    old = Certificate.generate(now=datetime.now(UTC) - timedelta(days=60))
    with pytest.raises(ConfigurationError, match="expired on"):
        connector(Identity.generate(), certificate=old).check_certificate()
