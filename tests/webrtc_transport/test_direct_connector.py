"""The certificate of webrtc-direct: derived, unless one is configured."""

from datetime import UTC, datetime, timedelta

import pytest

from webrtc_transport import Certificate, Identity, TransportConfig
from webrtc_transport.direct_connector import DirectConnector
from webrtc_transport.errors import ConfigurationError
from webrtc_transport.links import Links
from webrtc_transport.protocol.ufrag import Flow


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


def test_the_setting_picks_the_version():
    peer = Identity.generate().peer_id
    assert connector(Identity.generate(), direct_version="v1").flows_to(peer) == (Flow.V1,)
    assert connector(Identity.generate(), direct_version="v2").flows_to(peer) == (Flow.V2,)


def test_what_is_known_of_peers_is_bounded(monkeypatch):
    monkeypatch.setattr("webrtc_transport.direct_connector.MAX_REMEMBERED_V2_PEERS", 2)
    ours = connector(Identity.generate())
    peers = [Identity.generate().peer_id for _ in range(4)]
    ours.connected(peers[0], Flow.V1)
    for peer in peers[1:]:
        ours.connected(peer, Flow.V2)
    assert [len(ours.flows_to(peer)) for peer in peers] == [1, 1, 2, 2]
    ours.refused(peers[3], Flow.V2)
    ours.refused(peers[3], Flow.V2)
    ours.refused(None, Flow.V2)
    assert ours.flows_to(peers[3]) == (Flow.V1,)


def test_an_expired_one_is_refused():
    old = Certificate.generate(now=datetime.now(UTC) - timedelta(days=60))
    with pytest.raises(ConfigurationError, match="expired on"):
        connector(Identity.generate(), certificate=old).check_certificate()
