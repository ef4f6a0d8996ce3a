import pytest

from webrtc_transport.abc import CandidatePair
from webrtc_transport.protocol.sdp import IceCandidate


def candidate(kind):
    return IceCandidate.from_sdp(f"candidate:1 1 udp 1 192.0.2.1 4001 typ {kind}")


@pytest.mark.parametrize(
    ("local", "remote", "kind"),
    [
        ("host", "host", "host"),
        ("host", "prflx", "prflx"),
        ("srflx", "host", "srflx"),
        ("relay", "srflx", "relay"),
        ("host", "relay", "relay"),
    ],
)
def test_the_kind_of_a_pair_is_its_least_direct_end(local, remote, kind):
    assert CandidatePair(candidate(local), candidate(remote)).kind == kind
