"""Puts measured figures where a page says ``<!-- figures: … -->``: tables, and a chart of bars.

``docs/explanation/figures.json`` is what ``python -m benchmarks --json`` wrote. ``direct.json`` beside it is what the
same wrote of the measures of webrtc-direct, and what ``benchmarks.crowd`` and ``benchmarks.flood`` added;
``signaling.json`` is of ``benchmarks.signaling_load``. No number is typed by hand.
"""

from __future__ import annotations

import json
import re
import sys
from html import escape
from pathlib import Path
from typing import Any, Final

PROJECT: Final = Path(__file__).parents[2]
sys.path.append(str(PROJECT))

from benchmarks.report import Rounds, median, medians_table, number, targets_table  # noqa: E402 - of the checkout

FOLDER: Final = PROJECT / "docs" / "explanation"
_MARK: Final = re.compile(r"<!-- figures: (\w+)(?: ([\w-]+) (.+?))? -->")
_NAME_WIDTH: Final = 150
_BAR_WIDTH: Final = 430
_ROW_HEIGHT: Final = 24


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks of one page; mkdocs calls it."""
    return _MARK.sub(_figures, markdown)


def _figures(match: re.Match[str]) -> str:
    what, measure, unit = match.groups()
    if what == "signaling":
        return signaling(json.loads((FOLDER / "signaling.json").read_text(encoding="utf-8")), measure, unit)
    if what == "direct":
        return direct(json.loads((FOLDER / "direct.json").read_text(encoding="utf-8")), measure, unit)
    measured = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
    rounds: Rounds = measured["figures"]
    match what:
        case "chart":
            return chart(rounds, measure, unit)
        case "targets":
            return "\n".join(targets_table(rounds))
        case "medians":
            return "\n".join(medians_table(rounds))
        case _:
            return str(measured[what])


def direct(measured: dict[str, Any], what: str, name: str) -> str:
    """One figure of webrtc-direct under load, such as ``flood`` ``asyncio alone``, or its table of ratios."""
    if what == "targets":
        return "\n".join(targets_table(measured["figures"]))
    if what == "medians":
        return "\n".join(medians_table(measured["figures"]))
    backend, _, unit = name.partition(" ")
    found = measured[f"{what} {backend}"]
    if unit == "kept":
        return f"{found['flooded'] / found['alone']:.0%}"
    scales: dict[str, float] = {"grown": 2**20, "bytes each, used": 2**10}
    value = max(found[unit]) if unit == "entered" else found[unit]
    return value if isinstance(value, str) else number(value / scales.get(unit, 1))


def signaling(measured: dict[str, Any], what: str, name: str) -> str:
    """One figure of a signaling server under load, such as ``idle`` ``ours bytes each``, a ratio, or a chart."""
    kind, _, figure = name.partition(" ")
    if kind == "chart":
        found = {other.partition(" ")[2]: figures for other, figures in measured.items() if what in other}
        return bars(
            {other: figures[figure] / _scale(figure) for other, figures in found.items()}, name, "ours"
        )
    found_here = measured[f"{what} {kind}"]
    if figure.startswith("ratio "):
        figure = figure.removeprefix("ratio ")
        return f"{found_here[figure] / measured[f'{what} peerjs'][figure]:.2f}"
    if figure == "times one":
        return f"{found_here['rate'] / measured[f'{what} one']['rate']:.2f}"
    value = found_here[figure]
    return value if isinstance(value, str) else number(value / _scale(figure))


def _scale(figure: str) -> float:
    return 2**10 if figure == "bytes each" else 1


def chart(rounds: Rounds, measure: str, unit: str) -> str:
    """A drawing of the medians of one figure, a bar for each variant."""
    found = {variant: median(rounds, measure, variant, unit) for variant in rounds[measure]}
    values = {variant: value for variant, value in found.items() if value is not None}
    return bars(values, f"{measure}, {unit}", "native")


def bars(values: dict[str, float], label: str, ours: str) -> str:
    """A drawing with a bar for each value; those whose names begin with ``ours`` stand out."""
    rows = []
    for row, (variant, value) in enumerate(sorted(values.items(), key=lambda item: -item[1])):
        y = row * _ROW_HEIGHT
        width = max(1, round(value / max(values.values()) * _BAR_WIDTH))
        opacity = 1 if variant.startswith(ours) else 0.45
        rows += [
            f'<text x="{_NAME_WIDTH - 8}" y="{y + 16}" text-anchor="end">{escape(variant)}</text>',
            f'<rect x="{_NAME_WIDTH}" y="{y + 4}" width="{width}" height="{_ROW_HEIGHT - 8}" '
            f'fill="#5c6bc0" fill-opacity="{opacity}"/>',
            f'<text x="{_NAME_WIDTH + width + 6}" y="{y + 16}">{number(value)}</text>',
        ]
    size = f"{_NAME_WIDTH + _BAR_WIDTH + 70} {len(values) * _ROW_HEIGHT}"
    return (
        f'<svg viewBox="0 0 {size}" role="img" aria-label="{escape(label)}" '
        f'fill="currentColor" font-size="13">{"".join(rows)}</svg>'
    )
