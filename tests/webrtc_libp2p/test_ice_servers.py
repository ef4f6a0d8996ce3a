import pytest
from aiortc import RTCIceServer

from webrtc_libp2p.ice_servers import ice_servers_of
from webrtc_transport import IceServer
from webrtc_transport.errors import ConfigurationError


def test_ours_stay_as_they_are():
    server = IceServer(urls="stun:192.0.2.1")
    assert ice_servers_of([server]) == (server,)


def test_aiortc_s_become_ours():
    (server,) = ice_servers_of([RTCIceServer(urls=["turn:192.0.2.1"], username="user", credential="secret")])
    assert server == IceServer(urls=["turn:192.0.2.1"], username="user", credential="secret")


def test_a_malformed_one_is_named_without_its_password():
    with pytest.raises(ConfigurationError, match=r"http://192\.0\.2\.1") as caught:
        ice_servers_of([RTCIceServer(urls="http://192.0.2.1", username="user", credential="secret")])
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "urls", ["turn:user:secret@192.0.2.1", ["stun:192.0.2.1", "turn:user:secret@192.0.2.1"]]
)
def test_nor_with_one_in_its_url(urls):
    with pytest.raises(ConfigurationError, match="set username and credential beside it") as caught:
        ice_servers_of([RTCIceServer(urls=urls, username="user", credential="secret")])
    assert "secret" not in str(caught.value)
