"""The programs that put a signaling server under load do what they say. How fast anything is isn't tested here."""

import asyncio
import math
import os
import subprocess
import sys

import pytest

from benchmarks.commanded import running
from benchmarks.cpu_share import ROOT, bounded_share
from benchmarks.peers.signaling_protocols import PeerJSClient, Traffic
from benchmarks.signaling_load import failures_of_cluster, failures_of_idle, failures_of_rate, median_of
from benchmarks.signaling_servers import running_redis, running_server
from tests.requirements import require_program, require_root


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
        assert found["arrived"] <= found["total"] >= 8
        # A sleep of uvloop may end a millisecond early: its clock has no finer steps.
        assert found["drained"] >= found["seconds"] > 0.29


def test_whose_signals_arrive_sooner_sends_no_more_than_others():
    senders = []

    class Sender(PeerJSClient):
        def send_to(self, other):
            senders.append(self)

    async def measure():
        clients = [Sender() for _ in range(4)]
        traffic = Traffic(clients)
        traffic.refill_until(math.inf)
        for number in range(4 * 3):
            traffic.send(number, at=0)
        for _ in range(3):
            clients[1].on_message()
        assert senders[12:] == clients[:3]

    asyncio.run(measure())


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


def test_two_servers_have_to_be_more_than_one():
    assert not list(failures_of_cluster({"one": {"rate": 10}, "two": {"rate": 17}}))
    assert len(list(failures_of_cluster({"one": {"rate": 10}, "two": {"rate": 16}}))) == 1


def test_clients_of_two_servers_meet():
    require_program("redis-server")
    with running_redis() as redis, running_server("ours", "--redis", redis) as one:
        with running_server("ours", "--redis", redis) as two:
            with running("signaling_clients", "ours", f"{one.port},{two.port}") as clients:
                clients.call("connect", count=8)
                assert clients.call("saturate", window=2, seconds=0.3, clients=8)["total"] >= 16


def test_a_process_gets_its_share_and_no_more():
    require_root()
    if not os.access(ROOT / "cpu", os.W_OK) and not os.access(ROOT / "cgroup.subtree_control", os.W_OK):
        pytest.skip("control groups can't be written here")
    code = "import time\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass\nprint(time.process_time())"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as popen:
        with bounded_share(popen.pid, 0.25):
            used, _ = popen.communicate(timeout=60)
    assert float(used) < 0.6


def test_a_group_that_can_not_be_removed_hides_no_error(tmp_path, monkeypatch, capsys):
    (tmp_path / "cpu").mkdir()
    monkeypatch.setattr("benchmarks.cpu_share.ROOT", tmp_path)
    with pytest.raises(ZeroDivisionError), bounded_share(os.getpid(), 0.25):
        # The files of this group are real ones, and so it isn't empty.
        (group,) = [path for path in (tmp_path / "cpu").iterdir() if path.is_dir()]
        (group / "cgroup.procs").write_text("")
        raise ZeroDivisionError
    assert "the control group stays" in capsys.readouterr().err


def test_medians():
    assert median_of([{"rate": 1}, {"rate": 9}, {"rate": 2}]) == {"rate": 2}
