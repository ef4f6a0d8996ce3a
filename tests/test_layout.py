"""The house is in order: each module has the test file that mirrors it, and each file keeps to its size."""

from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
ROOTS = [PROJECT, PROJECT / "signaling", PROJECT / "integrations"]
PACKAGES = ["webrtc_transport", "webrtc_signaling", "webrtc_libp2p"]

LONGEST = 400
"""Lines of a module. A longer one is asking to be two."""

MODULES = [
    pytest.param(path, path.relative_to(root), id=str(path.relative_to(root)))
    for root, package in zip(ROOTS, PACKAGES, strict=True)
    for path in sorted((root / package).rglob("*.py"))
]


@pytest.mark.parametrize(("path", "name"), [module for module in MODULES if "__init__" not in module.id])
def test_each_module_has_its_test_file(path, name):
    mirror = PROJECT / "tests" / name.with_name(f"test_{name.name}")
    assert mirror.exists(), f"{name} is to be covered by {mirror.relative_to(PROJECT)}"


@pytest.mark.parametrize(("path", "name"), MODULES)
def test_no_module_is_too_long(path, name):
    assert len(path.read_text().splitlines()) <= LONGEST
