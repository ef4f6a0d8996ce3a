"""The rendezvous server as an aiohttp application."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from aiohttp import web

from ..batch import CONTENT_TYPE
from ..limits import MAX_BATCH_SIZE
from .access import Access
from .admission import Admission, Rates
from .backplane import Backplane
from .client_address import ClientAddresses
from .connection import check_room
from .hub import Hub
from .listening import listen_error
from .long_poll import LongPoll
from .neighbours import Neighbours
from .origins import POLL_PATH, Origins
from .probes import Probes
from .readiness import Readiness
from .settings import ServerSettings
from .sockets import CountedProtocol, SocketCount
from .supervision import guarded
from .tls import server_context
from .turn_credentials import TurnCredentials
from .websocket_handshake import answer_handshake, asks_for_websocket
from .websockets import WebSockets

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
        turn = TurnCredentials.of(settings)
        issue = None if turn is None else lambda peer, until: turn.make(peer, time.time(), until=until)
        self.hub = Hub(settings, ice_servers=issue)
        self.cluster = None if settings.redis is None else _cluster(self.hub, settings.redis, settings.grace)
        """``None`` if this server is the only one."""
        self.origins = Origins(settings.allowed_origins)
        self.addresses = ClientAddresses(settings.trusted_proxies)
        self._access = Access(settings)
        self._settings = settings
        self._admission = Admission(
            max_total=settings.max_clients,
            max_per_address=settings.max_clients_per_address,
            rates=Rates(
                settings.max_connections_per_second_per_address,
                settings.max_connection_burst_per_address or 2 * settings.max_clients_per_address,
            ),
        )
        self.long_poll = LongPoll(
            self.hub,
            settings,
            self._admission,
            access=self._access,
            addresses=self.addresses,
            origins=self.origins,
        )
        self.websockets = WebSockets(self.hub, settings, self._admission, access=self._access)
        self.readiness = Readiness()
        if self.cluster is not None:
            self.readiness.checks.append(self.cluster.backplane.fault)
        self.probes = Probes(self.hub, self._admission, self.readiness, settings)

    async def index(self, request: web.Request) -> web.StreamResponse:
        """``/``: the demo page for people, the service for WebSockets."""
        if asks_for_websocket(request):
            return await self.websocket(request)
        return web.FileResponse(_STATIC / "index.html")

    async def status_page(self, _request: web.Request) -> web.FileResponse:
        """``/status``: how the server is doing, for people."""
        return web.FileResponse(_STATIC / "status.html")

    async def websocket(self, request: web.Request) -> web.StreamResponse:
        """``/ws``: one client."""
        self.websockets.check_open()
        self.origins.check(request)
        address = self.addresses.of_request(request)
        check_room(self._admission, address)
        self.websockets.take_over(request.protocol, await answer_handshake(request), address)
        # It goes nowhere: the connection is lost for aiohttp.
        return web.Response()

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
                now = asyncio.get_running_loop().time()
                with guarded("end registrations that have expired"):
                    self.hub.expire(now)
                with guarded("look after its WebSockets"):
                    self.websockets.look_after(now)
                if self.cluster is not None:
                    with guarded("look after what goes to other servers"):
                        self.cluster.neighbours.tick()

        task = asyncio.create_task(tick())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def shut_down(self, _app: web.Application) -> None:
        """Say goodbye to the clients; aiohttp waits for those that poll to go."""
        self.readiness.end()
        self.hub.shut_down()

    async def end_websockets(self, _app: web.Application) -> None:
        """Wait for the others, which aiohttp doesn't know any more."""
        await self.websockets.end_all()


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
    """The application, for a runner of your own; :func:`running_server` has one.

    :raises ConfigurationError: if a key or a secret can't be read, or the settings don't fit together
    """
    if settings.insecure:
        _logger.warning("--insecure: peer ids are accepted WITHOUT PROOF. Anybody can take anybody's place")
    service = RendezvousService(settings)
    app = web.Application(client_max_size=MAX_BATCH_SIZE)
    app[SERVICE] = service
    app.router.add_get("/", service.index)
    app.router.add_get("/ws", service.websocket, allow_head=False)
    app.router.add_post(POLL_PATH, service.long_poll.post)
    app.router.add_get(POLL_PATH, service.long_poll.get)
    app.router.add_delete(POLL_PATH, service.long_poll.delete)
    app.router.add_route("OPTIONS", POLL_PATH, service.origins.preflight)
    app.router.add_get("/status", service.status_page)
    service.probes.add_to(app)
    app.router.add_static("/static", _STATIC)
    app.on_response_prepare.append(_add_headers)
    app.on_response_prepare.append(service.origins.add_headers)
    app.cleanup_ctx.append(service.join)
    app.cleanup_ctx.append(service.expire)
    app.on_shutdown.append(service.shut_down)
    app.on_shutdown.append(service.end_websockets)
    app.on_cleanup.append(service.long_poll.end_all)
    return app


@contextlib.asynccontextmanager
async def running_server(settings: ServerSettings) -> AsyncIterator[str]:
    """Serve while the context is open; gives the ``ws://`` URL, or ``wss://`` with a certificate.

    :raises OSError: if the address can't be listened on, or the cluster can't be joined
    :raises ConfigurationError: if a key, a secret or a certificate can't be used
    """
    async with running_app(create_app(settings), settings) as url:
        yield url


@contextlib.asynccontextmanager
async def running_app(app: web.Application, settings: ServerSettings) -> AsyncIterator[str]:
    """The same for an application that was made before."""
    tls = server_context(settings.tls_certificate, settings.tls_key)
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=settings.close_timeout + 1,
        # It bounds the time for the header of a request, too.
        keepalive_timeout=settings.register_timeout,
    )
    await runner.setup()
    assert runner.server is not None
    sockets = SocketCount(
        settings.max_sockets_per_address or 4 * settings.max_clients_per_address,
        ClientAddresses(settings.trusted_proxies),
    )
    loop = asyncio.get_running_loop()
    try:
        try:
            listener = await loop.create_server(
                partial(CountedProtocol, runner.server, sockets),
                settings.host,
                settings.port,
                reuse_port=settings.reuse_port or None,
                ssl=tls,
                # A client that begins TLS and says no more holds a descriptor for no longer than any other.
                ssl_handshake_timeout=settings.register_timeout if tls else None,
                ssl_shutdown_timeout=settings.close_timeout if tls else None,
            )
        except OSError as exc:
            raise listen_error(exc, settings.host, settings.port) from None
        try:
            host, port = listener.sockets[0].getsockname()[:2]
            scheme = "ws" if tls is None else "wss"
            yield f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
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
    # Polls show nothing, and each keeps the headers of its last response.
    if response.content_type == CONTENT_TYPE:
        return
    for name, value in _PAGE_HEADERS.items():
        response.headers.setdefault(name, value)
