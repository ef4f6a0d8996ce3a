"""libp2p 0.6, the last with ``libp2p.transport.transport_registry``, has no place for a WebRTC transport.

docs/how-to/replace-libp2p-webrtc.md says so. These tests fail when that is no longer true.
"""

import json
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.requirements import missing

pytestmark = pytest.mark.soak

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
OLD = "libp2p==0.6.0"


def run(*command):
    return subprocess.run([*map(str, command)], capture_output=True, text=True, check=False, timeout=600)


@pytest.fixture(scope="module")
def old_python(tmp_path_factory):
    """A Python with that libp2p and nothing of ours."""
    folder = tmp_path_factory.mktemp("libp2p-0.6")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    done = run(python, "-m", "pip", "install", "--quiet", OLD)
    if done.returncode != 0:
        missing(f"libp2p 0.6 could not be installed: {done.stderr[-500:]}")
    return python


def test_pip_finds_no_set_of_packages_with_both():
    done = run(sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", PROJECT, OLD)
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "libp2p 0.6.0 depends on multiaddr==0.0.11" in said
    assert "webrtc-transport 0.1.0 depends on multiaddr>=0.1" in said


def test_it_knows_no_webrtc_address_and_takes_ready_streams_of_quic_only(old_python):
    done = run(old_python, HERE / "old_libp2p_probe.py")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {
        "knows_webrtc": False,
        "knows_webrtc_direct": False,
        "takes_streams_for_bytes": True,
        "error": "SwarmException",
    }
