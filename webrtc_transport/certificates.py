"""DTLS certificates in files."""

from __future__ import annotations

import os
from datetime import datetime

from .arguments import check_type
from .errors import ConfigurationError, IdentityError
from .files import read_private, write_private
from .protocol.certificate import Certificate


def load_certificate(path: str | os.PathLike[str]) -> Certificate:
    """Read a PEM file with a certificate and its unencrypted private key.

    An expired one is read too: :meth:`~webrtc_transport.protocol.certificate.Certificate.is_expired` tells. A warning
    is logged if others than its owner can read the file.

    :raises IdentityError: if a part is missing or malformed, the curve isn't P-256, or the two don't belong together
    :raises OSError: if the file can't be read
    """
    content = read_private(path)
    if not content.strip():
        raise IdentityError(f"{os.fspath(path)}: the file is empty; save_certificate() writes a new one")
    try:
        return Certificate.from_pem(content)
    except IdentityError as exc:
        raise IdentityError(f"{os.fspath(path)}: {exc}") from None


def check_certificate(certificate: Certificate, now: datetime) -> None:
    """Check that a certificate can be shown.

    :raises ConfigurationError: if it has expired
    """
    if certificate.is_expired(now):
        until = f"{certificate.not_valid_after:%Y-%m-%d %H:%M} UTC"
        raise ConfigurationError(
            f"the configured certificate expired on {until}; make a new one, or leave it to the transport"
        )


def save_certificate(path: str | os.PathLike[str], certificate: Certificate) -> None:
    """Write the certificate and its private key, in PEM, to a file that only its owner can read.

    :raises OSError: if it can't be written
    """
    check_type("certificate", certificate, Certificate, "Certificate.generate(now=…) makes one")
    write_private(path, certificate.to_pem())
