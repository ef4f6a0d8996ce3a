"""The example of webrtc-direct works as its text says."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import running

EXAMPLE = Path(__file__).parents[2] / "examples" / "direct_echo.py"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_line_comes_back(backend, tmp_path):
    key = tmp_path / "server.pem"
    certhashes = set()
    for _ in range(2):
        with running([sys.executable, str(EXAMPLE), "--identity", str(key), "--backend", backend]) as server:
            addresses = [server.wait_for("/ip4/")]
            while not addresses[-1].startswith("/ip4/127.0.0.1/"):
                addresses.append(server.wait_for("/ip4/"))
            certhashes.add(addresses[-1].partition("/certhash/")[2])
            done = subprocess.run(
                [sys.executable, EXAMPLE, "--dial", addresses[-1], "--backend", backend],
                capture_output=True,
                text=True,
                check=True,
                timeout=30,
            )
        assert done.stdout.splitlines()[-1] == "hello over webrtc-direct"
    assert len(certhashes) == 1
