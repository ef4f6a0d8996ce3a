"""Whether peers can meet: two fresh identities register with the signaling service, and one calls the other."""

from __future__ import annotations

import contextlib
import time
from typing import Final

import anyio

from ...abc import SignalingContext, SignalingSession
from ...config import TransportConfig
from ...errors import ConfigurationError, PluginError, SignalingError, SignalingRejected, describe
from ...identity import Identity
from ...portal import open_portal
from ...protocol.signals import Bye, ByeData, DescriptionData, Offer
from ...redaction import redacted
from ...task_group import bare_task_group
from ...transport import make_backend
from ..ice_options import TOKEN_CODES
from .findings import Finding, Outcome

CHECK = "signaling"

_USUAL_URL: Final = "use a URL like wss://host:port"
_UNREACHABLE: Final = "check the URL; is the server running, and does the firewall let you reach it?"
_REFUSED: Final = "the server is there, and refuses this machine: its operator's log says more"
_UNADMITTED: Final = "give a token that the server's operator has made for you: --token"


async def check_signaling(url: str) -> list[Finding]:
    """Register twice with ``url``, and measure how long a signal takes from one to the other."""
    try:
        return [await _meet(url)]
    except PluginError as exc:
        found, cure = f"{redacted(url)}: {describe(exc)}", _USUAL_URL
    except ConfigurationError as exc:
        found, cure = describe(exc), _USUAL_URL
    except SignalingRejected as exc:
        found, cure = describe(exc), _UNADMITTED if exc.code in TOKEN_CODES else _REFUSED
    except SignalingError as exc:
        found, cure = describe(exc), _UNREACHABLE
    return [Finding(CHECK, Outcome.FAILED, found, cure)]


async def _meet(url: str) -> Finding:
    arrived = anyio.Event()

    async def take(session: SignalingSession) -> None:
        async with session:
            await session.receive()
            arrived.set()

    config = TransportConfig()
    async with open_portal() as portal:
        alice, bob = Identity.generate(), Identity.generate()
        async with (
            make_backend(url, SignalingContext(alice, config, portal)) as listening,
            make_backend(url, SignalingContext(bob, config, portal)) as dialing,
            bare_task_group() as task_group,
        ):
            started = time.perf_counter()
            await task_group.start(listening.serve, take)
            registered = time.perf_counter()
            async with await dialing.connect(alice.peer_id) as session:
                task_group.start_soon(_watch, session)
                sent = time.perf_counter()
                await session.send(Offer(data=DescriptionData(type="offer", sdp="")))
                await arrived.wait()
                trip = time.perf_counter() - sent
                await session.send(Bye(data=ByeData(reason="the check is over")))
            task_group.cancel_scope.cancel()
    registration, trip = (registered - started) * 1000, trip * 1000
    shown = redacted(url)
    text = f"{shown}: registered in {registration:.0f} ms; a signal arrives after {trip:.0f} ms"
    details: dict[str, str | int | float | bool] = {
        "url": shown,
        "registration_ms": registration,
        "trip_ms": trip,
    }
    return Finding(CHECK, Outcome.OK, text, details=details)


async def _watch(session: SignalingSession) -> None:
    """Whether the service says that the offer can't be delivered: then that is raised."""
    with contextlib.suppress(anyio.EndOfStream, anyio.ClosedResourceError):
        await session.receive()
