"""Turns Sphinx roles in docstrings into links: mkdocstrings reads docstrings as Markdown."""

from __future__ import annotations

import re
from typing import Any, Final

import griffe

_ROLE: Final = re.compile(r":(?:class|meth|func|attr|exc|data|mod):`(?P<short>~?)(?P<target>[\w.]+)`")


class Roles(griffe.Extension):
    """Rewrites ``:class:`~package.Name``` to a link, or to plain code where nothing of that name is documented."""

    def on_object(self, *, obj: griffe.Object, **_kwargs: Any) -> None:
        """Rewrite the docstring of one object."""
        if obj.docstring is None:
            return

        def link(match: re.Match[str]) -> str:
            target = match["target"]
            shown = target.rpartition(".")[2] if match["short"] else target
            return f'<autoref identifier="{_full_name(obj, target)}" optional><code>{shown}</code></autoref>'

        obj.docstring.value = _ROLE.sub(link, obj.docstring.value)


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
