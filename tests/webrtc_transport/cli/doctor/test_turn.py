import pytest

from tests.webrtc_transport.engine.turn_server import PASSWORD, USER, dead_server
from webrtc_transport.cli.doctor.findings import Outcome
from webrtc_transport.cli.doctor.turn import check_turn, ways_to
from webrtc_transport.config import IceServer

pytestmark = pytest.mark.anyio


def server(url, password=PASSWORD):
    return IceServer(urls=url, username=USER, credential=password)


async def outcomes(*servers, timeout=10.0):
    return {found.check: found for found in await check_turn(servers, timeout)}


def test_a_url_without_a_transport_stands_for_three_ways():
    assert [(str(way.url), way.name, way.is_asked_for) for way in ways_to("turn:[2001:db8::1]:99")] == [
        ("turn:[2001:db8::1]:99?transport=udp", "udp", True),
        ("turn:[2001:db8::1]:99?transport=tcp", "tcp", False),
        ("turns:[2001:db8::1]:5349?transport=tcp", "tls", False),
    ]
    assert len(ways_to("turn:a?transport=udp")) == len(ways_to("turns:a")) == 1


async def test_udp_and_tcp_and_no_tls_at_its_port(turn):
    found = await outcomes(server(f"turn:127.0.0.1:{turn.port}"))
    assert found["TURN over UDP"].outcome is Outcome.OK
    assert found["TURN over TCP"].outcome is Outcome.OK
    assert found["TURN over UDP"].details["relay"].startswith("127.0.0.1 port ")
    assert found["TURN over TLS"].outcome is Outcome.WARNING
    assert found["TURN over TLS"].cure


async def test_tls(turn, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(turn.ca_file))
    found = await outcomes(server(f"turns:localhost:{turn.tls_port}"))
    assert found["TURN over TLS"].outcome is Outcome.OK, found


async def test_a_certificate_that_nobody_vouches_for(turn):
    found = await outcomes(server(f"turns:localhost:{turn.tls_port}"))
    assert found["TURN over TLS"].outcome is Outcome.FAILED
    assert "SSL_CERT_FILE" in found["TURN over TLS"].cure


async def test_a_wrong_password(turn):
    found = await outcomes(server(f"turn:127.0.0.1:{turn.port}", "wrong"))
    for transport in ("UDP", "TCP"):
        line = found[f"TURN over {transport}"]
        assert line.outcome is Outcome.FAILED
        assert "401" in line.found
        assert "--turn-password" in line.cure


async def test_a_dead_server():
    with dead_server() as port:
        found = await outcomes(server(f"turn:127.0.0.1:{port}"), timeout=0.5)
    assert found["TURN over UDP"].outcome is Outcome.FAILED
    assert "no answer within 0.5 s" in found["TURN over UDP"].found
    assert found["TURN over TCP"].outcome is Outcome.WARNING
    assert "connection refused" in found["TURN over TCP"].found
    assert found["TURN over TCP"].cure.startswith("start the server")


async def test_a_name_that_is_none():
    found = await outcomes(server("turn:nowhere.invalid?transport=udp"))
    assert found["TURN over UDP"].cure == "check the name of the server"


async def test_no_server_is_no_failure():
    assert (await outcomes())["TURN"].outcome is Outcome.SKIPPED
