import json

import pytest

from tests.webrtc_transport.cli.program import run


def test_without_a_subcommand_there_is_help():
    assert "receive" in run().stdout


@pytest.mark.parametrize("command", ["doctor", "send", "receive"])
def test_each_explains_itself(command):
    done = run(command, "--help")
    assert done.returncode == 0
    assert "WEBRTC_TRANSPORT_SIGNALING" in done.stdout


def test_the_doctor_by_a_table_and_by_json(signaling_url):
    table = run("doctor", "--signaling", signaling_url, "--timeout", "30")
    assert table.returncode == 0, table.stdout
    assert "nothing failed" in table.stdout
    found = json.loads(run("doctor", "--signaling", signaling_url, "--timeout", "30", "--json").stdout)
    assert found["ok"] is True
    assert [one["outcome"] for one in found["findings"] if one["check"] == "signaling"] == ["ok"]


def test_a_doctor_that_finds_something_ends_with_status_1():
    done = run("doctor", "--signaling", "ws://127.0.0.1:1", "--timeout", "2")
    assert done.returncode == 1
    assert "→" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("send", "a"),
        ("send", "a", "b"),
        ("receive",),
        ("receive", "--signaling", "ws://x", "--identity", "k"),
        ("receive", "--signaling", "ws://x", "--anyone"),
        ("receive", "--signaling", "ws://x", "--relay"),
        ("doctor", "--stun", "example.org"),
        ("doctor", "--timeout", "0"),
        ("doctor", "--bind", "here"),
    ],
)
def test_wrong_flags_are_status_2(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
