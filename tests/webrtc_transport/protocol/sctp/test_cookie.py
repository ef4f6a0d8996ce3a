import pytest

from webrtc_transport.protocol.sctp.cookie import LIFETIME, StaleCookie, make_cookie, open_cookie
from webrtc_transport.protocol.sctp.packet import Init

KEY = bytes(32)
INIT = Init(1, 2, 3, 4, 5, extensions=frozenset({130, 192}))


def test_it_says_what_was_in_the_init():
    assert open_cookie(KEY, make_cookie(KEY, INIT, 10.0), 10.0 + LIFETIME) == INIT


@pytest.mark.parametrize("later", [-0.1, LIFETIME + 0.1])
def test_it_gets_stale(later):
    with pytest.raises(StaleCookie) as caught:
        open_cookie(KEY, make_cookie(KEY, INIT, 10.0), 10.0 + later)
    assert caught.value.tag == 1


def test_each_byte_counts():
    cookie = make_cookie(KEY, INIT, 10.0)
    for at in range(len(cookie)):
        assert open_cookie(KEY, cookie[:at] + bytes([cookie[at] ^ 1]) + cookie[at + 1 :], 10.0) is None
        assert open_cookie(KEY, cookie[:at], 10.0) is None
    assert open_cookie(b"x" * 32, cookie, 10.0) is None


def test_many_extensions():
    init = Init(1, 2, 3, 4, 5, extensions=frozenset(range(256)))
    assert len(open_cookie(KEY, make_cookie(KEY, init, 0.0), 0.0).extensions) == 255
