"""The example of a plugin, as a user has it: wheels in a fresh environment, and peers that meet at a real server."""

import contextlib
import os
import site
import socket
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from tests.processes import running
from tests.requirements import require_program

PROJECT = Path(__file__).parents[2]
PLUGIN = PROJECT / "examples" / "plugin-nats"
ECHO = PROJECT / "examples" / "webrtc_echo.py"


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment with our wheel and the plugin's; what these need is taken from this one."""
    wheels = tmp_path_factory.mktemp("wheels")
    for project in (PROJECT, PLUGIN):
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", wheels, project]
        subprocess.run(build, check=True, capture_output=True, timeout=120)
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=120)
    inner = Path(sysconfig.get_path("purelib", vars={"base": str(folder)}))
    outer = [*site.getsitepackages(), sysconfig.get_path("purelib")]
    # Not by addsitedir(): an editable installation of ours isn't to be seen.
    Path(inner, "outer.pth").write_text("\n".join(dict.fromkeys(outer)), encoding="utf-8")
    install = ["install", "--quiet", "--no-deps", "--no-index", *wheels.glob("*.whl")]
    interpreter = folder / "bin" / "python"
    subprocess.run([sys.executable, "-m", "pip", "--python", interpreter, *install], check=True, timeout=120)
    return interpreter


@pytest.fixture(scope="module")
def url():
    """Of a NATS server."""
    program = require_program("nats-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with running([program, "-a", "127.0.0.1", "-p", str(port)]) as process:
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            assert process.is_running, process.errors()
            assert time.monotonic() < deadline, process.errors()
            time.sleep(0.02)
        yield f"nats://127.0.0.1:{port}"


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, **options)


def test_the_packages_are_those_of_the_wheels(python, tmp_path):
    names = ("webrtc_transport", "webrtc_signaling", "webrtc_signaling_nats")
    program = "".join(f"import {name}; print({name}.__file__)\n" for name in names)
    result = run(python, "-c", program, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for path in result.stdout.splitlines():
        assert Path(path).is_relative_to(python.parents[1])


@pytest.mark.parametrize(("listener", "dialer"), [("asyncio", "trio"), ("trio", "asyncio")])
def test_two_peers_meet(python, url, tmp_path, listener, dialer):
    options = ["--signaling", url, "--backend"]
    with running([python, ECHO, "--listen", *options, listener], cwd=tmp_path) as process:
        address = process.wait_for("/webrtc/p2p/")
        result = run(python, ECHO, "--connect", address, *options, dialer, cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    sent, received = (line.split()[-1] for line in result.stdout.splitlines() if "SHA-256" in line)
    assert sent == received


def test_its_own_tests_pass(python, url):
    """Among them is the conformance suite, here on asyncio and trio; run by hand, on uvloop too."""
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    options = ["-q", "-p", "no:cacheprovider", "-k", "not uvloop"]
    result = run(python, "-m", "pytest", *options, cwd=PLUGIN, env=environment)
    assert result.returncode == 0, result.stdout[-5000:]
    assert " skipped" not in result.stdout
