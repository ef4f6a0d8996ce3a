"""The site is whole, and needs nobody else's server."""

from __future__ import annotations

import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

import webrtc_signaling
import webrtc_transport
from tests.docs.pages import DOCS
from tests.requirements import missing

webrtc_libp2p = pytest.importorskip("webrtc_libp2p", exc_type=ModuleNotFoundError)
PACKAGES = (webrtc_transport, webrtc_signaling, webrtc_libp2p)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site. A warning of mkdocs, such as a dead link or a page that is in no menu, is an error."""
    mkdocs = Path(sys.executable).with_name("mkdocs")
    if not mkdocs.exists():
        missing("mkdocs is not installed; it is in the dependency group docs")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [mkdocs, "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=DOCS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_no_page_loads_anything_from_elsewhere(site):
    loading = re.compile(
        r"""<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=["']?((?:https?:)?//[^"' >]+)"""
    )
    found = {
        address
        for page in site.rglob("*.html")
        for address in loading.findall(page.read_text(encoding="utf-8"))
    }
    assert not found


def test_no_page_makes_the_theme_load_mermaid(site):
    assert not [
        page for page in site.rglob("*.html") if 'class="mermaid"' in page.read_text(encoding="utf-8")
    ]


def test_every_public_name_is_documented(site):
    inventory = (site / "objects.inv").read_bytes().split(b"\n", 4)
    listed = {line.split()[0] for line in zlib.decompress(inventory[4]).decode().splitlines()}
    wanted = {f"{package.__name__}.{name}" for package in PACKAGES for name in package.__all__}
    assert wanted <= listed, f"missing: {sorted(wanted - listed)}"


def test_sphinx_roles_became_links(site):
    for page in (site / "reference" / "api").rglob("*.html"):
        assert not re.search(r":(?:class|meth|exc|mod|data):<?", page.read_text(encoding="utf-8")), page
