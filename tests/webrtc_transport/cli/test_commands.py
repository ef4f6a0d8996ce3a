import json
from importlib.metadata import version

import pytest

from tests.webrtc_signaling.command import port_of
from tests.webrtc_signaling.command import started as server_started
from tests.webrtc_transport.cli.program import run


def test_without_a_subcommand_there_is_help():
    assert "receive" in run().stdout


@pytest.mark.parametrize("command", ["doctor", "send", "receive"])
def test_each_explains_itself(command):
    done = run(command, "--help")
    assert done.returncode == 0
    assert "WEBRTC_TRANSPORT_SIGNALING" in done.stdout


def test_the_version():
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, f"webrtc-transport {version('webrtc-transport')}\n")


def test_80_columns_are_enough_for_the_names_of_variables():
    shown = run("doctor", "--help", COLUMNS="80", TERMINAL_WIDTH="80").stdout
    assert "WEBRTC_TRANSPORT_TURN_PASSWORD" in shown


def test_flags_are_checked_before_a_key_is_made(tmp_path):
    key = tmp_path / "key"
    done = run("receive", "--signaling", "ws://x", "--identity", key, "--from", "foo")
    assert done.returncode == 2
    assert "--from" in done.stderr
    assert not key.exists()


@pytest.mark.parametrize(("flag", "value"), [("--anyone", ()), ("--from", ("12D3KooWxx",))])
def test_the_flag_that_needs_an_identity_is_named(flag, value):
    assert f"Invalid value for {flag}:" in run("receive", "--signaling", "ws://x", flag, *value).stderr


def test_the_doctor_by_a_table_and_by_json(signaling_url):
    table = run("doctor", "--signaling", signaling_url, "--timeout", "30")
    assert table.returncode == 0, table.stdout
    assert "nothing failed" in table.stdout
    found = json.loads(run("doctor", "--signaling", signaling_url, "--timeout", "30", "--json").stdout)
    assert found["ok"] is True
    assert [one["outcome"] for one in found["findings"] if one["check"] == "signaling"] == ["ok"]


def test_a_token_is_a_flag_or_a_variable(key_file, token):
    with server_started("--port", "0", "--token-key-file", key_file) as server:
        given = ("--signaling", f"ws://127.0.0.1:{port_of(server.stdout.readline().strip())}")
        assert run("doctor", *given, "--token", token()).returncode == 0
        assert run("doctor", *given, WEBRTC_TRANSPORT_TOKEN=token()).returncode == 0
        done = run("receive", *given, "--token", token(-1))
    assert done.returncode == 1
    assert done.stderr.endswith("; give one that is good here by --token\n")
    assert "eyJ" not in done.stderr


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
        ("send", "a", "b", "--signaling", "ws://x", "--bind", "192.0.2.1"),
        ("doctor", "--signaling", "127.0.0.1:8771"),
        ("send", "a", "b", "--signaling", "foo://x"),
        ("receive", "--signaling", "127.0.0.1:8771"),
        ("receive", "--signaling", "ws://x", "--output", "/no/such/dir/x"),
    ],
)
def test_wrong_flags_are_status_2(arguments):
    done = run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
