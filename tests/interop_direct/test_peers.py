"""The foreign peers against each other: what fails here is none of ours, and is known by name."""

import contextlib
import time

import pytest

from tests.interop_direct.cells import CELLS, SILENT, Pair, dialer_is_killed, smoke
from tests.interop_direct.kinds import CHROMIUM, FIREFOX, GO, JS, PYTHON, RUST
from tests.namespaces import network_namespace

PAIRS = [
    (GO, GO, 1),
    (GO, GO, 2),
    (GO, RUST, 1),
    (GO, JS, 1),
    (GO, PYTHON, 1),
    (GO, PYTHON, 2),
    (GO, CHROMIUM, 1),
    (GO, CHROMIUM, 2),
    (GO, FIREFOX, 1),
    (GO, FIREFOX, 2),
    (RUST, GO, 1),
    (RUST, RUST, 1),
    (RUST, JS, 1),
    (RUST, CHROMIUM, 1),
    (JS, GO, 1),
    (JS, RUST, 1),
    (JS, JS, 1),
    (JS, PYTHON, 1),
    (JS, FIREFOX, 1),
    (PYTHON, GO, 1),
    (PYTHON, GO, 2),
    (PYTHON, JS, 1),
    (PYTHON, PYTHON, 2),
    (PYTHON, CHROMIUM, 2),
]
"""Who listens, who dials, and the version of webrtc-direct."""

SILENT_PAIRS = [
    (GO, GO, 1),
    (RUST, RUST, 1),
    (JS, JS, 1),
    (PYTHON, PYTHON, 2),
    (GO, CHROMIUM, 1),
    (GO, FIREFOX, 1),
]
"""Each kind once, because it takes up to a minute."""

SMOKE = [(GO, GO, 2), (GO, JS, 1), (GO, CHROMIUM, 2), (GO, FIREFOX, 1)]
"""Pairs of which no defect is known that meets the smoke test: what is somebody else's mustn't fail our tests. The
build of rust's program takes as long as many tests do, and libp2p 0.8.1 loses a stream at times, whoever dials it."""


def name(listener, dialer, version):
    return f"{dialer.name}-dials-{listener.name}-v{version}"


def known(listener, dialer, cell):
    """The defects that let this cell fail."""
    for defect in listener.listener_defects:
        if cell in defect.cells and (defect.dialers is None or dialer.name in defect.dialers):
            yield defect
    for defect in dialer.dialer_defects:
        if cell in defect.cells and (defect.listeners is None or listener.name in defect.listeners):
            yield defect


def matrix():
    for listener, dialer, version in PAIRS:
        for cell in CELLS:
            if cell in SILENT and (listener, dialer, version) not in SILENT_PAIRS:
                continue
            if cell is dialer_is_killed and dialer.in_browser:
                continue  # The process that could be killed is the browser's driver, and the browser would live on.
            if cell is not CELLS[0] and any(
                each.always for each in known(listener, dialer, CELLS[0].__name__)
            ):
                continue  # They don't come together at all.
            defects = list(known(listener, dialer, cell.__name__))
            marks = [
                pytest.mark.xfail(
                    strict=any(defect.always for defect in defects),
                    reason="; ".join(f"{defect.symptom} ({defect.evidence})" for defect in defects),
                )
            ]
            yield pytest.param(
                listener,
                dialer,
                version,
                cell,
                id=f"{name(listener, dialer, version)}-{cell.__name__}",
                marks=marks if defects else [],
            )


@pytest.fixture
def network():
    with network_namespace() as namespace:
        yield namespace


@contextlib.contextmanager
def running_pair(network, listener_kind, dialer_kind, version):
    """Both as programs in one network."""
    with (
        listener_kind.start(network, version) as listener,
        dialer_kind.start(network, version) as dialer,
    ):
        pair = Pair(listener, dialer, listener_kind, dialer_kind)
        try:
            yield pair
        except Exception as exc:
            for side, peer in (("listener", listener), ("dialer", dialer)):
                if errors := peer.errors().strip():
                    exc.add_note(f"the {side}'s standard error ends with: {errors[-2000:]}")
            raise


@pytest.mark.parametrize(
    ("listener", "dialer", "version"), [pytest.param(*pair, id=name(*pair)) for pair in SMOKE]
)
def test_smoke(network, listener, dialer, version):
    with running_pair(network, listener, dialer, version) as pair:
        smoke(pair)


@pytest.mark.soak
@pytest.mark.parametrize(("listener", "dialer", "version", "cell"), list(matrix()))
def test_cell(network, record_property, *, listener, dialer, version, cell):
    with running_pair(network, listener, dialer, version) as pair:
        started = time.monotonic()
        cell(pair)
        record_property("seconds", time.monotonic() - started)
