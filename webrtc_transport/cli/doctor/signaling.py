"""Whether peers can meet: two fresh identities register with the signaling service, and one calls the other."""

from __future__ import annotations

import contextlib
import time

import anyio

from ...abc import SignalingContext, SignalingSession
from ...config import TransportConfig
from ...errors import PluginError, SignalingError, describe
from ...identity import Identity
from ...portal import open_portal
from ...protocol.signals import Bye, ByeData, DescriptionData, Offer
from ...redaction import redacted
from ...task_group import bare_task_group
from ...transport import make_backend
from .findings import Finding, Outcome

CHECK = "signaling"


async def check_signaling(url: str) -> list[Finding]:
    """Register twice with ``url``, and measure how long a signal takes from one to the other."""
    try:
        return [await _meet(url)]
    except PluginError as exc:
        return [
            Finding(
                CHECK, Outcome.FAILED, f"{redacted(url)}: {describe(exc)}", "use a URL like wss://host:port"
            )
        ]
    except SignalingError as exc:
        cure = "check the URL; is the server running, and does the firewall let you reach it?"
        return [Finding(CHECK, Outcome.FAILED, describe(exc), cure)]


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
