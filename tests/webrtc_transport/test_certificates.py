from __future__ import annotations

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from webrtc_transport.certificates import check_certificate, load_certificate, save_certificate
from webrtc_transport.errors import ConfigurationError, IdentityError
from webrtc_transport.files import write_private
from webrtc_transport.protocol.certificate import Certificate

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_a_certificate_survives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "dtls.pem"
    certificate = Certificate.generate(now=NOW)
    save_certificate(path, certificate)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_certificate(str(path)).fingerprint() == certificate.fingerprint()


def test_an_error_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "dtls.pem"
    path.write_bytes(b"nothing")
    with pytest.raises(IdentityError, match=r"dtls\.pem: .*private key"):
        load_certificate(path)


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_certificate(tmp_path / "dtls.pem")


def test_one_that_has_expired_is_not_shown() -> None:
    certificate = Certificate.generate(now=NOW)
    check_certificate(certificate, NOW)
    with pytest.raises(ConfigurationError, match="the configured certificate expired on 2026-01-31"):
        check_certificate(certificate, NOW + timedelta(days=31))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; save_certificate() writes a new one"),
        (b" \n", "the file is empty; save_certificate() writes a new one"),
        (b"nonsense", "there is no private key in PEM (-----BEGIN PRIVATE KEY-----)"),
    ],
)
def test_a_file_without_a_certificate_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "dtls.pem"
    write_private(path, content)
    with pytest.raises(IdentityError) as caught:
        load_certificate(path)
    assert str(caught.value) == f"{path}: {message}"


def test_a_key_without_its_certificate_says_so(tmp_path: Path) -> None:
    path = tmp_path / "dtls.pem"
    certificate = Certificate.generate(now=NOW)
    write_private(path, certificate.to_pem().partition(b"-----BEGIN CERTIFICATE-----")[0])
    with pytest.raises(IdentityError, match="there is a private key, and no certificate"):
        load_certificate(path)
