import pytest

from webrtc_signaling.server.backplane import Backplane


def test_a_backplane_has_all_of_the_contract():
    with pytest.raises(TypeError, match="abstract"):
        Backplane()
