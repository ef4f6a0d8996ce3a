import io
import json

from rich.console import Console

from webrtc_transport.cli.doctor.findings import Finding, Outcome
from webrtc_transport.cli.doctor.report import as_json, is_healthy, show

GOOD = Finding("STUN", Outcome.OK, "fine", details={"trip_ms": 1.5})
BAD = Finding("TURN", Outcome.FAILED, "it says [bold]\x1b[2J", "pay\nmore")


def shown(*findings):
    console = Console(file=io.StringIO(), width=80)
    show(findings, console)
    return console.file.getvalue()


def test_the_table_has_the_cure_and_nothing_of_a_server_does_harm():
    text = shown(GOOD, BAD)
    assert "STUN" in text
    assert "it says [bold]\ufffd[2J" in text
    assert "→ pay\ufffdmore" in text
    assert text.endswith("1 check failed\n")
    assert shown(BAD, BAD).endswith("2 checks failed\n")
    assert shown(GOOD).endswith("nothing failed\n")


def test_json():
    assert json.loads(as_json([GOOD])) == {
        "ok": True,
        "findings": [
            {"check": "STUN", "outcome": "ok", "found": "fine", "cure": "", "details": {"trip_ms": 1.5}}
        ],
    }
    assert json.loads(as_json([GOOD, BAD]))["ok"] is False


def test_a_warning_is_no_failure():
    assert is_healthy([GOOD, Finding("NAT", Outcome.WARNING, "")])
    assert not is_healthy([BAD])
