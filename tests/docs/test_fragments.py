"""The fragments of programs in guides, explanations and reference pages run."""

from __future__ import annotations

import logging

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


@pytest.fixture
def _own_logging():
    """What a fragment sets up for its log is undone: other tests look at what is logged by default."""
    loggers = [logging.root, *(logging.getLogger(name) for name in list(logging.root.manager.loggerDict))]
    before = {logger: (logger.level, list(logger.handlers)) for logger in loggers}
    yield
    for name in list(logging.root.manager.loggerDict):
        logger = logging.getLogger(name)
        logger.level, logger.handlers = before.get(logger, (logging.NOTSET, []))
    logging.root.level, logging.root.handlers = before[logging.root]
    logging.root.manager._clear_cache()


@pytest.mark.usefixtures("_own_logging")
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
