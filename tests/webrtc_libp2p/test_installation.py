import pytest

from webrtc_libp2p import WebRTCTransport, installation
from webrtc_libp2p.installation import check_installation
from webrtc_transport.errors import ConfigurationError


def test_what_is_installed_here_works():
    check_installation()


def test_libp2p_s_extra_webrtc_is_diagnosed(monkeypatch):
    """It asks for aioice<0.11, which pip installs beside us without an error of its own."""
    monkeypatch.setattr(installation, "version", {"aioice": "0.10.1"}.get)
    with pytest.raises(ConfigurationError, match=r"aioice 0\.10\.1 is installed") as caught:
        WebRTCTransport()
    assert "libp2p's extra `webrtc`" in str(caught.value)
    assert "pip install --upgrade libp2p 'aioice>=0.13'" in str(caught.value)


@pytest.mark.parametrize("found", ["0.13.0", "0.13.0rc1", "0.14", "1.0.0", "0.13.dev1"])
def test_newer_ones_pass(found, monkeypatch):
    monkeypatch.setattr(installation, "version", lambda _: found)
    check_installation()
