from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

import webrtc_transport
from webrtc_transport import Certificate, IceServer, TransportConfig


def test_it_is_frozen():
    with pytest.raises(ValidationError):
        TransportConfig().dial_timeout = 3


def test_unknown_settings_are_refused():
    with pytest.raises(ValidationError, match="Extra inputs"):
        TransportConfig(dial_time=3)


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
        ("certificate", "a path"),
        ("bind_addresses", ["localhost"]),
        ("bind_addresses", "127.0.0.1"),
    ],
)
def test_bounds(name, value):
    with pytest.raises(ValidationError):
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
        ({"urls": []}, "at least 1"),
    ],
)
def test_malformed_ice_servers(arguments, message):
    with pytest.raises(ValidationError, match=message):
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
        with pytest.raises(ValidationError, match=message):
            TransportConfig(announce_addresses=[address])
