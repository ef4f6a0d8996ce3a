"""The findings, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..printable import printable
from .findings import Finding, Outcome

_STYLES = {
    Outcome.OK: "green",
    Outcome.WARNING: "yellow",
    Outcome.FAILED: "bold red",
    Outcome.SKIPPED: "dim",
}


def is_healthy(findings: Sequence[Finding]) -> bool:
    """Whether nothing has failed."""
    return all(finding.outcome is not Outcome.FAILED for finding in findings)


def as_json(findings: Sequence[Finding]) -> str:
    """One JSON object: ``ok``, and ``findings`` with the fields of :class:`Finding`."""
    return json.dumps(
        {"ok": is_healthy(findings), "findings": [asdict(finding) for finding in findings]}, indent=2
    )


def show(findings: Sequence[Finding], console: Console) -> None:
    """A table, with the cure below what was found."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("check", no_wrap=True)
    table.add_column("result", no_wrap=True)
    table.add_column("what was found", overflow="fold")
    for finding in findings:
        style = _STYLES[finding.outcome]
        found = escape(printable(finding.found))
        if finding.cure:
            found += f"\n[bold]→ {escape(printable(finding.cure))}[/]"
        table.add_row(finding.check, f"[{style}]{finding.outcome.value}[/]", found)
    console.print(table)
    console.print()
    failed = sum(finding.outcome is Outcome.FAILED for finding in findings)
    console.print(
        "[bold red]1 check failed[/]"
        if failed == 1
        else f"[bold red]{failed} checks failed[/]"
        if failed
        else "[green]nothing failed[/]"
    )
