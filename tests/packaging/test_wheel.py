"""What is in the wheel, and what an installation of it needs."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PACKAGES = {"webrtc_transport", "webrtc_signaling", "webrtc_libp2p"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    directory = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--outdir", directory, PROJECT],
        check=True,
        capture_output=True,
        timeout=300,
    )
    (path,) = directory.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def bare(wheel, tmp_path_factory):
    """A virtual environment with the wheel and none of its extras; its python."""
    directory = tmp_path_factory.mktemp("bare")
    venv.create(directory, with_pip=True)
    python = directory / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", wheel], check=True, timeout=300)
    return python


def run(python, program):
    return subprocess.run([python, "-c", program], capture_output=True, text=True, timeout=60, check=False)


def test_the_top_level_is_the_three_packages(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    top = {name.partition("/")[0] for name in names}
    assert {name for name in top if not name.endswith(".dist-info")} == PACKAGES
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
    assert any(
        name.startswith("webrtc_signaling/server/static/") and name.endswith(".html") for name in names
    )


def test_both_licences_are_in_the_wheel(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {Path(name).name for name in names if "/licenses/" in name} == {"LICENSE-MIT", "LICENSE-APACHE"}


def test_the_core_needs_no_extra(bare):
    program = """
import importlib.util
import webrtc_transport, webrtc_signaling
for extra in ("aiohttp", "libp2p", "prometheus_client", "rich", "typer"):
    assert importlib.util.find_spec(extra) is None, extra
print(webrtc_transport.Identity.generate().peer_id)
"""
    result = run(bare, program)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("12D3KooW")


def test_a_missing_extra_tells_what_to_install(bare):
    program = """
import anyio
from webrtc_transport import Identity, WebRTCTransport

async def main():
    async with WebRTCTransport(Identity.generate(), signaling=["ws://127.0.0.1:8765"]):
        pass

anyio.run(main)
"""
    result = run(bare, program)
    assert result.returncode == 1
    assert "pip install 'webrtc-transport[websocket]'" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("command", "extra"), [(("webrtc-signaling", "serve"), "server"), (("webrtc-transport", "doctor"), "cli")]
)
def test_a_command_without_its_extra_tells_what_to_install(bare, command, extra):
    name, *arguments = command
    result = subprocess.run(
        [bare.parent / name, *arguments], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 1
    assert result.stderr.strip().endswith(f"or in a checkout of it: pip install '.[{extra}]'")
    assert "Traceback" not in result.stderr


def test_everything_installs_into_an_empty_environment(wheel, tmp_path):
    venv.create(tmp_path, with_pip=True)
    python = tmp_path / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", f"{wheel}[all]"], check=True, timeout=300)
    result = run(python, "import webrtc_transport.metrics, webrtc_signaling.websocket, webrtc_libp2p")
    assert result.returncode == 0, result.stderr
    shown = subprocess.run(
        [tmp_path / "bin" / "webrtc-signaling", "serve", "--help"],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert b"--insecure" in shown.stdout
