"""A real rendezvous server for tests of any event loop: it runs in a thread, on a loop of its own."""

import asyncio
import contextlib
import threading

import anyio

from webrtc_signaling.server.app import SERVICE, create_app, running_app
from webrtc_signaling.server.settings import ServerSettings


class SignalingServer:
    """Use it as an async context manager, or by :func:`signaling_server`."""

    def __init__(self, **settings):
        self._settings = {"port": 0, "close_timeout": 0.5, **settings}
        self.url = None
        self.service = None
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

    async def crash(self):
        """End without a word, as if killed."""
        await self.call(self._abort_all)
        await self.stop()

    async def cut(self):
        """Break every connection; the server goes on."""
        await self.call(self._abort_all)

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

    def _abort_all(self):
        for registration in self.service.hub._registrations.values():
            if registration.link is not None:
                registration.link._transport.abort()

    async def _run(self, ready):
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        settings = ServerSettings(**self._settings)
        app = create_app(settings)
        async with running_app(app, settings) as self.url:
            self.service = app[SERVICE]
            self._settings["port"] = int(self.url.rpartition(":")[2])
            ready.set()
            await self._stopped.wait()


@contextlib.asynccontextmanager
async def signaling_server(**settings):
    """A server that listens on a free port of 127.0.0.1; ``settings`` are fields of ``ServerSettings``."""
    async with SignalingServer(**settings) as server:
        yield server
