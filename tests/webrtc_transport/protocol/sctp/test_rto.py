import pytest

from webrtc_transport.protocol.sctp.rto import RTO_INITIAL, RTO_MAX, RTO_MIN, RtoEstimator


def test_before_the_first_measurement():
    assert RtoEstimator().timeout == RTO_INITIAL


def test_the_formulas_of_rfc_9260():
    rto = RtoEstimator()
    rto.measure(1.0)
    assert (rto.smoothed, rto.variation, rto.timeout) == (1.0, 0.5, 3.0)
    rto.measure(2.0)
    assert rto.smoothed == pytest.approx(1.125)
    assert rto.variation == pytest.approx(0.625)


def test_bounds():
    rto = RtoEstimator()
    rto.measure(0.001)
    assert rto.timeout == RTO_MIN
    for _ in range(100):
        rto.back_off()
    assert rto.timeout == RTO_MAX


@pytest.mark.parametrize("end", [lambda rto: rto.measure(0.1), lambda rto: rto.progress()])
def test_back_off_ends_with_progress(end):
    rto = RtoEstimator()
    rto.back_off()
    rto.back_off()
    assert rto.timeout == 4 * RTO_INITIAL
    end(rto)
    assert rto.timeout <= RTO_INITIAL
