"""The libraries that this project doesn't depend on, installed once, outside of the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "webrtc-transport-benchmarks"

PACKAGES = {
    # Its extra pins an aioice that is older than ours.
    "libp2p": ("libp2p[webrtc]==0.8.1", "anyio>=4.9"),
    "wrtc": ("wrtc[aiortc]==0.1.0", "anyio>=4.9"),
    "node": ("node-datachannel@0.33.4",),
    "peerjs": ("peer@1.0.2",),
}
"""What each tool is made of: packages of PyPI, and of npm."""

NPM = frozenset({"node", "peerjs"})


class ToolMissing(Exception):
    """A tool can't be installed here."""


def folder(tool: str) -> Path:
    """Where a tool is."""
    return CACHE / tool


def python(tool: str) -> str:
    """The interpreter of a tool that has a virtual environment."""
    return str(folder(tool) / "bin" / "python")


def is_installed(tool: str) -> bool:
    """Whether a tool is there, in the versions that are wanted, for this Python."""
    stamp = folder(tool) / "installed"
    return stamp.exists() and stamp.read_text() == _stamp(tool)


def _stamp(tool: str) -> str:
    return " ".join([sys.version, *PACKAGES[tool]])


def install(tool: str) -> None:
    """Install a tool if it isn't there.

    :raises ToolMissing: if that fails
    """
    if is_installed(tool):
        return
    target = folder(tool)
    print(f"installing {', '.join(PACKAGES[tool])} into {target}", file=sys.stderr)
    target.mkdir(parents=True, exist_ok=True)
    if tool in NPM:
        if shutil.which("node") is None or shutil.which("npm") is None:
            raise ToolMissing("Node.js and npm are not installed")
        _run(tool, ["npm", "install", "--silent", "--no-audit", "--prefix", str(target), *PACKAGES[tool]])
    else:
        _run(tool, [sys.executable, "-m", "venv", "--clear", str(target)])
        _run(tool, [python(tool), "-m", "pip", "install", "--quiet", *PACKAGES[tool]])
    (target / "installed").write_text(_stamp(tool))


def _run(tool: str, command: Sequence[str]) -> None:
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise ToolMissing(f"{tool}: {' '.join(command[:4])} … ended with {done.returncode}")
