"""Our own transport with each of the foreign peers, in each direction that they have."""

import sys
import time

import pytest

from tests.interop_direct.cells import CELLS, SILENT, smoke
from tests.interop_direct.kinds import CHROMIUM, FIREFOX, GO, JS, PYTHON, RUST
from tests.interop_direct.peers import HERE, PeerKind, _start
from tests.interop_direct.test_peers import known, running_pair
from tests.namespaces import network_namespace


def start_ours(backend):
    return lambda network, version: _start(
        network, sys.executable, HERE / "ours.py", "--version", version, "--backend", backend
    )


OURS = PeerKind(name="ours", library="this one", start=start_ours("asyncio"), listens=(1, 2), dials=(1, 2))
OURS_ON_TRIO = PeerKind(
    name="ours-on-trio", library="this one", start=start_ours("trio"), listens=(1, 2), dials=(1, 2)
)

PAIRS = [
    (OURS, OURS_ON_TRIO, 1),
    (OURS_ON_TRIO, OURS, 2),
    *(
        (OURS, dialer, version)
        for dialer in (GO, RUST, JS, PYTHON, CHROMIUM, FIREFOX)
        for version in dialer.dials
    ),
    *((listener, OURS, version) for listener in (GO, RUST, JS, PYTHON) for version in listener.listens),
]


def name(listener, dialer, version):
    return f"{dialer.name}-dials-{listener.name}-v{version}"


@pytest.fixture
def network():
    with network_namespace() as namespace:
        yield namespace


def smoke_pairs():
    for pair in PAIRS:
        # The build of its program takes as long as many tests do, and its dials time out now and then.
        marks = [pytest.mark.soak] if RUST in pair else []
        yield pytest.param(*pair, id=name(*pair), marks=marks)


@pytest.mark.parametrize(("listener", "dialer", "version"), list(smoke_pairs()))
def test_smoke(network, listener, dialer, version):
    with running_pair(network, listener, dialer, version) as pair:
        smoke(pair)


def matrix():
    for listener, dialer, version in PAIRS:
        for cell in CELLS:
            if cell in SILENT and dialer.in_browser:
                continue
            defects = list(known(listener, dialer, cell.__name__))
            marks = [
                pytest.mark.xfail(
                    strict=False,
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


@pytest.mark.soak
@pytest.mark.parametrize(("listener", "dialer", "version", "cell"), list(matrix()))
def test_cell(network, record_property, *, listener, dialer, version, cell):
    with running_pair(network, listener, dialer, version) as pair:
        started = time.monotonic()
        cell(pair)
        record_property("seconds", time.monotonic() - started)
