"""The programs in the documentation keep the house's style."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.pages import DOCS, blocks
from tests.requirements import missing

ROOT = DOCS.parent
PAGES = sorted(DOCS.rglob("*.md"))
RUFF = Path(sys.executable).with_name("ruff")
THIRD_PARTY = "lint.isort.known-third-party = ['webrtc_transport', 'webrtc_signaling', 'webrtc_libp2p']"
"""To whoever copies a program, these packages are no neighbours of it."""

WIDTH = "88"
"""Columns that a page shows without scrolling."""

NOT_IN_DOCS = "SIM117,S610"
"""Nested ``with`` blocks, one for each thing that is explained; and a method that Django has, too."""

NOT_IN_FRAGMENTS = "F401,F704,F821,I002,PLE1142,E402"
"""A fragment goes on where another ends."""


def run_ruff(*arguments, text):
    command = [RUFF, *arguments, "-"]
    return subprocess.run(command, input=text, cwd=ROOT, text=True, capture_output=True, check=False)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(DOCS)))
def test_programs_are_in_style(page):
    if not RUFF.exists():
        missing("ruff is not installed; it is in the dependency group lint")
    problems = []
    for block in blocks(page):
        if block.language != "python":
            continue
        name = f"docs/{Path(block.title or 'fragment.py').name}"
        ignored = NOT_IN_DOCS if block.is_file else f"{NOT_IN_DOCS},{NOT_IN_FRAGMENTS}"
        options = ["--quiet", "--config", THIRD_PARTY, f"--extend-ignore={ignored}"]
        checked = run_ruff("check", *options, "--stdin-filename", name, text=block.text)
        formatted = run_ruff(
            "format", "--quiet", "--diff", "--line-length", WIDTH, "--stdin-filename", name, text=block.text
        )
        if checked.returncode or formatted.returncode:
            report = checked.stdout + checked.stderr + formatted.stdout + formatted.stderr
            problems.append(f"line {block.line}, {name}:\n{report}")
    assert not problems, "\n".join(problems)
