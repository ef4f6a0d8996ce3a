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
from .multiaddrs import ListenTarget, parse_listen_target
from .running import RunningTransport

if TYPE_CHECKING:
    from .transport import WebRTCTransport


class WebRTCListener(IListener):
    """Listens on one address. :meth:`~webrtc_libp2p.WebRTCTransport.create_listener` makes it."""

    def __init__(self, transport: WebRTCTransport, handler: THandler) -> None:
        self._transport = transport
        self._handler: Callable[[WebRTCConnection], Awaitable[None]] = handler
        self._running: RunningTransport | None = None
        self._target = ListenTarget()

    async def listen(self, maddr: Multiaddr) -> None:
        """Begin to accept connections. Returns once peers can reach us.

        :raises OpenConnectionError: if that can't be; the text names the reason and the cure
        """
        with opening_connections():
            self._target = target = parse_listen_target(maddr)
            running = await self._transport.wait_running()
            if target.direct is not None:
                await running.start_listening_directly(self, target.direct)
            else:
                await self._listen_by_signaling(running, target.relay)
        self._running = running

    async def _listen_by_signaling(self, running: RunningTransport, relay: Multiaddr | None) -> None:
        manager = self._transport.signaling_manager
        if manager is None:
            await running.start_listening(self, relay)
            return
        manager.connecting()
        try:
            await running.start_listening(self, relay)
        except WebRTCError as exc:
            manager.failed(exc)
            raise
        manager.connected(listening=True)

    def get_addrs(self) -> tuple[Multiaddr, ...]:
        """Where peers reach us now, without our peer id: the host puts that behind them.

        ``/webrtc`` if that is over a rendezvous server, and an address for each relay that has a place for us. Of a
        listener on one relay it is that relay's alone; of one on a UDP port, that port at each address of this host,
        with the ``certhash``.
        """
        if self._running is None:
            return ()
        if self._target.direct is not None:
            return tuple(self._running.direct_addresses(self))
        if self._target.relay is None:
            return tuple(self._running.addresses())
        end = f"/p2p/{self._target.relay.get_peer_id()}/p2p-circuit/webrtc"
        return tuple(a for a in self._running.relayed_addresses() if str(a).endswith(end))

    async def close(self) -> None:
        """Accept no more connections. Those that stand go on."""
        running, self._running = self._running, None
        if running is not None:
            await running.stop_listening(self)

    async def handle(self, connection: WebRTCConnection) -> None:
        """Hand ``connection`` to the host."""
        await self._handler(connection)
