"""A transport while its host runs: it dials, and hands what it accepts to the host."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import anyio
import trio
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.transport.exceptions import OpenConnectionError
from multiaddr import Multiaddr

import webrtc_transport as core
from webrtc_transport.addresses import webrtc_address
from webrtc_transport.errors import ConfigurationError, EngineError, SignalingError

from .admission import admit
from .circuit import CircuitSignaling
from .connection import WebRTCConnection
from .multiaddrs import DialTarget
from .rendezvous import Rendezvous

if TYPE_CHECKING:
    from .listener import WebRTCListener

_logger = logging.getLogger("libp2p.transport.webrtc")


class RunningTransport:
    """What a :class:`~webrtc_libp2p.WebRTCTransport` is from the start of its host to its end.

    :param nursery: where the tasks run that accept connections
    """

    def __init__(
        self,
        swarm: Swarm,
        transport: core.WebRTCTransport,
        nursery: trio.Nursery,
        circuit: CircuitSignaling | None,
        rendezvous: Rendezvous,
    ) -> None:
        self.swarm = swarm
        self._circuit = circuit
        self._rendezvous = rendezvous
        self._transport = transport
        self._nursery = nursery
        self._accepting: core.Listener | None = None
        self._listeners: list[WebRTCListener] = []
        """Of what comes by signaling."""
        self._direct: dict[WebRTCListener, core.Listener] = {}
        """Those that have a UDP port of their own."""
        self._starting = trio.Lock()

    async def dial(self, target: DialTarget) -> WebRTCConnection:
        """Connect to ``target``.

        :raises ConnectError: if that can't be
        :raises OpenConnectionError: if the host refuses the connection
        """
        with self._through(target):
            connection = await self._transport.dial(target.address)
        dialed = WebRTCConnection(connection, _id_of(connection), is_initiator=True)
        await admit(self.swarm, dialed, "outbound")
        return dialed

    def _through(self, target: DialTarget) -> AbstractContextManager[None]:
        if self._circuit is None or target.peer is None:
            return nullcontext()
        return self._circuit.through(target.relay, target.peer)

    def relayed_addresses(self) -> Sequence[Multiaddr]:
        """Where peers reach us through relays, now."""
        return () if self._circuit is None or self._accepting is None else self._circuit.addresses()

    def addresses(self) -> Sequence[Multiaddr]:
        """Where peers reach us, now: ``/webrtc`` stands for the rendezvous servers."""
        has_server = self._accepting is not None and self._rendezvous.is_reachable
        return [*([webrtc_address()] if has_server else []), *self.relayed_addresses()]

    async def start_listening(self, listener: WebRTCListener, relay: Multiaddr | None) -> None:
        """Hand what comes in to ``listener``. Returns once peers can reach us, through ``relay`` too if it is given.

        Several listeners share what comes in, and the first gets it: they belong to one host.

        :raises SignalingError: if no signaling backend can be reached, or all refuse us
        """
        async with self._starting:
            if relay is not None:
                if self._circuit is None:
                    raise ConfigurationError("relays need a host; this swarm belongs to none")
                await self._circuit.listen_through(info_from_p2p_addr(relay))
            if self._accepting is None:
                self._accepting = accepting = await self._transport.listen("/webrtc")
                # Relays that the host may meet some day don't make up for servers that it was given.
                if self._rendezvous.failure is not None and not self.relayed_addresses():
                    self._accepting = None
                    await accepting.aclose()
                    raise self._rendezvous.failure
                self._nursery.start_soon(self._accept, accepting, self._first_listener)
            self._listeners.append(listener)

    async def start_listening_directly(self, listener: WebRTCListener, address: Multiaddr) -> None:
        """Hand what comes to the UDP port of ``address`` to ``listener``.

        :raises AddressError: if the port is taken, or the address is none of this host's
        """
        accepting = await self._transport.listen(address)
        self._direct[listener] = accepting
        self._nursery.start_soon(self._accept, accepting, lambda: listener)

    def direct_addresses(self, listener: WebRTCListener) -> Sequence[Multiaddr]:
        """Where peers reach ``listener``, which has a port of its own; without our peer id."""
        own = Multiaddr(f"/p2p/{self._transport.peer_id}")
        return [address.decapsulate(own) for address in self._direct[listener].addresses]

    async def stop_listening(self, listener: WebRTCListener) -> None:
        """Hand no more to ``listener``; without any, peers can't reach us. Does nothing the second time."""
        async with self._starting:
            if listener in self._direct:
                await self._direct.pop(listener).aclose()
            if listener in self._listeners:
                self._listeners.remove(listener)
            if not self._listeners and self._accepting is not None:
                accepting, self._accepting = self._accepting, None
                await accepting.aclose()

    def _first_listener(self) -> WebRTCListener | None:
        return self._listeners[0] if self._listeners else None

    async def _accept(
        self, accepting: core.Listener, listener_now: Callable[[], WebRTCListener | None]
    ) -> None:
        while True:
            try:
                # Not by a name of its own, which would keep the last connection until the next one comes.
                self._nursery.start_soon(self._hand_over, await accepting.accept(), listener_now)
            except anyio.ClosedResourceError:
                return
            except (EngineError, SignalingError) as exc:
                _logger.warning("peers can't reach this host over WebRTC any more: %s", exc)
                await self._has_ended(accepting)
                return

    async def _has_ended(self, accepting: core.Listener) -> None:
        """Make room for another attempt to listen, which says whether that is possible."""
        if accepting is self._accepting:
            self._accepting = None
        await accepting.aclose()

    async def _hand_over(
        self, connection: core.Connection, listener_now: Callable[[], WebRTCListener | None]
    ) -> None:
        accepted = WebRTCConnection(connection, _id_of(connection), is_initiator=False)
        try:
            await admit(self.swarm, accepted, "inbound")
        except OpenConnectionError as exc:
            _logger.info("a connection was refused: %s", exc)
            return
        listener = listener_now()
        if listener is None:
            await accepted.abort()
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.handle, accepted)
            # The host's handler goes on until the host ends, and holds one of its places for inbound connections.
            await accepted.wait_closed()
            nursery.cancel_scope.cancel()


def _id_of(connection: core.Connection) -> ID:
    return ID.from_string(str(connection.remote_peer))
