"""What operators and their programs ask the server: is it there, is it ready, how is it doing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from aiohttp import hdrs, web
from pydantic import BaseModel

from .admission import Admission
from .hub import Hub
from .openapi import description
from .operator_access import OperatorAccess
from .readiness import Readiness
from .settings import ServerSettings
from .status import Health, StatusReporter

_NO_METRICS: Final = "metrics need prometheus_client: pip install 'webrtc-transport[metrics]'\n"


class Probes:
    """The handlers of these requests."""

    def __init__(
        self, hub: Hub, admission: Admission, readiness: Readiness, settings: ServerSettings
    ) -> None:
        self._hub = hub
        self._admission = admission
        self._readiness = readiness
        self._settings = settings
        self._reporter = StatusReporter(hub, readiness, settings)
        self._operators = OperatorAccess(settings.operator_token)

    def add_to(self, app: web.Application) -> None:
        """Add the routes, and what has to run for them."""
        app.router.add_get("/healthz", self.health)
        app.router.add_get("/readyz", self.ready)
        app.router.add_get("/metrics", self.metrics)
        app.router.add_get("/status.json", self.status)
        app.router.add_get("/openapi.json", self.openapi)
        app.cleanup_ctx.append(self._sample)
        app.on_response_prepare.append(self._count)

    async def health(self, _request: web.Request) -> web.Response:
        """``/healthz``: whether the server runs, and for how many."""
        return _json(Health(connections=self._admission.total, registrations=len(self._hub)))

    async def ready(self, _request: web.Request) -> web.Response:
        """``/readyz``: whether new clients should come; if not, with status 503."""
        state = self._reporter.ready_state()
        return _json(state, status=200 if state.ready else 503)

    async def metrics(self, request: web.Request) -> web.Response:
        """``/metrics``: for Prometheus."""
        self._operators.check(request)
        try:
            from .metrics import CONTENT_TYPE, Exposition  # noqa: PLC0415 - of an extra that may be missing
        except ModuleNotFoundError:
            raise web.HTTPNotFound(text=_NO_METRICS) from None
        exposition = Exposition(self._hub, self._readiness, self._settings)
        return web.Response(body=exposition.text(), headers={hdrs.CONTENT_TYPE: CONTENT_TYPE, **_FRESH})

    async def status(self, request: web.Request) -> web.Response:
        """``/status.json``: how the server is doing."""
        self._operators.check(request)
        return _json(self._reporter.status())

    async def openapi(self, _request: web.Request) -> web.Response:
        """``/openapi.json``: the description of all this."""
        return web.json_response(description())

    async def _sample(self, _app: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(self._reporter.sample())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _count(self, _request: web.Request, response: web.StreamResponse) -> None:
        self._hub.journal.statistics.responses[response.status] += 1


_FRESH: Final = {hdrs.CACHE_CONTROL: "no-store"}


def _json(model: BaseModel, *, status: int = 200) -> web.Response:
    return web.Response(
        text=model.model_dump_json(), content_type="application/json", status=status, headers=_FRESH
    )
