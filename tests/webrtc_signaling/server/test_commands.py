import contextlib
import http.client
import json
import re
import signal
import socket
from importlib.metadata import version

import anyio
import anyio.to_thread
import pytest

from tests.webrtc_signaling.backends import backend, exchanging
from tests.webrtc_signaling.command import TIMEOUT, port_of, run, started
from tests.webrtc_signaling.samples import ALICE, BOB
from webrtc_signaling.server.settings import ServerSettings
from webrtc_signaling.testing.meeting import session_pair


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_says_where_it_listens_and_ends_when_told(signum):
    with started("--port", "0") as process:
        port = port_of(process.stdout.readline())
        assert process.stdout.readline() == f"demo page: http://127.0.0.1:{port}\n"
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT):
            process.send_signal(signum)
            output, errors = process.communicate(timeout=TIMEOUT)
        assert process.returncode == 0
        assert output == ""
        assert "Traceback" not in errors


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", [("asyncio", {"debug": True})])
@pytest.mark.parametrize("overlap", [False, True])
async def test_a_server_that_is_told_to_end_hands_its_clients_over(overlap):
    """To one that starts on its port when it is gone, or before."""
    with anyio.fail_after(2 * TIMEOUT), contextlib.ExitStack() as stack:

        def start(port):
            flags = {"WEBRTC_SIGNALING_REUSE_PORT": str(overlap)}
            process = stack.enter_context(started("--port", str(port), **flags))
            return process, port_of(process.stdout.readline())

        def end(process):
            process.send_signal(signal.SIGTERM)
            return process.communicate(timeout=TIMEOUT)

        old, port = await anyio.to_thread.run_sync(start, 0)
        url = f"ws://127.0.0.1:{port}"
        async with backend(url, ALICE) as alice, backend(url, BOB) as bob:
            async with session_pair(alice, bob, BOB.peer_id) as (ours, theirs):
                async with exchanging(ours, theirs):
                    if overlap:
                        await anyio.to_thread.run_sync(start, port)
                        _, log = await anyio.to_thread.run_sync(end, old)
                    else:
                        _, log = await anyio.to_thread.run_sync(end, old)
                        await anyio.to_thread.run_sync(start, port)
                async with exchanging(ours, theirs, count=20):
                    pass
        assert len(re.findall(r"has to go peer=\w+ address=[\d.]+ code=shutting-down ", log)) == 2
        assert old.returncode == 0


def test_before_it_ends_it_says_that_nobody_else_should_come():
    with started("--port", "0", "--drain", "60") as process:
        port = port_of(process.stdout.readline())

        def status(path):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
            connection.request("GET", path)
            found = connection.getresponse().status
            connection.close()
            return found

        assert status("/readyz") == 200
        process.send_signal(signal.SIGTERM)
        while status("/readyz") == 200:
            pass
        assert (status("/readyz"), status("/healthz")) == (503, 200)
        assert process.poll() is None
        # Who sends a second signal is in a hurry.
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0
    assert "shutting down signal=SIGTERM drain=60.0" in log


def test_an_interrupt_waits_for_nobody():
    with started("--port", "0", "--drain", "3600") as process:
        port_of(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0


def test_the_log_as_json():
    with started("--port", "0", "--log-format", "json", WEBRTC_SIGNALING_HEARTBAET="3") as process:
        port = port_of(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=TIMEOUT)
    early, listening, ending = map(json.loads, log.splitlines())
    assert early["level"] == "warning"
    assert "WEBRTC_SIGNALING_HEARTBEAT" in early["message"]
    assert (listening["message"], listening["url"]) == ("listening", f"ws://127.0.0.1:{port}")
    assert (ending["message"], ending["signal"]) == ("shutting down", "SIGTERM")


def test_what_is_no_http_leaves_no_traceback():
    with started("--port", "0") as process:
        port = port_of(process.stdout.readline())
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: SECRET\0\r\n\r\n")
            assert stranger.recv(100).startswith(b"HTTP/1.0 400")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=TIMEOUT)
    assert "Traceback" not in log
    assert "SECRET" not in log


def test_flags_go_before_the_environment():
    with started("--port", "0", WEBRTC_SIGNALING_PORT="1", WEBRTC_SIGNALING_HOST="127.0.0.1") as process:
        assert port_of(process.stdout.readline()) > 1


def test_insecure_is_loud():
    with started("--port", "0", "--insecure", "--log-level", "warning") as process:
        process.stdout.readline()
        assert "WITHOUT PROOF" in process.stderr.readline()


def test_a_port_in_use_is_one_clear_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--port", str(port))
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert line.startswith(f"can't listen on 127.0.0.1:{port}: address already in use; ")


def test_a_host_that_is_none_is_one_clear_line():
    result = run("serve", "--host", "nosuch.invalid", "--port", "0")
    assert result.returncode == 1
    assert result.stderr == (
        "can't listen on nosuch.invalid:0: no such host; write a name or an address of this machine, such as "
        "127.0.0.1\n"
    )


def test_the_version():
    result = run("--version")
    assert result.returncode == 0
    assert result.stdout == f"webrtc-transport {version('webrtc-transport')}\n"


def test_a_wrong_variable_is_named():
    result = run("serve", WEBRTC_SIGNALING_HEARTBEAT="often")
    assert result.returncode == 2
    assert result.stderr == "error: WEBRTC_SIGNALING_HEARTBEAT should be a valid number, not 'often'\n"


def test_each_fault_of_a_file_is_one_line(tmp_path):
    path = tmp_path / "signaling.toml"
    path.write_text("prot = 1\ngrace = -1\n")
    result = run("serve", "--config", str(path))
    assert result.returncode == 2
    assert result.stderr.splitlines() == [
        f"error: {path}: grace should be greater than or equal to 0, not -1",
        f"error: {path} has no setting 'prot'; did you mean 'port'?",
    ]


def test_a_file_is_found_by_the_environment(tmp_path):
    path = tmp_path / "signaling.toml"
    path.write_text("port = 0\n")
    with started(WEBRTC_SIGNALING_CONFIG=str(path)) as process:
        assert port_of(process.stdout.readline()) > 0


def test_a_misspelled_variable_is_told():
    with started("--port", "0", WEBRTC_SIGNALING_HEARTBAET="3") as process:
        port_of(process.stdout.readline())
        assert "did you mean WEBRTC_SIGNALING_HEARTBEAT?" in process.stderr.readline()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--grace", "-1"], "--grace should be greater than or equal to 0, not '-1'"),
        (["--port", "70000"], "--port should be less than or equal to 65535, not '70000'"),
        (["--port", "http"], "--port should be a valid integer, not 'http'"),
        (["--log-level", "loud"], "--log-level should be 'debug', 'info', 'warning' or 'error', not 'loud'"),
    ],
)
def test_a_wrong_flag_is_explained(arguments, reason):
    result = run("serve", *arguments)
    assert result.returncode == 2
    assert result.stderr == f"error: {reason}\n"


def test_help_lists_the_levels_of_the_log():
    assert "debug|info|warning|error" in run("serve", "--help").stdout


def test_help_explains_every_setting():
    result = run("serve", "--help")
    assert result.returncode == 0
    text = " ".join(result.stdout.replace("│", " ").split())
    for name, field in ServerSettings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in text
        assert " ".join(field.description.replace("``", "").split()) in text
    for rule in ("WEBRTC_SIGNALING_PORT for --port", "port = 8765", "--no-insecure"):
        assert rule in text
