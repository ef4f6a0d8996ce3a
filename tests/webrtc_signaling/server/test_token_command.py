"""``webrtc-signaling token`` as an operator uses it."""

import time

import pytest
from typer.testing import CliRunner

from tests.webrtc_signaling.samples import ALICE_ID, BOB_ID
from webrtc_signaling.server.auth import Refused
from webrtc_signaling.server.commands import app
from webrtc_signaling.server.tokens import TokenKey, TokenVerifier

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "token.key"
    path.write_text(SECRET)
    path.chmod(0o600)
    return path


def run(*arguments):
    return CliRunner(env={"NO_COLOR": "1", "COLUMNS": "200"}).invoke(app, ["token", *map(str, arguments)])


def test_it_makes_a_token_that_its_server_takes(key_file):
    result = run("--key-file", key_file, "--peer", ALICE_ID, "--expires", "2h", "--audience", "us")
    assert result.exit_code == 0, result.output
    verifier = TokenVerifier(TokenKey.load(key_file), "us")
    expires_at = verifier.verify(result.output.strip(), ALICE_ID)
    assert abs(expires_at - time.time() - 7200) < 60
    with pytest.raises(Refused, match="isn't for"):
        verifier.verify(result.output.strip(), BOB_ID)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"--expires": "soon"}, "'soon' is no duration; write one like 90s, 15m, 12h or 30d"),
        ({"--expires": "-1h"}, "is no duration"),
        ({"--peer": "nobody"}, "nobody"),
        ({"--key-file": "/nonexistent"}, "the token key can't be read from /nonexistent: no such file"),
    ],
)
def test_what_is_wrong_is_told(key_file, wrong, reason):
    arguments = {"--key-file": key_file, "--expires": "1h"} | wrong
    result = run(*(part for pair in arguments.items() for part in pair))
    assert result.exit_code == 2
    assert reason in " ".join(result.output.replace("│", " ").split())
    assert SECRET not in result.output
