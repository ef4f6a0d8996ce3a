"""The user's example, as its docstring tells to run it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "webrtc_echo.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, EXAMPLE, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


@contextlib.contextmanager
def running(*arguments):
    """A terminal with the example in it; gives the last word of its first line."""
    with subprocess.Popen(
        [sys.executable, EXAMPLE, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process.stdout.readline().split()[-1]
        finally:
            process.terminate()
            _, errors = process.communicate(timeout=10)
            assert "Traceback" not in errors, errors


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_demo(backend):
    result = run("--demo", "--backend", backend)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    for phase in ("signaling", "ICE", "DTLS", "SCTP", "first byte"):
        assert phase in result.stdout
    sent, received = (line.split()[-1] for line in result.stdout.splitlines() if "SHA-256" in line)
    assert sent == received
    assert "16 MiB there and back" in result.stdout
    assert "16.0/16.0 MiB" in result.stdout
    assert not re.search(r"\b[kM]B\b", result.stdout), "units of 1000 among those of 1024"


def test_a_server_that_goes_during_the_transfer_is_said_once(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(100 * 1024 * 1024))
    with running("--signaling-server", "--port", "0") as url:
        # Not by `running`, for it is killed.
        listener = subprocess.Popen(
            [sys.executable, EXAMPLE, "--listen", "--signaling", url], stdout=subprocess.PIPE, text=True
        )
        with listener:
            address = listener.stdout.readline().split()[-1]
            client = subprocess.Popen(
                [sys.executable, EXAMPLE, "--connect", address, "--signaling", url, "--file", str(path)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            with client:
                for line in client.stdout:
                    if "path" in line:
                        break
                listener.terminate()
                output, errors = client.communicate(timeout=60)
    assert client.returncode == 1
    assert "Traceback" not in errors
    said = [line for line in output.splitlines() if re.match(r"\w+: ", line)]
    assert len(said) == 1, output
    assert re.fullmatch(r"Connection\w+: .* \(\d+ times\)", said[0])


def test_three_terminals(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(os.urandom(300_000))
    with (
        running("--signaling-server", "--port", "0") as url,
        running("--listen", "--signaling", url, "--identity", str(tmp_path / "key")) as address,
    ):
        assert url.startswith("ws://")
        assert address.startswith("/webrtc/p2p/")
        result = run("--connect", address, "--signaling", url, "--file", str(path))
        assert result.returncode == 0, result.stdout + result.stderr
        assert "connected to" in result.stdout
        assert "293 KiB there and back" in result.stdout
        for content, words in ((b"", "0 bytes there and back"), (bytes(10_000), "9.766 KiB there and back")):
            path.write_bytes(content)
            result = run("--connect", address, "--signaling", url, "--file", str(path))
            assert result.returncode == 0, result.stdout + result.stderr
            assert words in result.stdout
            assert "0 streams" not in result.stdout


def test_a_server_that_isnt_there_is_said_in_one_line():
    address = "/webrtc/p2p/12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5"
    result = run("--connect", address, "--signaling", "ws://127.0.0.1:9")
    assert result.returncode == 1
    assert result.stdout.startswith("SignalingUnavailable: no connection to ws://127.0.0.1:9")
    assert "Traceback" not in result.stdout + result.stderr


def test_a_malformed_address_is_said_in_one_line():
    result = run("--connect", "/webrtc/p2p/nonsense", "--signaling", "ws://127.0.0.1:9")
    assert result.returncode == 1
    assert result.stdout.startswith("AddressError:")
    assert "Traceback" not in result.stdout + result.stderr


def test_help():
    result = run("--help")
    assert result.returncode == 0
    for flag in ("--signaling-server", "--listen", "--connect", "--signaling", "--demo"):
        assert flag in result.stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["--connect", "/webrtc", "--file", "/nonexistent"], "FileNotFoundError"),
        (["--connect", "/webrtc", "--file", "/"], "IsADirectoryError"),
        (["--listen", "--identity", "/nonexistent/key"], "FileNotFoundError"),
        (["--signaling-server", "--port", "99999"], "ConfigurationError"),
        (["--signaling-server", "--host", "nosuch.invalid"], "OSError"),
    ],
)
def test_ordinary_mistakes_are_said_without_a_traceback(arguments, error):
    result = run(*arguments)
    assert result.returncode == 1
    assert result.stdout.startswith(f"{error}:")
    assert "Traceback" not in result.stdout + result.stderr


def test_an_interrupted_demo_ends_quietly():
    with subprocess.Popen(
        [sys.executable, EXAMPLE, "--demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in errors


@pytest.mark.parametrize("module", ["argparse", "subprocess", "anyio", "webrtc_transport"])
def test_an_interrupt_during_the_imports_is_quiet(tmp_path, module):
    # Found before the real one, and slow enough for somebody to lose patience.
    (tmp_path / f"{module}.py").write_text("raise KeyboardInterrupt")
    program = f"import runpy, sys; sys.path.insert(0, {str(tmp_path)!r}); runpy.run_path({str(EXAMPLE)!r})"
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 130
    assert result.stdout + result.stderr == ""


def test_an_identity_in_a_directory_that_isnt_there_says_what_to_do():
    result = run("--listen", "--identity", "/nonexistent/key")
    assert "the directory /nonexistent has to exist and be writable" in result.stdout
    assert "'/nonexistent/key'" in result.stdout


def test_the_address_of_a_page_is_one_of_a_server():
    result = run("--listen", "--signaling", "http://127.0.0.1:9")
    assert result.returncode == 1
    assert (
        "no connection to http://127.0.0.1:9: connection refused; is the server running there?"
        in result.stdout
    )


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_interrupted_server_ends_quietly(backend):
    with (
        running("--signaling-server", "--port", "0") as url,
        subprocess.Popen(
            [sys.executable, EXAMPLE, "--listen", "--signaling", url, "--backend", backend],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert output + errors == ""
