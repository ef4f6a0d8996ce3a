import pytest

from tests.webrtc_signaling.command import RUN, run


@pytest.mark.parametrize("missing", ["typer", "aiohttp", "pydantic_settings", "msgpack"])
def test_a_missing_extra_says_what_to_install(missing):
    program = f"import sys; sys.modules['{missing}'] = None; {RUN}"
    result = run("serve", program=program)
    assert result.returncode == 1
    assert result.stderr == f"webrtc-signaling needs {missing}: pip install 'webrtc-transport[server]'\n"
