"""The suite finds what is wrong with a backend, and nothing else."""

import subprocess
import sys

import pytest

BACKENDS = '''
from webrtc_signaling.memory import MemoryBackend
from webrtc_signaling.testing import SignalingConformance, conformance


class Silent(MemoryBackend):
    """Forgets every third signal."""

    def __init__(self, identity):
        self.count = 0
        super().__init__(identity, intercept=self.drop)

    def drop(self, signal):
        self.count += 1
        return [] if self.count % 3 == 0 else [signal]


class Leaking(MemoryBackend):
    """Leaves a file open for each session."""

    async def connect(self, peer):
        self.files = [*getattr(self, "files", []), open(__file__)]
        return await super().connect(peer)


TestGood = conformance("memory://here")


class TestSilent(SignalingConformance):
    url = ""
    timeout = 1

    def backend(self, url, identity):
        return Silent(identity)


class TestLeaking(SignalingConformance):
    url = ""

    def backend(self, url, identity):
        return Leaking(identity)
'''


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What pytest says of each test of an author's file, by class and name; the file is all that there is."""
    folder = tmp_path_factory.mktemp("plugin")
    (folder / "test_plugin.py").write_text(BACKENDS)
    program = f"import sys; sys.path[:] = {sys.path!r}; import pytest; sys.exit(pytest.main(sys.argv[1:]))"
    wanted = "both_ends_agree or in_order or cancelling_a_session"
    arguments = [
        "-q",
        "-rA",
        "--tb=no",
        "-p",
        "no:cacheprovider",
        "-W",
        "ignore",
        "-k",
        wanted,
        "test_plugin.py",
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    lines = [line.split()[:2] for line in done.stdout.splitlines() if "::" in line]
    assert lines, done.stdout + done.stderr
    return {name.partition("::")[2]: outcome for outcome, name in lines}


@pytest.mark.parametrize("event_loop", ["asyncio", "uvloop", "trio"])
@pytest.mark.parametrize(
    ("backend", "test", "outcome"),
    [
        ("Good", "both_ends_agree_on_who_and_which", "PASSED"),
        ("Good", "signals_go_both_ways_in_order", "PASSED"),
        ("Good", "cancelling_a_session_anywhere_leaves_nothing_behind", "PASSED"),
        ("Silent", "both_ends_agree_on_who_and_which", "PASSED"),
        ("Silent", "signals_go_both_ways_in_order", "FAILED"),
        ("Leaking", "both_ends_agree_on_who_and_which", "PASSED"),
        ("Leaking", "cancelling_a_session_anywhere_leaves_nothing_behind", "FAILED"),
    ],
)
def test_it_tells_good_backends_from_bad_ones(outcomes, backend, test, outcome, event_loop):
    assert outcomes[f"Test{backend}::test_{test}[{event_loop}]"] == outcome
