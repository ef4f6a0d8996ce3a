"""``webrtc-signaling health``: whether the server of this machine is well, for the health check of a container."""

from __future__ import annotations

import http.client
import ipaddress
import ssl
from typing import Final

import typer

from webrtc_transport.errors import ConfigurationError

from .options import settings_of
from .settings import ServerSettings

_TIMEOUT: Final = 2.0
"""Seconds for an answer: less than the three that the image gives the whole command."""


def health() -> None:
    """Ask the server of this machine whether it runs; ends with status 1 if not.

    It reads the variables and the settings file that the server reads, so it needs no options.
    """
    try:
        settings = settings_of({})
    except ConfigurationError as exc:
        typer.echo(f"error: {exc}", err=True)
        raise typer.Exit(2) from None
    address = f"{_host(settings.host)}:{settings.port}"
    try:
        status = _ask(settings)
    except (OSError, http.client.HTTPException) as exc:
        typer.echo(f"no answer from {address}: {exc}", err=True)
        raise typer.Exit(1) from None
    typer.echo(f"{address} answers with status {status}")
    raise typer.Exit(0 if status == http.client.OK else 1)


def _ask(settings: ServerSettings) -> int:
    """The status of the answer. No proxy is asked, whatever the variables say of one."""
    host = _host(settings.host)
    if settings.tls_certificate is None:
        connection = http.client.HTTPConnection(host, settings.port, timeout=_TIMEOUT)
    else:
        # The certificate is for another name than this machine's own address. Nothing secret is asked or told.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection(host, settings.port, timeout=_TIMEOUT, context=context)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status
    finally:
        connection.close()


def _host(listening: str) -> str:
    """Where a server is reached that listens there."""
    try:
        address = ipaddress.ip_address(listening)
    except ValueError:
        return listening
    if not address.is_unspecified:
        return listening
    return "127.0.0.1" if address.version == 4 else "::1"  # noqa: PLR2004 - of the protocol
