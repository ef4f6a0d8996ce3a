import pytest

from webrtc_transport.protocol.sctp.settings import (
    BASE_PACKET_SIZE,
    CONGESTION_CONTROLS,
    MAX_PACKET_SIZE,
    AssociationSettings,
    packet_size_in,
)


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


@pytest.mark.parametrize("name", CONGESTION_CONTROLS)
def test_congestion_controls_begin_with_ten_packets(name):
    assert CONGESTION_CONTROLS[name](1160).window == 11_600


def test_a_packet_and_dtls_fit_into_a_datagram():
    assert (BASE_PACKET_SIZE, MAX_PACKET_SIZE) == (1160, 1432)
    assert all(size % 4 == 0 and size + 37 <= 1300 for size in [packet_size_in(1300)])
