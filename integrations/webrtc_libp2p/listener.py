"""Listening for WebRTC connections in a py-libp2p host."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from libp2p.abc import IListener
from libp2p.custom_types import THandler
from multiaddr import Multiaddr

from webrtc_transport.errors import WebRTCError

from .connection import WebRTCConnection
from .errors import opening_connections
from .running import RunningTransport

if TYPE_CHECKING:
    from .transport import WebRTCTransport


class WebRTCListener(IListener):
    """Listens on ``/webrtc``. :meth:`~webrtc_libp2p.WebRTCTransport.create_listener` makes it."""

    def __init__(self, transport: WebRTCTransport, handler: THandler) -> None:
        self._transport = transport
        self._handler: Callable[[WebRTCConnection], Awaitable[None]] = handler
        self._running: RunningTransport | None = None
        self._addresses: tuple[Multiaddr, ...] = ()

    async def listen(self, maddr: Multiaddr) -> None:
        """Begin to accept connections. Returns once peers can reach us.

        :raises OpenConnectionError: if that can't be; the text names the reason and the cure
        """
        manager = self._transport.signaling_manager
        if manager is not None:
            manager.connecting()
        with opening_connections():
            try:
                running = await self._transport.wait_running()
                await running.start_listening(self)
            except WebRTCError as exc:
                if manager is not None:
                    manager.failed(exc)
                raise
        self._running, self._addresses = running, (maddr,)
        if manager is not None:
            manager.connected(listening=True)

    def get_addrs(self) -> tuple[Multiaddr, ...]:
        """Where peers reach us now, without our peer id: the host puts that behind them."""
        return self._addresses

    async def close(self) -> None:
        """Accept no more connections. Those that stand go on."""
        self._addresses = ()
        if self._running is not None:
            await self._running.stop_listening(self)

    async def handle(self, connection: WebRTCConnection) -> None:
        """Hand ``connection`` to the host."""
        await self._handler(connection)
