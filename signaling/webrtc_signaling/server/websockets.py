"""All WebSockets of the server: how they begin, and what is done for all of them together."""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Final, cast

from aiohttp import web

from ..codec import Codec
from ..messages import Failure, error_data
from .access import Access
from .admission import Admission
from .connection import ClientConnection
from .hub import Hub
from .settings import ServerSettings
from .supervision import guarded

if TYPE_CHECKING:
    from aiohttp.http_websocket import WebSocketReader

_LOOKS: Final = 20
"""For silent clients, in each heartbeat. One clock for all of them costs no timer for each."""


_READ_SIZE: Final = 64 * 1024
"""Bytes that are read from a client at once. The others have their turn then."""


class WebSockets:
    """The connections that there are.

    For a WebSocket, aiohttp keeps a request with its headers, two tasks, a timer and several queues: some 20 KiB. Here
    it takes the handshake alone. Then the transport gets another protocol, and the one before is told what is true
    for it: that it has lost the connection. So a WebSocket isn't counted as a socket any more, but as a client.
    """

    def __init__(self, hub: Hub, settings: ServerSettings, admission: Admission, *, access: Access) -> None:
        self.buffer = memoryview(bytearray(_READ_SIZE))
        """What is read from any of them, until it is handled. Else asyncio makes room for 256 KiB for each read."""
        self._access = access
        self._hub = hub
        self._settings = settings
        self._admission = admission
        self._connections: set[ClientConnection] = set()
        self._marked: list[ClientConnection] = []
        self._next_look = -math.inf
        self._is_ending = False
        self._all_gone: asyncio.Event | None = None

    def check_open(self) -> None:
        """Before a handshake is answered.

        :raises HTTPServiceUnavailable: if the server ends: whoever came now would not be told
        """
        if self._is_ending:
            raise web.HTTPServiceUnavailable(text="the server ends or restarts; come back\n")

    def take_over(self, http: web.RequestHandler, codec: Codec, address: str) -> None:
        """Serve a client whose handshake was answered, unless it has gone meanwhile."""
        transport = http.transport
        if transport is None:
            return
        if self._is_ending:
            transport.abort()
            return
        self._admission.enter(address)
        self._hub.journal.opened("websocket")
        connection = ClientConnection(
            transport,
            codec,
            address,
            all_=self,
            hub=self._hub,
            settings=self._settings,
            access=self._access,
        )
        self._connections.add(connection)
        early = _Early()
        http.set_parser(cast("WebSocketReader", early))
        before = cast("asyncio.Protocol", transport.get_protocol())
        transport.set_protocol(connection)
        # Or else it would close it.
        http.transport = None
        before.connection_lost(None)
        connection.begin()
        if early.data:
            connection.data_received(early.data)

    def ended(self, connection: ClientConnection, address: str) -> None:
        """A connection is over."""
        self._connections.discard(connection)
        self._admission.leave(address)
        self._hub.journal.closed("websocket")
        if self._all_gone is not None and not self._connections:
            self._all_gone.set()

    def flush_soon(self, connection: ClientConnection) -> None:
        """Let it write at the end of this turn of the loop: then all that it has goes at once."""
        if not self._marked:
            asyncio.get_running_loop().call_soon(self._flush)
        self._marked.append(connection)

    def look_after(self, now: float) -> None:
        """Ask clients that are silent whether they are there, and drop those that don't answer. To be called often."""
        if now >= self._next_look:
            self._next_look = now + self._settings.heartbeat / _LOOKS
            for connection in list(self._connections):
                connection.look_after(now)

    async def end_all(self) -> None:
        """Say goodbye to those to whom the hub hasn't, and wait until all have gone: at most ``close_timeout``.

        Who is left then is cut off, and nobody else gets in: a TLS handshake may end after this has begun.
        """
        self._is_ending = True
        farewell = Failure(data=error_data("shutting-down", "the server ends or restarts; come back"))
        for connection in list(self._connections):
            connection.close(farewell)
        self._all_gone = asyncio.Event()
        if self._connections:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.close_timeout):
                    await self._all_gone.wait()
        for connection in list(self._connections):
            connection.drop()

    def _flush(self) -> None:
        marked, self._marked = self._marked, []
        for connection in marked:
            with guarded("write to a client"):
                connection.flush()


class _Early:
    """What a client sent without waiting for the answer to its handshake: aiohttp hands it to the reader of frames."""

    def __init__(self) -> None:
        self.data = b""

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        """Returns that it goes on, and that nothing is left over."""
        self.data += data
        return False, b""

    def feed_eof(self) -> None:
        """Nothing: the connection goes on elsewhere."""
