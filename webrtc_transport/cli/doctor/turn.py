"""Whether TURN servers give relays, by each way to them that there is."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from ...config import IceServer
from ...engine.turn_allocation import TurnCertificateRefused, TurnRefused, try_allocation
from ...errors import IceFailed
from ...protocol.ice_url import IceUrl, parse_ice_url
from .findings import Finding, Outcome, reason_of

_CURES = {
    "udp": "let UDP to it through the firewall, or use it over TCP or TLS",
    "tcp": "let TCP to it through the firewall, or enable TCP in the server",
    "tls": "let TCP to it through the firewall, or enable TLS in the server; port 443 gets through most firewalls",
}

_REFUSED_CURES = {
    "udp": "start the server, or check its port",
    "tcp": "start the server, check its port, or enable TCP in it; some firewalls refuse, too",
    "tls": "start the server, check its port, or enable TLS in it; some firewalls refuse, too",
}


@dataclass(frozen=True)
class Way:
    """A way to a TURN server."""

    url: IceUrl
    is_asked_for: bool
    """Whether the user has named it, or it is only what the server may offer besides."""

    @property
    def name(self) -> str:
        """``udp``, ``tcp`` or ``tls``: between here and the server."""
        return "tls" if self.url.secure else self.url.transport


def ways_to(text: str) -> list[Way]:
    """The ways that a URL stands for: without a transport, ``turn:`` is tried over UDP, TCP and TLS.

    :raises ConfigurationError: if it is none
    """
    url = parse_ice_url(text)
    asked = Way(url, True)
    if url.secure or "transport=" in text.lower():
        return [asked]
    host = f"[{url.host}]" if ":" in url.host else url.host
    return [
        asked,
        Way(parse_ice_url(f"turn:{host}:{url.port}?transport=tcp"), False),
        Way(parse_ice_url(f"turns:{host}"), False),
    ]


async def check_turn(servers: Sequence[IceServer], timeout: float) -> list[Finding]:  # noqa: ASYNC109
    """Allocate on all servers, over all ways, at once."""
    if not servers:
        return [Finding("TURN", Outcome.SKIPPED, "no TURN server is named", "name one: --turn turn:host")]
    return await asyncio.gather(
        *(
            _check_way(server, way, timeout)
            for server in servers
            for text in ([server.urls] if isinstance(server.urls, str) else server.urls)
            for way in ways_to(text)
        )
    )


async def _check_way(server: IceServer, way: Way, timeout: float) -> Finding:  # noqa: ASYNC109
    check = f"TURN over {way.name.upper()}"
    details: dict[str, str | int | float | bool] = {"url": str(way.url), "transport": way.name}
    # What nobody has asked for needn't be there.
    failed = Outcome.FAILED if way.is_asked_for else Outcome.WARNING
    started = time.perf_counter()
    try:
        async with asyncio.timeout(timeout):
            relay = await try_allocation(server, way.url)
    except TimeoutError:
        found, cure = f"no answer within {timeout:g} s", _CURES[way.name]
    except TurnRefused as exc:
        found, cure, failed = str(exc), _cure_of(exc), Outcome.FAILED
        details["code"] = exc.code
    except TurnCertificateRefused as exc:
        found, cure = (
            str(exc),
            "use the name that its certificate is for; for an own authority, set SSL_CERT_FILE",
        )
    except socket.gaierror as exc:
        found, cure = reason_of(exc), "check the name of the server"
    except ConnectionRefusedError as exc:
        found, cure = reason_of(exc), _REFUSED_CURES[way.name]
    except OSError as exc:
        found, cure = reason_of(exc), _CURES[way.name]
    except IceFailed as exc:
        found, cure = str(exc), _CURES[way.name]
    else:
        elapsed = (time.perf_counter() - started) * 1000
        details |= {"relay": f"{relay[0]} port {relay[1]}", "allocation_ms": elapsed}
        text = f"{way.url} gives the relay {details['relay']}, after {elapsed:.0f} ms"
        return Finding(check, Outcome.OK, text, details=details)
    return Finding(check, failed, f"{way.url}: {found}", cure, details)


def _cure_of(refusal: TurnRefused) -> str:
    if refusal.is_about_credentials:
        return "check --turn-user and --turn-password; credentials that a server makes expire"
    return "ask the operator of the server: it may be full, or not allow it to you"
