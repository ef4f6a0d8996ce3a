"""The programs that put a signaling server under load do what they say. How fast anything is isn't tested here."""

import pytest

from benchmarks.commanded import running
from benchmarks.signaling_load import failures_of_idle, failures_of_rate, median_of
from benchmarks.signaling_servers import running_server


@pytest.mark.parametrize("kind", ["ours", "polls"])
def test_clients_are_registered_and_stay(kind):
    with running_server("ours") as server, running("signaling_clients", kind, server.port) as clients:
        assert clients.call("connect", count=3)["connected"] == 3
        assert clients.call("wait", seconds=0.1)["connected"] == 3
        assert server.memory() > 2**20
        assert server.cpu() > 0


def test_signals_are_sent_at_a_rate_and_as_many_as_go():
    with running_server("ours") as server, running("signaling_clients", "ours", server.port) as clients:
        clients.call("connect", count=4)
        paced = clients.call("pace", rate=200, seconds=0.5, clients=4)
        assert paced["sent"] == 100
        assert 0 < paced["p50"] <= paced["p99"]
        found = clients.call("saturate", window=2, seconds=0.3, clients=4)
        assert 8 < found["arrived"] <= found["total"]


def test_a_client_that_is_thrown_out_is_noticed(capsys):
    with running_server("ours") as server:
        with (
            pytest.raises(RuntimeError, match="the program ended with 1"),
            running("signaling_clients", "peerjs", server.port) as clients,
        ):
            clients.call("connect", count=1)
        assert "404" in capsys.readouterr().err


def test_bounds():
    idle = {"ours": {"bytes each": 4000}, "polls": {"bytes each": 15_000}, "peerjs": {"bytes each": 8000}}
    assert not list(failures_of_idle(idle))
    assert len(list(failures_of_idle({kind: {"bytes each": 16_000} for kind in idle}))) == 3
    rate = {"rate": 5, "per cpu second": 5, "paced p99": 50}
    assert not list(failures_of_rate({"ours": rate, "peerjs": rate}))
    slow = {"rate": 4, "per cpu second": 4, "paced p99": 51}
    assert len(list(failures_of_rate({"ours": slow, "peerjs": rate}))) == 3


def test_medians():
    assert median_of([{"rate": 1}, {"rate": 9}, {"rate": 2}]) == {"rate": 2}
