import json
import subprocess
import time

import pytest

from tests.namespaces import ADDRESS, network_namespace
from tests.processes import running
from tests.requirements import require_program
from tests.webrtc_signaling.command import environment
from tests.webrtc_transport.cli.program import command
from tests.webrtc_transport.engine.turn_server import PASSWORD, USER, dead_server
from webrtc_transport.cli.doctor.examination import Setup, examine, udp_verdict
from webrtc_transport.cli.doctor.findings import Finding, Outcome
from webrtc_transport.config import IceServer

pytestmark = pytest.mark.anyio


def setup(url, stun, turn, **more):
    server = IceServer(urls=f"turn:127.0.0.1:{turn}", username=USER, credential=PASSWORD)
    return Setup(url, IceServer(urls=f"stun:127.0.0.1:{stun}"), [server], **more)


async def test_everything_works(signaling_url, turn):
    found = {
        one.check: one.outcome
        for one in await examine(setup(signaling_url, turn.port, turn.port, timeout=30))
    }
    assert found.pop("TURN over TLS") is Outcome.WARNING
    assert set(found) == {
        "versions",
        "signaling",
        "clock",
        "STUN",
        "NAT",
        "TURN over UDP",
        "TURN over TCP",
        "UDP",
    }
    assert set(found.values()) == {Outcome.OK}


async def test_nothing_answers_and_all_is_asked_at_once(unused_port):
    with dead_server() as stun, dead_server() as turn:
        started = time.monotonic()
        found = await examine(setup(f"ws://127.0.0.1:{unused_port}", stun, turn, timeout=1.0))
        elapsed = time.monotonic() - started
    failed = {one.check: one for one in found if one.outcome is Outcome.FAILED}
    assert {"signaling", "STUN", "TURN over UDP", "UDP"} <= set(failed)
    assert all(one.cure for one in failed.values())
    # Side by side; the versions are read from the disk, which a busy machine may take its time for.
    assert elapsed < 10


async def test_nothing_is_given():
    found = await examine(Setup(None, None, []))
    assert {one.check: one.outcome for one in found if one.check != "versions"} == dict.fromkeys(
        ("signaling", "STUN", "TURN", "UDP"), Outcome.SKIPPED
    )


def verdict(**outcomes):
    names = {"stun": "STUN", "udp": "TURN over UDP", "tcp": "TURN over TCP", "signaling": "signaling"}
    return udp_verdict([Finding(names[key], outcome, "") for key, outcome in outcomes.items()])


def test_udp():
    assert verdict(stun=Outcome.OK, udp=Outcome.FAILED).outcome is Outcome.OK
    blocked = verdict(stun=Outcome.FAILED, udp=Outcome.FAILED, tcp=Outcome.OK)
    assert blocked.outcome is Outcome.FAILED
    assert "blocked" in blocked.found
    assert "turns:" in blocked.cure
    assert "blocked" in verdict(stun=Outcome.FAILED, signaling=Outcome.OK).found
    assert "blocked" not in verdict(stun=Outcome.FAILED, signaling=Outcome.FAILED).found
    refused = Finding("TURN over UDP", Outcome.FAILED, "", details={"code": 401})
    assert udp_verdict([refused]).outcome is Outcome.OK


def test_blocked_udp_is_told_from_dead_servers(tmp_path):
    turnserver = require_program("turnserver")
    with network_namespace() as namespace:
        server = namespace.command(
            *(turnserver, "-n", "-L", ADDRESS, "--no-cli", "--simple-log", "--no-tls", "--no-dtls"),
            *("-a", "-u", f"{USER}:{PASSWORD}", "-r", "test", "-p", "3478"),
            *("--log-file", "stdout", "--pidfile", tmp_path / "pid", "-b", tmp_path / "database"),
        )
        doctor = namespace.command(
            *(*command("doctor", "--json", "--timeout", "2"), "--stun", f"stun:{ADDRESS}"),
            *("--turn", f"turn:{ADDRESS}", "--turn-user", USER, "--turn-password", PASSWORD),
        )
        with running(server):
            assert outcome_of_udp(doctor, until="ok") == "not blocked"
            with namespace.udp_blocked():
                assert outcome_of_udp(doctor, until="failed").startswith("blocked, it seems")


def outcome_of_udp(doctor, *, until):
    """What is found, once it is as it has to be: the server takes its time to start."""
    for _ in range(10):
        done = subprocess.run(
            doctor, env=environment(), capture_output=True, text=True, timeout=60, check=False
        )
        (found,) = [one for one in json.loads(done.stdout)["findings"] if one["check"] == "UDP"]
        if found["outcome"] == until:
            break
    return found["found"]
