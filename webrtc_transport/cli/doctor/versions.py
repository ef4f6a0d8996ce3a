"""Whether the packages that are installed fit together."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distributions, version
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from .findings import Finding, Outcome

OWN: Final = "webrtc-transport"

_SHOWN: Final = ("aioice", "aiortc", "cryptography", "pyopenssl")
"""Packages whose versions matter most when something doesn't work."""


def check_versions(installed: Iterable[Distribution] | None = None) -> list[Finding]:
    """Compare what this package asks for with what there is.

    :param installed: the distributions to look at; by default, all of this environment
    """
    found = list(distributions() if installed is None else installed)
    versions: dict[str, str] = {
        canonicalize_name(one.metadata["Name"]): one.version for one in found if one.metadata["Name"]
    }
    shown = ", ".join(f"{name} {versions[name]}" for name in _SHOWN if name in versions)
    details: dict[str, str | int | float | bool] = {"python": platform.python_version(), OWN: own_version()}
    details.update({name: versions[name] for name in _SHOWN if name in versions})
    conflicts = [
        finding
        for one in found
        if canonicalize_name(one.metadata["Name"] or "") == OWN
        for requirement in _requirements(one)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if (finding := _conflict(requirement, versions, found)) is not None
    ]
    if conflicts:
        return conflicts
    text = f"{OWN} {own_version()}, Python {platform.python_version()}, {shown}"
    return [Finding("versions", Outcome.OK, text, details=details)]


def own_version() -> str:
    """This package's version."""
    try:
        return version(OWN)
    except PackageNotFoundError:
        return "(not installed)"


def _requirements(one: Distribution) -> Iterator[Requirement]:
    for text in one.requires or []:
        try:
            yield Requirement(text)
        except InvalidRequirement:
            # Somebody else's mistake, which pip has passed over as well.
            continue


def _conflict(wanted: Requirement, versions: dict[str, str], installed: list[Distribution]) -> Finding | None:
    name = canonicalize_name(wanted.name)
    present = versions.get(name)
    install = f"pip install '{wanted.name}{wanted.specifier}'"
    if present is None:
        return Finding("versions", Outcome.FAILED, f"{name} is missing", install)
    if wanted.specifier.contains(present, prereleases=True):
        return None
    found = f"{name} {present} is installed, and {wanted.specifier} is needed"
    others = [
        f"{one.metadata['Name']}{_extra_of(other)} asks for {other.name}{other.specifier}"
        for one in installed
        if canonicalize_name(one.metadata["Name"] or "") != OWN
        for other in _requirements(one)
        if canonicalize_name(other.name) == name and other.specifier.contains(present, prereleases=True)
        if any(clause.operator in ("==", "<", "<=", "~=", "===") for clause in other.specifier)
    ]
    if others:
        install = f"{install}; {', '.join(others)}: do without that, or use an environment of its own"
    return Finding("versions", Outcome.FAILED, found, install)


def _extra_of(requirement: Requirement) -> str:
    marker = str(requirement.marker or "")
    _, found, rest = marker.partition('extra == "')
    return f"[{rest.partition(chr(34))[0]}]" if found else ""
