import time

import pytest

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
        for one in await examine(setup(signaling_url, turn.port, turn.port, timeout=10))
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
