from datetime import UTC, datetime
from pathlib import Path

import pytest

import webrtc_transport
from webrtc_transport import Certificate, IceServer, TransportConfig
from webrtc_transport.errors import ConfigurationError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dial_time": 3}, "TransportConfig has no setting 'dial_time'; did you mean 'dial_timeout'?"),
        ({"dial_timeout": "soon"}, "TransportConfig: dial_timeout should be a valid number, not 'soon'"),
        ({"dial_timeout": 0}, "TransportConfig: dial_timeout should be greater than 0, not 0"),
        (
            {"congestion_control": "vegas"},
            "TransportConfig: congestion_control should be 'cubic', 'newreno' or 'model', not 'vegas'",
        ),
        (
            {"bind_addresses": "192.0.2.1"},
            "TransportConfig: bind_addresses has to be a list: write ['192.0.2.1']",
        ),
        (
            {"bind_addresses": []},
            "TransportConfig: bind_addresses is empty; name addresses, or leave it out for all of them",
        ),
        (
            {"bind_addresses": ["localhost"]},
            "TransportConfig: bind_addresses has 'localhost', which is no IP address; write one like '192.0.2.1' or "
            "'2001:db8::1', no name",
        ),
        (
            {"bind_addresses": ["192.0.2.1", 3]},
            "TransportConfig: bind_addresses[1] should be a valid string, not 3",
        ),
        (
            {"announce_addresses": "/ip4"},
            "TransportConfig: announce_addresses has to be a list: write ['/ip4']",
        ),
        (
            {"ice_servers": ["stun:stun.example.org"]},
            "TransportConfig: ice_servers has 'stun:stun.example.org' as entry 0, where an IceServer is due: write "
            "IceServer(urls='stun:stun.example.org')",
        ),
        (
            {"ice_servers": "stun:stun.example.org"},
            "TransportConfig: ice_servers has to be a list, such as [IceServer(urls='stun:stun.example.org')]",
        ),
        (
            {"ice_servers": IceServer(urls="stun:stun.example.org")},
            "TransportConfig: ice_servers has to be a list, such as [IceServer(urls='stun:stun.example.org')]",
        ),
        (
            {"ice_servers": [3]},
            "TransportConfig: ice_servers has 3 as entry 0, where an IceServer is due: write IceServer(urls=…)",
        ),
        (
            {"ice_servers": [{"url": "stun:stun.example.org"}]},
            "TransportConfig: ice_servers has a fault in entry 0: IceServer needs urls; IceServer has no setting "
            "'url'; did you mean 'urls'?",
        ),
        (
            {"ice_servers": ["turn:me:secret@192.0.2.1"]},
            "TransportConfig: ice_servers has text with an @ as entry 0: write IceServer(urls=…, username=…, "
            "credential=…)",
        ),
        (
            {"certificate": "dtls.pem"},
            "TransportConfig: certificate has to be a Certificate, not str; "
            "webrtc_transport.certificates.load_certificate(path) reads one",
        ),
    ],
)
def test_what_is_wrong_is_one_line_with_the_cure(settings, message):
    with pytest.raises(ConfigurationError) as caught:
        TransportConfig(**settings)
    assert str(caught.value) == message


@pytest.mark.parametrize("as_bytes", [True, False])
def test_a_private_key_is_not_shown(as_bytes):
    pem = Certificate.generate(now=datetime.now(UTC)).to_pem()
    with pytest.raises(ConfigurationError) as caught:
        TransportConfig(certificate=pem if as_bytes else pem.decode())
    for line in pem.decode().splitlines():
        assert line[:8] not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"urls": b"turn:me:SECRET@192.0.2.1"},
        {"urls": "turn:me:SECRET@192.0.2.1"},
        {"urls": ["turn:me:SECRET@192.0.2.1"]},
        {"urls": "turn:192.0.2.1", "username": b"SECRET", "credential": b"SECRET"},
        {"urls": "turn:192.0.2.1", "username": ("me", "SECRET"), "credential": ["SECRET"]},
        {"urls": "turn:192.0.2.1", "username": "me", "credential": "SECRET", "password": "SECRET"},
    ],
)
def test_secrets_of_a_server_are_not_shown(settings):
    with pytest.raises(ConfigurationError) as caught:
        IceServer(**settings)
    assert "SECRET" not in str(caught.value)
    with pytest.raises(ConfigurationError) as caught:
        TransportConfig(ice_servers=[settings])
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dial_timeout", 0),
        ("inbound_timeout", -1),
        ("close_timeout", 0),
        ("fin_ack_timeout", 0),
        ("liveness_timeout", 0.5),
        ("proof_max_age", 0),
        ("receive_buffer", 1000),
        ("congestion_control", "vegas"),
        ("max_packet_size", 1199),
        ("max_packet_size", 65_508),
        ("send_buffer", 1000),
        ("max_inbound_streams", 0),
        ("max_inbound_streams", 40_000),
        ("max_inbound_handshakes", 0),
        ("accept_backlog", 0),
        ("stalled_stream_timeout", 0),
        ("ice_transport_policy", "some"),
        ("gater", "a function"),
    ],
)
def test_bounds(name, value):
    with pytest.raises(ConfigurationError, match=f"^TransportConfig: {name} .*, not {value!r}$"):
        TransportConfig(**{name: value})


def test_ice_servers_take_one_url_or_several():
    assert IceServer(urls="stun:stun.example.org").urls == ("stun:stun.example.org",)
    server = IceServer(
        urls=["turn:turn.example.org", "turns:turn.example.org"], username="user", credential="secret"
    )
    assert [url.secure for url in server.parsed] == [False, True]
    assert "secret" not in repr(server)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"urls": "turn:turn.example.org"}, "needs username and credential"),
        ({"urls": "http://example.org"}, "stun"),
        ({"urls": []}, r"urls has to be a URL such as .*, not \[\]$"),
        ({"urls": 3}, "urls has to be a URL such as .*, not 3$"),
        ({"urls": "stun:stun.example.org", "credential": 3}, "credential has to be text, not int$"),
    ],
)
def test_malformed_ice_servers(arguments, message):
    with pytest.raises(ConfigurationError, match=message):
        IceServer(**arguments)


def test_ice_servers_may_be_a_function():
    async def servers():
        return []

    assert TransportConfig(ice_servers=servers).ice_servers is servers


def test_a_certificate_is_taken_as_it_is():
    certificate = Certificate.generate(now=datetime.now(UTC))
    assert TransportConfig(certificate=certificate).certificate is certificate


def test_every_setting_is_read_somewhere():
    sources = [
        path.read_text()
        for path in Path(webrtc_transport.__file__).parent.rglob("*.py")
        if path.name != "config.py"
    ]
    for field in TransportConfig.model_fields:
        assert any(f".{field}" in source for source in sources), field


def test_announced_addresses_can_be_dialed():
    announced = ["/dns4/example.org/udp/4001/webrtc-direct"]
    assert TransportConfig(announce_addresses=announced).announce_addresses == tuple(announced)
    for address, message in (
        ("/ip4/0.0.0.0/udp/4001/webrtc-direct", "lacks the port or the host"),
        ("/ip4/192.0.2.1/udp/0/webrtc-direct", "lacks the port or the host"),
        ("/webrtc", "is no webrtc-direct address"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            TransportConfig(announce_addresses=[address])
