"""What a check finds."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum

from ...errors import describe


class Outcome(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    """It works, or isn't needed for most; there is something to know."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """There was nothing to check, or no way to."""


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    check: str
    """What was checked, for people."""
    outcome: Outcome
    found: str
    cure: str = ""
    """What to do about it."""
    details: dict[str, str | int | float | bool] = field(default_factory=dict)
    """For programs. Times are milliseconds, or seconds if the name says so."""


def reason_of(error: OSError) -> str:
    """Why something could not be reached, in words for people."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused: nobody listens there"
    if isinstance(error, socket.gaierror):
        return "there is no machine of that name"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate isn't accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return "there is no TLS as we know it: is it a port for TLS?"
    return error.strerror or str(error)


Check = Callable[[], Awaitable[list[Finding]]]


async def bounded(name: str, timeout: float, cure: str, check: Check) -> list[Finding]:  # noqa: ASYNC109
    """What ``check`` finds; that it takes more than ``timeout`` seconds, or breaks, is a finding too."""
    try:
        async with asyncio.timeout(timeout):
            return await check()
    except TimeoutError:
        return [Finding(name, Outcome.FAILED, f"no answer within {timeout:g} s", cure)]
    except Exception as exc:  # noqa: BLE001 - one check that breaks must not take the others with it
        return [Finding(name, Outcome.FAILED, f"{type(exc).__name__}: {describe(exc)}", cure)]
