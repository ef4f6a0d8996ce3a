"""Servers for tests of any event loop: each runs in a thread, on a loop of its own."""

import asyncio
import contextlib
import threading

import anyio
from aiohttp import web

from webrtc_signaling.codec import Codec
from webrtc_signaling.server.app import SERVICE, create_app, running_app
from webrtc_signaling.server.connection import ClientConnection
from webrtc_signaling.server.long_poll import PollConnection
from webrtc_signaling.server.settings import ServerSettings


class AppThread:
    """Serves the application that ``make_app`` makes, on one port for as long as it lives."""

    def __init__(self, make_app, settings):
        self._make_app = make_app
        self._settings = settings
        self.url = None
        self.app = None
        self._thread = None
        self._loop = None
        self._stopped = None

    async def __aenter__(self):
        await self.start()
        return self

    async def __aexit__(self, *exc_info):
        with anyio.CancelScope(shield=True):
            await self.stop()

    async def start(self):
        """Listen, on the same port as before."""
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(ready)), name="test-server")
        self._thread.start()
        with anyio.CancelScope(shield=True):
            while not ready.is_set():
                assert self._thread.is_alive(), "the server did not start"
                await anyio.sleep(0.002)

    async def stop(self):
        """End in an orderly way."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(self._stopped.set)
            while self._thread.is_alive():
                await anyio.sleep(0.002)
            self._thread.join()
            self._thread = None

    async def call(self, func, *args):
        """Run a plain function on the server's loop."""
        done, results = threading.Event(), []

        def run():
            results.append(func(*args))
            done.set()

        self._loop.call_soon_threadsafe(run)
        while not done.is_set():
            await anyio.sleep(0.002)
        return results[0]

    async def _run(self, ready):
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        self.app = self._make_app(self._settings)
        async with running_app(self.app, self._settings) as self.url:
            port = int(self.url.rpartition(":")[2])
            self._settings = self._settings.model_copy(update={"port": port})
            ready.set()
            await self._stopped.wait()
        # asyncio closes the sockets of transports that were closed or aborted in the turn of the loop after that.
        await asyncio.sleep(0)
        await asyncio.sleep(0)


class SignalingServer(AppThread):
    """The rendezvous server; ``settings`` are fields of ``ServerSettings``."""

    def __init__(self, **settings):
        super().__init__(create_app, ServerSettings(**{"port": 0, "close_timeout": 0.5, **settings}))

    @property
    def hub(self):
        return self.app[SERVICE].hub

    async def cut(self):
        """Break every connection; the server goes on."""
        await self.call(self._cut)

    async def crash(self):
        """End without a word, as if killed."""
        await self.call(self._cut)
        await self.stop()

    @property
    def http_url(self):
        return self.url.replace("ws:", "http:")

    def _cut(self):
        for registration in list(self.hub.roster._registrations.values()):
            match registration.link:
                case ClientConnection() as link:
                    link._transport.abort()
                case PollConnection() as link:
                    link.end()


def signaling_server(**settings):
    """A rendezvous server on a free port of 127.0.0.1, as an async context manager."""
    return SignalingServer(**settings)


class PollingServer(SignalingServer):
    """One behind a proxy that lets no WebSocket through, but for those on /ws.

    ``mishap(request, handle)`` stands before the handler of each poll. With ``swallow``, WebSockets open, and nothing
    comes through.
    """

    def __init__(self, mishap=None, *, swallow=False, **settings):
        super().__init__(**settings)
        self._mishap = mishap
        self._swallow = swallow
        self._make_app = self._make_blocking_app

    @property
    def websocket_url(self):
        return f"{self.url}/ws"

    def _make_blocking_app(self, settings):
        @web.middleware
        async def block(request, handler):
            if request.path == "/" and "Upgrade" in request.headers:
                if not self._swallow:
                    raise web.HTTPForbidden(text="no WebSockets here\n")
                socket = web.WebSocketResponse()
                await socket.prepare(request)
                await socket.receive()
                return socket
            if request.path == "/poll" and self._mishap is not None:
                return await self._mishap(request, handler)
            return await handler(request)

        app = create_app(settings)
        app.middlewares.append(block)
        return app


def scripted_server(script, *, protocols=tuple(Codec), **socket_options):
    """Something else that answers: ``script`` is a coroutine function that gets each WebSocket."""

    async def handle(request):
        socket = web.WebSocketResponse(protocols=protocols, timeout=0.1, **socket_options)
        await socket.prepare(request)
        with contextlib.suppress(ConnectionError):
            await script(socket)
        return socket

    def make_app(_settings):
        app = web.Application()
        app.router.add_get("/", handle)
        return app

    return AppThread(make_app, ServerSettings(port=0, close_timeout=0.1))
