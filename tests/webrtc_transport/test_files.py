from __future__ import annotations

import errno
import os
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.logs import own_records
from webrtc_transport.certificates import load_certificate, save_certificate
from webrtc_transport.files import read_private, write_private
from webrtc_transport.identity import Identity
from webrtc_transport.protocol.certificate import Certificate


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("overwrite", [True, False])
def test_only_the_owner_can_read_it(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / "key"
    old = os.umask(0)
    try:
        write_private(path, b"secret", overwrite=overwrite)
    finally:
        os.umask(old)
    assert path.read_bytes() == b"secret"
    assert mode_of(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_a_readable_file_is_replaced_by_a_private_one(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"old")
    path.chmod(0o644)
    write_private(str(path), b"new")
    assert path.read_bytes() == b"new"
    assert mode_of(path) == 0o600


def test_without_overwrite_the_first_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "key"
    write_private(path, b"first", overwrite=False)
    with pytest.raises(FileExistsError) as caught:
        write_private(path, b"second", overwrite=False)
    assert str(caught.value).endswith(f"the file exists already, and is left as it is: {str(path)!r}")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP])
def test_file_systems_without_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(path: Path, target: Path) -> None:
        raise OSError(code, os.strerror(code), str(target), None, str(path))

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    path = tmp_path / "key"
    write_private(path, b"first", overwrite=False)
    with pytest.raises(FileExistsError, match="left as it is"):
        write_private(path, b"second", overwrite=False)
    assert path.read_bytes() == b"first"
    assert mode_of(path) == 0o600
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("overwrite", [True, False])
def test_an_error_names_the_file_and_no_temporary_one(tmp_path: Path, overwrite: bool) -> None:
    path = tmp_path / "key"
    path.mkdir()
    with pytest.raises(OSError) as caught:  # noqa: PT011 - systems have different ones for it
        write_private(path, b"second", overwrite=overwrite)
    assert str(caught.value).endswith(f": {str(path)!r}")
    assert ".key." not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"old")

    def disk_full(descriptor: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", disk_full)
    with pytest.raises(OSError, match="disk full"):
        write_private(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_the_callers_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_private(tmp_path / "missing" / "key", b"")


def test_a_bare_file_name_is_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_private("key", b"secret")
    assert (tmp_path / "key").read_bytes() == b"secret"


def test_a_directory_that_isnt_there_is_told_by_the_name_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "key"
    with pytest.raises(FileNotFoundError) as caught:
        write_private(path, b"secret")
    assert caught.value.filename == str(path)
    assert f"the directory {path.parent} has to exist and be writable" in str(caught.value)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o604, 0o644])
def test_who_lets_others_read_a_key_is_warned(
    tmp_path: Path, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"secret")
    path.chmod(mode)
    assert read_private(path) == b"secret"
    warnings = [record.getMessage() for record in own_records(caplog)]
    if mode & 0o077:
        assert warnings == [
            f"{path} is read as a secret, and has mode {mode:04o}, so others can use it; run: chmod 600 {path}"
        ]
    else:
        assert warnings == []


def test_the_keys_of_identities_and_certificates_are_looked_at(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    identity, certificate = tmp_path / "identity", tmp_path / "certificate"
    Identity.generate().save(identity)
    save_certificate(certificate, Certificate.generate(now=datetime.now(UTC)))
    for path in (identity, certificate):
        path.chmod(0o644)
    Identity.load(identity)
    load_certificate(certificate)
    assert caplog.text.count("chmod 600") == 2
