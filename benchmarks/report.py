"""Tables of what was measured: medians, and their ratios beside the floors and aims."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence

from .measures import MEASURES, TARGETS, Figures, Target

Rounds = Mapping[str, Mapping[str, Sequence[Figures]]]
"""By measure and variant: the figures of each round."""


def median(rounds: Rounds, measure: str, variant: str, unit: str) -> float | None:
    """The median of a figure; ``None`` if it was never measured."""
    found = [figures[unit] for figures in rounds.get(measure, {}).get(variant, ())]
    return statistics.median(found) if found else None


def ratio(rounds: Rounds, target: Target) -> float | None:
    """The ratio of two medians, that a target is about."""
    ours = median(rounds, target.measure, target.variant, target.figure.unit)
    reference = median(rounds, target.measure, target.reference, target.reference_unit)
    return None if ours is None or not reference else ours / reference


def number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def medians_table(rounds: Rounds) -> list[str]:
    """A Markdown table of each measure."""
    lines: list[str] = []
    for name, by_variant in rounds.items():
        units = list(dict.fromkeys(unit for found in by_variant.values() for row in found for unit in row))
        lines += [f"**{name}**: {MEASURES[name].title}", "", f"| | {' | '.join(units)} | rounds |"]
        lines.append("| --- |" + " ---: |" * (len(units) + 1))
        for variant, found in by_variant.items():
            values = [median(rounds, name, variant, unit) for unit in units]
            cells = ["failed" if value is None else number(value) for value in values]
            lines.append(f"| {variant} | {' | '.join(cells)} | {len(found)} |")
        lines.append("")
    return lines


def targets_table(rounds: Rounds, targets: Sequence[Target] = TARGETS) -> list[str]:
    """A Markdown table of the ratios that were measured."""
    lines = ["| ratio of medians | measured | floor | aim | |", "| --- | ---: | ---: | ---: | --- |"]
    for target in targets:
        found = ratio(rounds, target)
        if found is not None:
            sign = "≥" if target.figure.is_rate else "≤"
            bounds = f"{sign} {target.floor:.2g} | {sign} {target.aim:.2g}"
            lines.append(f"| {target.title} | {found:.2f} | {bounds} | {verdict(target, found)} |")
    return lines


def verdict(target: Target, found: float) -> str:
    """How far a ratio gets."""
    if target.reaches(found, target.aim):
        return "aim"
    return "floor" if target.reaches(found, target.floor) else "**missed**"
