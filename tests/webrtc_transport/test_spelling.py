import pytest

from webrtc_transport.spelling import did_you_mean


@pytest.mark.parametrize(
    ("name", "known", "text"),
    [
        ("nativ", ["aiortc", "native"], "; did you mean 'native'?"),
        ("NATIVE", ["aiortc", "native"], "; did you mean 'native'?"),
        ("warp", ["aiortc", "native"], ""),
        ("warp", [], ""),
        ("", ["native"], ""),
    ],
)
def test_the_nearest_name(name, known, text):
    assert did_you_mean(name, known) == text
