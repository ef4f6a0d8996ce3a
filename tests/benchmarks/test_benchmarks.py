"""The suite runs, and compares what it measures as it says. How fast anything is isn't tested here."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.measures import CI_TARGETS, DIAL_ALONE, DIAL_IN_CROWD, MEASURES, RATE, TARGETS, TIME, Target
from benchmarks.peers.rtc import frame, payload_size
from benchmarks.report import ratio, targets_table
from tests.requirements import require_program, require_root

PROJECT = Path(__file__).parents[2]


def test_the_suite_measures_in_a_network_of_its_own(tmp_path):
    require_root()
    require_program("ip")
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks", "--rounds", "1", "--measures", "rtt"]
    done = subprocess.run(
        [*command, "--variants", "native", "--json", str(found)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "| native asyncio |" in done.stdout
    figures = json.loads(found.read_text())["figures"]["rtt"]
    assert set(figures) == {"native asyncio", "native trio"}
    assert all(len(rounds) == 1 and rounds[0]["ms"] > 0 for rounds in figures.values()), done.stderr


def test_a_ratio_is_that_of_the_medians():
    target = Target("rtt", TIME, "ours", "theirs", 0.5, 0.3)
    rounds = {"rtt": {"ours": [{"ms": 9.0}, {"ms": 1.0}, {"ms": 2.0}], "theirs": [{"ms": 5.0}]}}
    assert ratio(rounds, target) == 0.4
    assert targets_table(rounds, [target])[-1].endswith("| 0.40 | ≤ 0.5 | ≤ 0.3 | floor |")


def test_a_ratio_may_be_that_of_two_figures_of_one_variant():
    target = Target("dial", DIAL_IN_CROWD, "ours", "ours", 2, 1.5, reference_figure=DIAL_ALONE)
    rounds = {"dial": {"ours": [{"ms alone": 10.0, "ms beside 200": 18.0}]}}
    assert ratio(rounds, target) == 1.8
    assert targets_table(rounds, [target])[-1].startswith("| dial, ms beside 200: ours / ms alone | 1.80 ")


def test_a_ratio_of_what_was_not_measured_is_none():
    target = Target("rtt", TIME, "ours", "theirs", 0.5, 0.3)
    assert ratio({"rtt": {"ours": [{"ms": 1.0}], "theirs": []}}, target) is None
    assert ratio({}, target) is None


@pytest.mark.parametrize(("figure", "good", "bad"), [(RATE, 5.0, 4.9), (TIME, 5.0, 5.1)])
def test_rates_have_to_be_at_least_and_times_at_most(figure, good, bad):
    target = Target("bulk", figure, "ours", "theirs", 5, 8)
    assert target.reaches(good, target.floor)
    assert not target.reaches(bad, target.floor)


@pytest.mark.parametrize("target", TARGETS + CI_TARGETS, ids=lambda target: target.title)
def test_each_target_is_about_what_is_measured(target):
    assert {target.variant, target.reference} <= set(MEASURES[target.measure].pairs)


@pytest.mark.parametrize("target", CI_TARGETS, ids=lambda target: target.title)
def test_ci_needs_nothing_that_would_have_to_be_installed(target):
    pairs = MEASURES[target.measure].pairs
    assert target.smoke is not None
    assert not any(pairs[name].needs for name in (target.variant, target.reference))


@pytest.mark.parametrize("size", [0, 1, 127, 128, 16377])
def test_frames_are_counted_by_their_payload(size):
    finished = b"\x02\x08\x00"
    assert payload_size(frame(bytes(size)) + finished + frame(b"more")) == size + 4
