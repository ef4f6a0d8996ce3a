"""What servers that let nobody in without a token need."""

import time

import pytest

from webrtc_signaling.server.tokens import TokenKey, make_token


@pytest.fixture
def key_file(tmp_path):
    path = tmp_path / "token.key"
    path.write_bytes(b"0123456789abcdef0123456789abcdef")
    path.chmod(0o600)
    return path


@pytest.fixture
def token(key_file):
    """Makes tokens that are good for some seconds."""

    def make(seconds=60, **claims):
        return make_token(TokenKey.load(key_file), expires_at=time.time() + seconds, **claims)

    return make
