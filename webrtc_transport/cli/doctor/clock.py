"""Whether this machine's clock agrees with the signaling server's, by the Date of an HTTP answer (RFC 9110, 6.6.1)."""

from __future__ import annotations

import asyncio
import ssl
import time
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import SplitResult, urlsplit

from ...config import TransportConfig
from ...engine.resolver import resolve
from .findings import Finding, Outcome, reason_of

CHECK = "clock"

NOTICEABLE: Final = 30.0
"""Seconds: a clock that is set by NTP is never so far off."""

_MAX_HEADERS: Final = 16 * 1024
"""Bytes of an answer's headers."""

_RESOLUTION: Final = 1.0
"""Seconds: a Date has no fractions."""


async def check_clock(url: str) -> list[Finding]:
    """Compare the clocks; a description that is signed with a wrong time is refused."""
    parts = urlsplit(url)
    if parts.scheme not in ("ws", "wss", "http", "https") or not parts.hostname:
        return [Finding(CHECK, Outcome.SKIPPED, f"{parts.scheme}:// tells no time")]
    try:
        before = time.time()
        date = await _ask_date(parts)
        after = time.time()
    except OSError as exc:
        return [Finding(CHECK, Outcome.SKIPPED, f"the server tells no time: {reason_of(exc)}")]
    except (ValueError, EOFError, asyncio.LimitOverrunError) as exc:
        return [Finding(CHECK, Outcome.SKIPPED, f"the server tells no time: {exc}")]
    # The date was cut down to whole seconds.
    return [_judge((before + after) / 2 - (date + _RESOLUTION / 2), after - before)]


def _judge(skew: float, uncertainty: float) -> Finding:
    allowed = float(TransportConfig.model_fields["proof_max_age"].default)
    details: dict[str, str | int | float | bool] = {"skew_seconds": skew}
    if abs(skew) <= _RESOLUTION + uncertainty:
        return Finding(CHECK, Outcome.OK, "as the signaling server's, to a second", details=details)
    text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the signaling server's"
    if abs(skew) < NOTICEABLE:
        return Finding(CHECK, Outcome.OK, text, details=details)
    cure = "set the clock: timedatectl set-ntp true (if it is right, tell the operator of the server)"
    if abs(skew) < allowed:
        return Finding(CHECK, Outcome.WARNING, text, cure, details)
    return Finding(CHECK, Outcome.FAILED, f"{text}; peers refuse more than {allowed:g} s", cure, details)


async def _ask_date(parts: SplitResult) -> float:
    """The server's time, in seconds since 1970.

    :raises ValueError: if it isn't told
    """
    secure = parts.scheme in ("wss", "https")
    context = ssl.create_default_context() if secure else None
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    address = (await resolve(host, port))[0][1]
    reader, writer = await asyncio.open_connection(
        address, port, ssl=context, server_hostname=host if secure else None, limit=_MAX_HEADERS
    )
    try:
        lines = (
            f"GET {parts.path or '/'} HTTP/1.1",
            f"Host: {parts.netloc.rpartition('@')[2]}",
            "Connection: close",
        )
        writer.write("".join(f"{line}\r\n" for line in (*lines, "")).encode())
        headers = await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.transport.abort()
    for line in headers.decode("latin-1").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.strip().lower() == "date":
            return parsedate_to_datetime(value.strip()).timestamp()
    raise ValueError("its answer has no Date")
