"""Turns Sphinx roles in docstrings into links: mkdocstrings reads docstrings as Markdown."""

from __future__ import annotations

import re
from typing import Any, Final

import griffe

_ROLE: Final = re.compile(r":(?:class|meth|func|attr|exc|data|mod):`(?P<short>~?)(?P<target>[\w.]+)`")

_TREE: Final = re.compile(r"^.*──.*$", re.MULTILINE)
"""A line of a drawn tree: all of it is shown as it is, so marks of code would be seen."""


class Roles(griffe.Extension):
    """Rewrites ``:class:`~package.Name``` to a link, or to plain code where nothing of that name is documented."""

    def on_package(self, *, pkg: griffe.Module, **_kwargs: Any) -> None:
        """Rewrite the docstrings of a package that has been loaded."""
        _rewrite(pkg)


def _rewrite(obj: griffe.Object) -> None:
    if obj.docstring is not None:
        text = _ROLE.sub(lambda match: _link(obj, match), obj.docstring.value)
        obj.docstring.value = _TREE.sub(lambda match: match[0].replace("``", ""), text)
    for member in obj.members.values():
        if isinstance(member, griffe.Object):  # and no alias, which is another's member
            _rewrite(member)


def _link(obj: griffe.Object, match: re.Match[str]) -> str:
    target = match["target"]
    shown = target.rpartition(".")[2] if match["short"] else target
    return f'<autoref identifier="{_full_name(obj, target)}" optional><code>{shown}</code></autoref>'


def _full_name(obj: griffe.Object, target: str) -> str:
    """The path of ``target`` as ``obj`` names it: whole, or a name in its class or module."""
    if target.startswith("webrtc_"):
        return target
    scope: griffe.Object | griffe.Alias | None = obj
    while scope is not None:
        if target.partition(".")[0] in scope.members:
            return f"{scope.path}.{target}"
        scope = scope.parent
    return target
