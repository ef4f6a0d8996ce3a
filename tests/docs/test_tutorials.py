"""The tutorials do what they say."""

from __future__ import annotations

import importlib.util
import shutil
import site
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, desk
from tests.requirements import missing

PAGES = ["index.md", *(f"tutorials/{path.name}" for path in sorted((DOCS / "tutorials").glob("*.md")))]


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
