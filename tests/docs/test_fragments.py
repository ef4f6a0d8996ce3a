"""The fragments of programs in guides, explanations and reference pages run."""

from __future__ import annotations

import anyio
import pytest

from tests.docs.pages import DOCS, blocks, desk, run_fragments
from tests.requirements import require_program

PAGES = [
    page
    for folder in ("how-to", "explanation", "reference")
    for page in sorted((DOCS / folder).rglob("*.md"))
    if any(block.language in ("python", "console") for block in blocks(page))
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_fragments_run(page, tmp_path, monkeypatch):
    if any("webrtc_libp2p" in block.text for block in blocks(page)):
        pytest.importorskip("libp2p")
    monkeypatch.chdir(tmp_path)
    anyio.run(run_fragments, page)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_programs_do_what_is_shown(page, tmp_path):
    if any("turnserver" in block.text for block in blocks(page)):
        require_program("turnserver")
    with desk(tmp_path) as reader:
        reader.work_through(page)
