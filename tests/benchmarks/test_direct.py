"""The programs that put webrtc-direct under load do what they say. How fast anything is isn't tested here."""

import json

import pytest

from benchmarks.commanded import running, save
from benchmarks.flood import failures, port_of
from benchmarks.peers.spoofer import make_packet
from webrtc_transport.protocol.demux import Demultiplexer, Newcomer
from webrtc_transport.protocol.ufrag import Flow

IP_AND_UDP = 28


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_peer_carries_out_commands(backend):
    with running("direct", backend) as listener, running("direct", backend) as dialer:
        address = listener.call("listen")["address"]
        assert len(dialer.call("dial", address=address, count=3)["seconds"]) == 3
        before = listener.call("statistics")
        assert before["connections"] == 3
        assert dialer.call("echo", count=12, at_once=3)["p50"] > 0
        assert dialer.call("echo_at", interval=0.1, seconds=0.3)["made"] == 9
        assert sum(dialer.call("echo_for", seconds=1)["counts"]) > 0
        after = listener.call("statistics")
        assert after["packets"] >= before["packets"] + 2 * 21
        assert 0 < listener.call("memory")["resident"] <= listener.call("memory")["peak"]


def test_a_program_that_fails_is_noticed(capsys):
    with pytest.raises(RuntimeError, match="the program ended with 1"), running("direct", "asyncio") as peer:
        peer.call("no such command")
    assert "AttributeError" in capsys.readouterr().err


@pytest.mark.parametrize("flow", Flow)
def test_a_false_check_is_as_good_as_a_true_one(flow):
    packet = make_packet(4001, flow)
    newcomer = Demultiplexer(0.0).route_stun(packet[IP_AND_UDP:], ("192.0.2.1", 7), 0.0)
    assert isinstance(newcomer, Newcomer)
    assert newcomer.credentials.flow is flow


def test_what_was_measured_is_kept_by_name(tmp_path):
    file = tmp_path / "direct.json"
    save(file, "flood asyncio", {"sent": 1.0})
    save(file, "crowd asyncio", {"connections": 2})
    save(file, "flood asyncio", {"sent": 3.0})
    measured = json.loads(file.read_text())
    assert list(measured) == ["flood asyncio", "crowd asyncio"]
    assert measured["flood asyncio"]["sent"] == 3.0
    assert measured["flood asyncio"]["date"]


def test_bounds_of_the_flood():
    good = {"sent": 50_000, "alone": 100, "flooded": 50, "grown": 0, "entered": [0.1, 4.9]}
    assert list(failures(good, 50_000)) == []
    bad = {"sent": 40_000, "alone": 100, "flooded": 49, "grown": 33 * 2**20, "entered": []}
    assert len(list(failures(bad, 50_000))) == 4


def test_the_port_of_an_address():
    assert port_of("/ip4/127.0.0.1/udp/4001/webrtc-direct/certhash/uEi") == 4001
