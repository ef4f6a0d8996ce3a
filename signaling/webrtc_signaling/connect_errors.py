"""Why there is no connection to a server, in words, and what helps."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from webrtc_transport.errors import describe

_SYSTEM_CURES: Final[Mapping[int, str]] = {
    errno.ECONNREFUSED: "is the server running there?",
    errno.ECONNRESET: "check the port and the scheme, and firewalls between",
    errno.EHOSTUNREACH: "check the address, and this machine's network",
    errno.ENETUNREACH: "check the address, and this machine's network",
}

NO_POLLS: Final = "; a web server answers there, and no signaling server: check host, port and path"
"""Of an answer to a poll."""

_NOT_THERE: Final = (
    "a web server answers there, and no signaling server: check host, port and path, and whether a proxy in front "
    "passes WebSockets on"
)

_STATUS_CURES: Final[Mapping[int, str]] = {
    HTTPStatus.UNAUTHORIZED: "a proxy in front wants to know who you are",
    HTTPStatus.FORBIDDEN: "a proxy in front refuses the WebSocket",
    HTTPStatus.TOO_MANY_REQUESTS: "it takes no more clients from this address; try again later",
    HTTPStatus.BAD_GATEWAY: "the proxy there doesn't reach the signaling server: is that running?",
    HTTPStatus.SERVICE_UNAVAILABLE: "it takes no more clients, or isn't running behind its proxy; try again later",
    HTTPStatus.GATEWAY_TIMEOUT: "the proxy there doesn't reach the signaling server: is that running?",
}

_NOT_OF_THE_UPGRADE: Final = frozenset(_STATUS_CURES) - {HTTPStatus.FORBIDDEN}
"""Statuses that say what is wrong, and would say it to a poll as well."""

_NO_TLS: Final = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
)
"""What OpenSSL says of an answer that is no record of TLS. Whoever sends an alert does speak it."""

_HANGS_UP_IN_TLS: Final = "it hangs up during the TLS handshake; check the port, and whether it speaks TLS"


def connect_reason(error: Exception, url: str) -> str:
    """What went wrong on the way to ``url``; ``error`` is one of aiohttp's or of the system's, or says it itself."""
    scheme = urlsplit(url).scheme
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _certificate_reason(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        return _system_reason(error.os_error, scheme)
    if isinstance(error, aiohttp.ClientResponseError):
        return _answer_reason(error, scheme)
    if isinstance(error, aiohttp.InvalidURL):
        # Its text is the URL, with what is secret in it.
        return "its URL, or the one that it redirects to, is malformed"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return f"it hangs up without an answer; check the port{_other_scheme(scheme)}"
    return _system_reason(error, scheme) if isinstance(error, OSError) else describe(error)


def _answer_reason(error: aiohttp.ClientResponseError, scheme: str) -> str:
    if isinstance(error, aiohttp.WSServerHandshakeError):
        cure = _STATUS_CURES.get(error.status, _NOT_THERE)
        return f"HTTP status {error.status}; {cure}{_polls_instead(error.status, scheme)}"
    if isinstance(error, aiohttp.TooManyRedirects):
        return f"it only redirects; {_NOT_THERE}"
    return "what answers there speaks no HTTP; check the port"


def _system_reason(error: OSError, scheme: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _certificate_reason(error)
    if isinstance(error, ssl.SSLError):
        return _tls_reason(error, scheme)
    if isinstance(error, socket.gaierror):
        return f"the host can't be found ({error.strerror}); check its name, and this machine's network"
    if not error.errno:
        # asyncio raises it bare when the other end closes before TLS is set up.
        is_bare_reset = isinstance(error, ConnectionResetError) and not str(error)
        return _HANGS_UP_IN_TLS if is_bare_reset and _is_secure(scheme) else describe(error)
    cure = _SYSTEM_CURES.get(error.errno, "")
    return f"{os.strerror(error.errno).lower()}{cure and '; '}{cure}"


def _tls_reason(error: ssl.SSLError, scheme: str) -> str:
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return _HANGS_UP_IN_TLS
    if error.reason in _NO_TLS:
        plain = scheme.removesuffix("s")
        return f"what answers there speaks no TLS ({error.reason}); write {plain}:// in place of {scheme}://"
    return f"the TLS handshake failed ({error.reason or describe(error)})"


def _certificate_reason(error: Exception) -> str:
    why = error.verify_message if isinstance(error, ssl.SSLCertVerificationError) else str(error)
    return (
        f"its TLS certificate isn't trusted here ({why}); give the server one by an authority that this machine knows, "
        "or name its authority's file: RendezvousServer(url, ssl=ssl.create_default_context(cafile=…)) takes it, or "
        "put it in the environment variable SSL_CERT_FILE"
    )


def _polls_instead(status: int, scheme: str) -> str:
    if status in _NOT_OF_THE_UPGRADE or not scheme.startswith("ws"):
        return ""
    return f"; write {scheme.replace('ws', 'http')}:// in place of {scheme}:// to poll, if only WebSockets are refused"


def _other_scheme(scheme: str) -> str:
    return "" if _is_secure(scheme) else f", and write {scheme}s:// if the server speaks TLS"


def _is_secure(scheme: str) -> bool:
    return scheme in ("wss", "https")
