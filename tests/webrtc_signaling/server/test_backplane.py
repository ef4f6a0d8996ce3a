import pytest

from webrtc_signaling.server.backplane import Backplane


def test_a_backplane_has_all_of_the_contract():
    with pytest.raises(TypeError, match="abstract"):
        Backplane()


def test_one_that_does_not_work_has_a_fault():
    class Away(Backplane):
        joined = claim = release = locate = send = send_from = None
        ready = False

        def is_ready(self):
            return self.ready

    backplane = Away()
    assert "can't be reached" in backplane.fault()
    backplane.ready = True
    assert backplane.fault() is None
