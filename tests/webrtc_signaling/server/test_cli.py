import pytest

from tests.webrtc_signaling.command import RUN, run
from webrtc_signaling.server.cli import INTERRUPTED


@pytest.mark.parametrize("missing", ["typer", "aiohttp", "pydantic_settings", "msgpack"])
def test_a_missing_extra_says_what_to_install(missing):
    program = f"import sys; sys.modules['{missing}'] = None; {RUN}"
    result = run("serve", program=program)
    assert result.returncode == 1
    assert result.stderr == (
        f"webrtc-signaling needs {missing}: pip install 'webrtc-transport[server]', or in a checkout of it: "
        "pip install '.[server]'\n"
    )


def test_an_interrupt_during_the_imports_is_quiet(tmp_path):
    # Found before the real one, and slow enough for somebody to lose patience.
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt")
    result = run("serve", program=f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {RUN}")
    assert result.returncode == INTERRUPTED
    assert result.stdout + result.stderr == ""


def test_the_command_is_ready_for_an_interrupt_before_it_imports_anything_large():
    result = run(
        program="import sys; import webrtc_signaling.server.cli; print('anyio' in sys.modules, len(sys.modules))"
    )
    assert result.stdout.startswith("False ")
