"""How the server is doing, as data: for the status page, and for programs."""

from __future__ import annotations

import asyncio
from collections import deque
from importlib.metadata import version
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from .hub import Hub
from .readiness import Readiness
from .settings import ServerSettings
from .supervision import guarded

HISTORY: Final = 300
"""Samples that are kept, one a second: five minutes, so that a plot has a past when the page is opened."""

Count = Annotated[int, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class Health(_Model):
    """The server runs."""

    status: str = Field(default="ok", pattern="^ok$")
    connections: Count
    """Of clients, registered or not."""
    registrations: Count
    """Of peers, connected or away."""


class ReadyState(_Model):
    """Whether new clients should come here."""

    ready: bool
    reasons: list[str]
    """Why not; empty if they should."""


class Sample(_Model):
    """The server at one time."""

    at: Seconds
    """Since the server began."""
    peers: Count
    """That are connected."""
    messages: Count
    """Signals that were routed since the server began."""
    failures: Count
    """Errors that clients were told since the server began."""


class Latencies(_Model):
    """Times from the arrival of a signal at this server to its first transmission, to its recipient or the recipient's
    server. The way between two servers isn't in them."""

    bounds: list[Seconds]
    counts: list[Count]
    """How many were up to each bound and above the one before it; the last count is of those beyond all."""


class Status(_Model):
    """How the server is doing."""

    version: str
    uptime: Seconds
    readiness: ReadyState
    peers: Count
    """That are connected."""
    away: Count
    """Peers that lost their connection, and for which signals are kept."""
    max_clients: Count
    sessions: Count
    """That clients of this server began, and that haven't ended."""
    connections: dict[str, Count]
    """That are open, by wire."""
    messages: dict[str, Count]
    """Signals that were routed since the server began, by type."""
    failures: dict[str, Count]
    """Errors that clients were told since the server began, by code."""
    queued_bytes: Count
    """That wait for clients."""
    max_queued_bytes: Count
    latency: Latencies
    history: list[Sample]
    """One a second; the oldest first."""


class StatusReporter:
    """Knows how the server is doing, and how it was in the last minutes."""

    def __init__(self, hub: Hub, readiness: Readiness, settings: ServerSettings) -> None:
        self._hub = hub
        self._readiness = readiness
        self._settings = settings
        self._began_at: float | None = None
        self._history: deque[Sample] = deque(maxlen=HISTORY)

    async def sample(self) -> None:
        """Take a sample each second, until cancelled."""
        self._began_at = asyncio.get_running_loop().time()
        while True:
            with guarded("take a sample for the status page"):
                self._history.append(self._now())
            await asyncio.sleep(1)

    def ready_state(self) -> ReadyState:
        """Whether new clients should come."""
        reasons = self._readiness.reasons()
        return ReadyState(ready=not reasons, reasons=reasons)

    def status(self) -> Status:
        """Everything, now."""
        hub, statistics = self._hub, self._hub.journal.statistics
        now = self._now()
        return Status(
            version=version("webrtc-transport"),
            uptime=now.at,
            readiness=self.ready_state(),
            peers=now.peers,
            away=hub.away,
            max_clients=self._settings.max_clients,
            sessions=hub.sessions,
            connections=statistics.connections(),
            messages=dict(statistics.routed),
            failures=dict(statistics.failures),
            queued_bytes=hub.queued_bytes,
            max_queued_bytes=self._settings.max_total_queued_bytes,
            latency=Latencies(bounds=list(statistics.latency.bounds), counts=list(statistics.latency.counts)),
            history=list(self._history),
        )

    def _now(self) -> Sample:
        statistics = self._hub.journal.statistics
        now = asyncio.get_running_loop().time()
        return Sample(
            at=0.0 if self._began_at is None else now - self._began_at,
            peers=len(self._hub) - self._hub.away,
            messages=statistics.routed.total(),
            failures=statistics.failures.total(),
        )
