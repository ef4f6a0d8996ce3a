"""What newcomers are told to run and to look at is there."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.docs.pages import DOCS

PROJECT = DOCS.parent
TARGETS = Counter(re.findall(r"^([a-z][a-z-]*):", (PROJECT / "Makefile").read_text("utf-8"), re.MULTILINE))
TEXTS = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]


def names(path):
    return str(path.relative_to(PROJECT))


def test_no_target_has_two_recipes():
    assert [target for target, count in TARGETS.items() if count > 1] == []


@pytest.mark.parametrize("path", TEXTS, ids=names)
def test_targets_exist(path):
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"(?:`|^\$ )make ([a-z][a-z-]*)", text, re.MULTILINE)
    assert set(named) <= set(TARGETS)


@pytest.mark.parametrize("path", TEXTS, ids=names)
def test_files_exist(path):
    text = path.read_text(encoding="utf-8")
    for name in re.findall(r"`((?:docs|tests|examples|benchmarks)/[\w./-]+)`", text):
        assert (PROJECT / name).exists(), name


def test_modules_run():
    text = (PROJECT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert (PROJECT / module.replace(".", "/")).with_suffix(".py").exists()
