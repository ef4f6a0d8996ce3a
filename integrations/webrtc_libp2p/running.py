"""A transport while its host runs: it dials, and hands what it accepts to the host."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import nullcontext
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
        self._starting = trio.Lock()

    async def dial(self, target: DialTarget) -> WebRTCConnection:
        """Connect to ``target``.

        :raises ConnectError: if that can't be
        :raises OpenConnectionError: if the host refuses the connection
        """
        through = nullcontext() if self._circuit is None else self._circuit.through(target.relay, target.peer)
        with through:
            connection = await self._transport.dial(webrtc_address(target.peer))
        dialed = WebRTCConnection(connection, _id_of(connection), is_initiator=True)
        await admit(self.swarm, dialed, "outbound")
        return dialed

    def relayed_addresses(self) -> Sequence[Multiaddr]:
        """Where peers reach us through relays, now."""
        return () if self._circuit is None else self._circuit.addresses()

    def addresses(self) -> Sequence[Multiaddr]:
        """Where peers reach us, now: ``/webrtc`` stands for the rendezvous servers."""
        return [*([webrtc_address()] if self._rendezvous.is_reachable else []), *self.relayed_addresses()]

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
                accepting = await self._transport.listen("/webrtc")
                # Relays that the host may meet some day don't make up for servers that it was given.
                if self._rendezvous.failure is not None and not self.relayed_addresses():
                    await accepting.aclose()
                    raise self._rendezvous.failure
                self._accepting = accepting
                self._nursery.start_soon(self._accept, self._accepting)
            self._listeners.append(listener)

    async def stop_listening(self, listener: WebRTCListener) -> None:
        """Hand no more to ``listener``; without any, peers can't reach us. Does nothing the second time."""
        async with self._starting:
            if listener in self._listeners:
                self._listeners.remove(listener)
            if not self._listeners and self._accepting is not None:
                accepting, self._accepting = self._accepting, None
                await accepting.aclose()

    async def _accept(self, accepting: core.Listener) -> None:
        while True:
            try:
                connection = await accepting.accept()
            except anyio.ClosedResourceError:
                return
            except (EngineError, SignalingError) as exc:
                _logger.warning("peers can't reach this host over WebRTC any more: %s", exc)
                return
            self._nursery.start_soon(self._hand_over, connection)

    async def _hand_over(self, connection: core.Connection) -> None:
        accepted = WebRTCConnection(connection, _id_of(connection), is_initiator=False)
        try:
            await admit(self.swarm, accepted, "inbound")
        except OpenConnectionError as exc:
            _logger.info("a connection was refused: %s", exc)
            return
        if not self._listeners:
            await accepted.abort()
            return
        listener = self._listeners[0]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listener.handle, accepted)
            # The host's handler goes on until the host ends, and holds one of its places for inbound connections.
            await accepted.wait_closed()
            nursery.cancel_scope.cancel()


def _id_of(connection: core.Connection) -> ID:
    return ID.from_string(str(connection.remote_peer))
