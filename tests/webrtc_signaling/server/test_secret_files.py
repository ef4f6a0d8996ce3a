"""Secrets are read from files, and never told."""

import pytest

from tests.logs import LOGGER, own_records
from webrtc_signaling.server.secret_files import read_secret
from webrtc_transport.errors import ConfigurationError


def test_white_space_around_a_secret_is_none_of_it(tmp_path):
    path = tmp_path / "secret"
    path.write_bytes(b" secret\r\n")
    path.chmod(0o600)
    assert read_secret(path, "secret") == b"secret"


@pytest.mark.parametrize(("is_secret", "warnings"), [(True, 1), (False, 0)])
def test_a_secret_that_others_can_read_is_told(tmp_path, caplog, is_secret, warnings):
    caplog.set_level("WARNING", LOGGER)
    path = tmp_path / "secret"
    path.write_bytes(b"secret")
    path.chmod(0o644)
    assert read_secret(path, "secret", is_secret=lambda _data: is_secret) == b"secret"
    assert len(own_records(caplog)) == warnings


def test_what_can_not_be_read_is_told(tmp_path):
    (tmp_path / "empty").touch()
    (tmp_path / "large").write_bytes(b"x" * 70_000)
    for name, reason in (
        ("missing", "the TURN secret can't be read from .*missing: no such file or directory"),
        ("empty", "empty is empty, where the TURN secret should be"),
        ("large", "large is no TURN secret: it has 70000 bytes"),
        (".", "can't be read from .*: is a directory"),
    ):
        with pytest.raises(ConfigurationError, match=reason):
            read_secret(tmp_path / name, "TURN secret")
