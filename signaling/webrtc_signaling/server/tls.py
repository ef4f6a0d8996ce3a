"""TLS of the server's own, where no reverse proxy has it."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

from webrtc_transport.errors import ConfigurationError

_CURES: Final = {
    "KEY_VALUES_MISMATCH": "the key in {key} is of another certificate; name the two files that belong together",
    "BAD_DECRYPT": "the key in {key} is encrypted; `openssl pkey -in {key} -out plain.pem` writes it in plain text",
    "NO_START_LINE": "no certificate, or no key, in PEM is in there; name the files of both, each in PEM",
}


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
    for name, path in (("tls_certificate", certificate), ("tls_key", key)):
        _check_readable(name, path)
    try:
        # An empty password, lest OpenSSL asks for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except (ssl.SSLError, ValueError) as exc:
        raise ConfigurationError(_fault(exc, certificate, key)) from None
    return context


def _check_readable(name: str, path: Path | None) -> None:
    if path is None:
        return
    try:
        with path.open("rb"):
            pass
    except OSError as exc:
        why = (exc.strerror or str(exc)).lower()
        raise ConfigurationError(f"{name}: {path} can't be read: {why}") from None


def _fault(error: Exception, certificate: Path, key: Path | None) -> str:
    reason = (error.reason if isinstance(error, ssl.SSLError) else None) or "NO_START_LINE"
    cure = _CURES.get(reason, _CURES["NO_START_LINE"] if "PEM" in str(error) else "name files in PEM")
    where = f"{certificate}" if key is None else f"{certificate} and {key}"
    return (
        f"tls_certificate, tls_key: {where} can't be used ({reason}): {cure.format(key=key or certificate)}"
    )
