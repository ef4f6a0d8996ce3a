import pytest

from webrtc_transport.protocol.sctp.settings import AssociationSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"packet_size": 1156},
        {"packet_size": 1162},
        {"packet_size": 1400, "max_packet_size": 1396},
        {"max_packet_size": 1433},
        {"window": 500_000},
        {"streams": 0},
        {"streams": 65536},
    ],
    ids=str,
)
def test_what_can_not_work_is_refused(wrong):
    with pytest.raises(ValueError, match=r"packet|window|streams"):
        AssociationSettings(**wrong)
