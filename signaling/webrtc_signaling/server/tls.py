"""TLS of the server's own, where no reverse proxy has it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from webrtc_transport.errors import ConfigurationError

_MAX_SIZE: Final = 1024 * 1024
"""Bytes of a file that are looked at; a chain of certificates has some 10,000."""


def server_context(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    """What TLS needs; ``None`` without a certificate.

    :param certificate: file in PEM: the server's certificate first, then those of its authorities
    :param key: file of its private key; ``None`` if that stands in the same file
    :raises ConfigurationError: if the files can't be used
    """
    if certificate is None:
        if key is not None:
            raise ConfigurationError("tls_key is set, and no tls_certificate; set both")
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    key_file = key or certificate
    if b"-----BEGIN CERTIFICATE" not in _read("tls_certificate", certificate):
        raise ConfigurationError(f"tls_certificate: {certificate} has no certificate in PEM")
    key_text = _read("tls_key", key_file)
    if b"PRIVATE KEY-----" not in key_text:
        raise ConfigurationError(f"tls_key: {key_file} has no private key in PEM; name the file that has it")
    if b"ENCRYPTED" in key_text:
        raise ConfigurationError(
            f"tls_key: the key in {key_file} is encrypted; `openssl pkey -in {key_file} -out plain.pem` decrypts it"
        )
    try:
        context.load_cert_chain(certificate, key)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            why = f"the key in {key_file} is of another certificate; name two files that belong together"
        else:
            why = f"{certificate}, or the key in {key_file}, is malformed ({exc.reason or exc})"
        raise ConfigurationError(f"tls_key: {why}") from None
    return context


def _read(name: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SIZE)
    except OSError as exc:
        why = (exc.strerror or str(exc)).lower()
        raise ConfigurationError(f"{name}: {path} can't be read: {why}") from None
