"""The tutorials do what they say."""

from __future__ import annotations

import importlib.util
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks, desk
from tests.requirements import missing
from tests.webrtc_signaling.command import TIMEOUT, port_of, started

PAGES = ["index.md", *(f"tutorials/{path.name}" for path in sorted((DOCS / "tutorials").glob("*.md")))]

SERVE = "$ webrtc-signaling serve"
SERVING = [page for page in sorted(DOCS.rglob("*.md")) if SERVE in page.read_text(encoding="utf-8")]


@pytest.fixture(scope="module")
def server_output():
    """All that ``webrtc-signaling serve`` prints to its standard output, on its default port."""
    with started("--port", "0") as process:
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        # Not by communicate(), which doesn't see what came together with the first line.
        rest = process.stdout.read()
        process.wait(TIMEOUT)
    return (first + rest).replace(str(port_of(first.rstrip())), "8765").splitlines()


@pytest.mark.parametrize("page", SERVING, ids=lambda page: page.name)
def test_what_the_server_prints_is_shown_whole(page, server_output):
    for block in blocks(page):
        if SERVE in block.text and block.title:
            _, _, shown = block.text.partition(SERVE)
            assert shown.splitlines()[1:] == server_output, f"{page.name}, line {block.line}"


@pytest.fixture
def programs(tmp_path):
    """A virtual environment in which everything is installed that is installed here, for pages that install more."""
    folder = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    inner = sysconfig.get_path("purelib", vars={"base": str(folder)})
    outer = [*site.getsitepackages(), sysconfig.get_path("purelib")]
    lines = [f"import site; site.addsitedir({path!r})\n" for path in dict.fromkeys(outer)]
    Path(inner, "outer.pth").write_text("".join(lines), encoding="utf-8")
    yield folder / "bin"
    shutil.rmtree(folder)


@pytest.mark.parametrize("page", PAGES)
def test_page_shows_what_happens(page, tmp_path, programs):
    if "hatchling" in (DOCS / page).read_text("utf-8") and importlib.util.find_spec("hatchling") is None:
        missing(
            "hatchling is not installed, and a page builds a package with it; it is in the dependency group test"
        )
    with desk(tmp_path, programs) as reader:
        reader.work_through(DOCS / page)
