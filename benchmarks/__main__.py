"""Measures this library beside others, in one interleaved run: ``python -m benchmarks --help``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from . import tools
from .measures import CI_TARGETS, MEASURES, TARGETS, Figures, Measure, Target
from .report import medians_table, ratio, targets_table
from .runner import MeasurementFailed, measure

NETWORK = """
set -e
ip link set lo up
ip link add veth0 type veth peer name veth1
for name in veth0 veth1; do ip link set $name addrgenmode none; ip link set $name up; done
ip address add 10.77.0.1/24 dev veth0
ip route add default via 10.77.0.2
exec "$@"
"""
"""A network of its own: one address that isn't loopback's, for libwebrtc offers no other, and nothing beside it. What
two processes of one machine send to such an address goes through the loopback device all the same."""

INSIDE = "WEBRTC_BENCHMARK_NETWORK"
"""Environment variable that is set in that network."""

RETRIES = 2
"""How often the short run measures a ratio again that is under its floor, before it fails."""

Measured = dict[str, dict[str, list[Figures]]]
"""The figures of each round, by measure and variant."""


def main() -> None:
    arguments = parse_arguments()
    targets = CI_TARGETS if arguments.ci else [target for target in TARGETS if target.smoke is not None]
    has_floors = arguments.floors or arguments.ci
    plan = floors_plan(targets) if has_floors else full_plan(arguments.measures, arguments.variants)
    if INSIDE not in os.environ:
        install_tools(plan)
        sys.exit(run_in_network(sys.argv[1:]))
    measured: Measured = {}
    run_rounds(plan, arguments.rounds, measured)
    is_failed = has_floors and not retry_floors(plan, targets, arguments.rounds, measured)
    print("\n".join([*medians_table(measured), *targets_table(measured, targets if has_floors else TARGETS)]))
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(document(measured, plan), indent=1) + "\n")
    sys.exit("a ratio is under its floor" if is_failed else 0)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--measures", type=comma_list, default=list(MEASURES), help=f"of {', '.join(MEASURES)}"
    )
    parser.add_argument("--variants", type=comma_list, help="those whose names contain one of these")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each variant (%(default)s)")
    parser.add_argument(
        "--floors", action="store_true", help="short, and fails when a ratio is under its floor"
    )
    parser.add_argument(
        "--ci",
        action="store_true",
        help="as --floors, with a few ratios that hold on any machine, in a minute",
    )
    parser.add_argument("--json", help="write all figures to this file")
    return parser.parse_args()


def comma_list(text: str) -> list[str]:
    return text.split(",")


# --- what to measure -------------------------------------------------------------------------------------------------

Plan = dict[str, Measure]


def full_plan(measures: Sequence[str], variants: Sequence[str] | None) -> Plan:
    """The measures that were asked for, of the variants that were asked for."""
    plan = {}
    for name in measures:
        pairs = MEASURES[name].pairs
        chosen = [v for v in pairs if variants is None or any(part in v for part in variants)]
        plan[name] = replace(MEASURES[name], pairs={variant: pairs[variant] for variant in chosen})
    return plan


def floors_plan(targets: Sequence[Target]) -> Plan:
    """What the ratios of a short run need, in its sizes."""
    plan: Plan = {}
    for target in targets:
        base = MEASURES[target.measure]
        pairs = dict(plan[target.measure].pairs) if target.measure in plan else {}
        pairs |= {name: base.pairs[name] for name in (target.variant, target.reference)}
        plan[target.measure] = replace(base, parameters=target.smoke or base.parameters, pairs=pairs)
    return plan


# --- where -----------------------------------------------------------------------------------------------------------


def install_tools(plan: Plan) -> None:
    """Install what the plan needs. What can't be had is left out later; in CI that is a failure."""
    for tool in sorted({tool for one in plan.values() for pair in one.pairs.values() for tool in pair.needs}):
        try:
            tools.install(tool)
        except tools.ToolMissing as exc:
            if os.environ.get("CI") == "true":
                sys.exit(str(exc))
            print(f"left out: {exc}", file=sys.stderr)


def run_in_network(arguments: Sequence[str]) -> int:
    """Run this program again in a network of its own; returns its exit code."""
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    program = [sys.executable, "-m", "benchmarks", *arguments]
    command = [*unshare, "sh", "-c", NETWORK, "sh", *program]
    return subprocess.run(command, env={**os.environ, INSIDE: "1"}, check=False).returncode


# --- measuring -------------------------------------------------------------------------------------------------------


def run_rounds(plan: Plan, rounds: int, measured: Measured) -> None:
    """Measure everything in turn, so that noise that lasts hits all alike."""
    for number in range(1, rounds + 1):
        for name, one in plan.items():
            for variant, pair in one.pairs.items():
                if not all(tools.is_installed(tool) for tool in pair.needs):
                    continue
                found = measured.setdefault(name, {}).setdefault(variant, [])
                try:
                    figures = measure(one, pair, one.parameters)
                    found.append({unit: float(f"{value:.4g}") for unit, value in figures.items()})
                    text = "  ".join(f"{value} {unit}" for unit, value in found[-1].items())
                except MeasurementFailed as exc:
                    text = f"failed: {exc}"
                print(f"round {number}  {name:<16}{variant:<18}{text}", file=sys.stderr, flush=True)


def retry_floors(plan: Plan, targets: Sequence[Target], rounds: int, measured: Measured) -> bool:
    """Measure again what is under its floor: noise passes. Returns whether all ratios are good now."""
    for _ in range(RETRIES):
        bad = [target for target in targets if not is_good(measured, target)]
        if not bad:
            return True
        for target in bad:
            one = plan[target.measure]
            pairs = {name: one.pairs[name] for name in (target.variant, target.reference)}
            run_rounds({target.measure: replace(one, pairs=pairs)}, rounds, measured)
    return all(is_good(measured, target) for target in targets)


def is_good(measured: Measured, target: Target) -> bool:
    found = ratio(measured, target)
    return found is not None and target.reaches(found, target.floor)


def document(measured: Measured, plan: Plan) -> dict[str, object]:
    """What the plot is drawn of."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "figures": measured,
        "parameters": {name: dict(one.parameters) for name, one in plan.items()},
    }


if __name__ == "__main__":
    main()
