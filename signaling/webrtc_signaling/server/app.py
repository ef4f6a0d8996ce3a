"""The rendezvous server as an aiohttp application."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

from ..codec import Codec
from ..limits import MAX_BATCH_SIZE, MAX_MESSAGE_SIZE
from .admission import Admission
from .backplane import Backplane
from .connection import ClientConnection, check_room
from .hub import Hub
from .listening import listen_error
from .long_poll import LongPoll
from .neighbours import Neighbours
from .settings import ServerSettings

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")

_STATIC: Final = Path(__file__).with_name("static")
_TICK: Final = 0.25
"""Seconds between looks for registrations that have expired."""

_ACCEPT_TURNS: Final = 5
"""Turns of the loop until aiohttp knows of a connection that was accepted. It closes only those that it knows."""

_PAGE_HEADERS: Final = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    # The next two give the page clocks of 0.02 ms instead of 1 ms, by which it shows round trips.
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""The demo page runs nothing but its own scripts."""


class RendezvousService:
    """The request handlers, and what they share."""

    def __init__(self, settings: ServerSettings) -> None:
        self.hub = Hub(settings)
        self.cluster = None if settings.redis is None else _cluster(self.hub, settings.redis, settings.grace)
        """``None`` if this server is the only one."""
        self._settings = settings
        self._admission = Admission(
            max_total=settings.max_clients, max_per_address=settings.max_clients_per_address
        )
        self.long_poll = LongPoll(self.hub, settings, self._admission)

    async def index(self, request: web.Request) -> web.StreamResponse:
        """``/``: the demo page for people, the service for WebSockets."""
        if request.headers.get(hdrs.UPGRADE, "").lower() == "websocket":
            return await self.websocket(request)
        return web.FileResponse(_STATIC / "index.html")

    async def websocket(self, request: web.Request) -> web.WebSocketResponse:
        """``/ws``: one client."""
        self._check_subprotocols(request)
        address = request.remote or "unknown"
        check_room(self._admission, address)
        socket = web.WebSocketResponse(
            protocols=tuple(Codec),
            heartbeat=self._settings.heartbeat,
            max_msg_size=MAX_MESSAGE_SIZE,
            timeout=self._settings.close_timeout,
            # Decompression takes 300 KiB for each client; signals are short.
            compress=False,
        )
        self._admission.enter(address)
        try:
            await socket.prepare(request)
            # There is none if the client was gone before the server looked.
            if request.transport is not None:
                await ClientConnection(socket, request.transport, address, self.hub, self._settings).run()
        finally:
            self._admission.leave(address)
        return socket

    async def health(self, _request: web.Request) -> web.Response:
        """``/healthz``: whether the server runs, and for how many."""
        return web.json_response(
            {"status": "ok", "connections": self._admission.total, "registrations": len(self.hub)}
        )

    async def join(self, _app: web.Application) -> AsyncIterator[None]:
        """Be one of several servers, while the application runs.

        :raises ConnectionError: if what joins them can't be reached
        """
        if self.cluster is None:
            yield
        else:
            async with self.cluster.backplane.joined(self.cluster.neighbours):
                yield

    async def expire(self, _app: web.Application) -> AsyncIterator[None]:
        """Forget registrations in time, while the application runs."""

        async def tick() -> None:
            while True:
                await asyncio.sleep(_TICK)
                self.hub.expire(asyncio.get_running_loop().time())
                if self.cluster is not None:
                    self.cluster.neighbours.tick()

        task = asyncio.create_task(tick())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def shut_down(self, _app: web.Application) -> None:
        """Say goodbye to the clients; aiohttp waits for them to go."""
        self.hub.shut_down()

    @staticmethod
    def _check_subprotocols(request: web.Request) -> None:
        asked = {name.strip() for name in request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL, "").split(",")}
        if asked != {""} and asked.isdisjoint(Codec):
            raise web.HTTPBadRequest(text=f"use one of the subprotocols {', '.join(Codec)}\n")


@dataclass(frozen=True, slots=True)
class Cluster:
    """What makes the server one of several."""

    backplane: Backplane
    neighbours: Neighbours


def _cluster(hub: Hub, url: str, grace: float) -> Cluster:
    # The only one who needs the package.
    from .redis_backplane import RedisBackplane  # noqa: PLC0415

    backplane = RedisBackplane(url, grace=grace)
    return Cluster(backplane, Neighbours(hub, backplane, lambda: asyncio.get_running_loop().time()))


SERVICE: Final = web.AppKey("service", RendezvousService)


def create_app(settings: ServerSettings) -> web.Application:
    """The application, for a runner of your own; :func:`running_server` has one."""
    if settings.insecure:
        _logger.warning("--insecure: peer ids are accepted WITHOUT PROOF. Anybody can take anybody's place")
    service = RendezvousService(settings)
    app = web.Application(client_max_size=MAX_BATCH_SIZE)
    app[SERVICE] = service
    app.router.add_get("/", service.index)
    app.router.add_get("/ws", service.websocket)
    app.router.add_post("/poll", service.long_poll.post)
    app.router.add_get("/poll", service.long_poll.get)
    app.router.add_delete("/poll", service.long_poll.delete)
    app.router.add_get("/healthz", service.health)
    app.router.add_static("/static", _STATIC)
    app.on_response_prepare.append(_add_headers)
    app.cleanup_ctx.append(service.join)
    app.cleanup_ctx.append(service.expire)
    app.on_shutdown.append(service.shut_down)
    app.on_cleanup.append(service.long_poll.end_all)
    return app


@contextlib.asynccontextmanager
async def running_server(settings: ServerSettings) -> AsyncIterator[str]:
    """Serve while the context is open; gives the ``ws://`` URL.

    :raises OSError: if the address can't be listened on, or the cluster can't be joined
    """
    async with running_app(create_app(settings), settings) as url:
        yield url


@contextlib.asynccontextmanager
async def running_app(app: web.Application, settings: ServerSettings) -> AsyncIterator[str]:
    """The same for an application that was made before."""
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=settings.close_timeout + 1,
        # It bounds the time for the header of a request, too.
        keepalive_timeout=settings.register_timeout,
    )
    await runner.setup()
    assert runner.server is not None
    loop = asyncio.get_running_loop()
    try:
        try:
            listener = await loop.create_server(
                runner.server, settings.host, settings.port, reuse_port=settings.reuse_port or None
            )
        except OSError as exc:
            raise listen_error(exc, settings.host, settings.port) from None
        try:
            host, port = listener.sockets[0].getsockname()[:2]
            yield f"ws://[{host}]:{port}" if ":" in host else f"ws://{host}:{port}"
            # asyncio leaves connections open that it has accepted when the listener is closed, but not yet handed over.
            for sock in listener.sockets:
                loop.remove_reader(sock)
            for _ in range(_ACCEPT_TURNS):
                await asyncio.sleep(0)
        finally:
            listener.close()
    finally:
        await runner.cleanup()


async def _add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    for name, value in _PAGE_HEADERS.items():
        response.headers.setdefault(name, value)
