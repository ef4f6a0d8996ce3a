import subprocess
import sys

import pytest

from tests.webrtc_signaling.command import environment
from tests.webrtc_transport.cli.program import RUN


def run(program):
    return subprocess.run(
        [sys.executable, "-c", program],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("missing", ["typer", "rich", "packaging"])
def test_a_missing_extra_says_what_to_install(missing):
    done = run(f"import sys; sys.modules['{missing}'] = None; {RUN}")
    assert done.returncode == 1
    cure = "pip install 'webrtc-transport[cli]', or in a checkout of it: pip install '.[cli]'"
    assert done.stderr == f"webrtc-transport needs {missing}: {cure}\n"


def test_an_interrupt_during_the_imports_is_quiet(tmp_path):
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    done = run(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {RUN}")
    assert done.returncode == 130
    assert done.stdout + done.stderr == ""


def test_the_library_needs_none_of_it():
    names = "('typer', 'rich', 'packaging', 'aiohttp')"
    done = run(f"import sys; sys.modules.update(dict.fromkeys({names})); import webrtc_transport")
    assert done.returncode == 0, done.stderr
