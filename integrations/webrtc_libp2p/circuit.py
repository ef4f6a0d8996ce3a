"""Signaling through libp2p relays, for a host: which relay leads to whom, and where peers reach the host."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import anyio
import trio
from libp2p.abc import IHost, INetConn, INetStream, INetwork
from libp2p.connection_types import ConnectionType
from libp2p.custom_types import TProtocol
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.stream.net_stream import NetStream
from libp2p.network.swarm import Swarm
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo, info_from_p2p_addr
from libp2p.peer.peerstore import PeerStoreError
from libp2p.protocol_muxer.multiselect_client import MultiselectClient
from libp2p.protocol_muxer.multiselect_communicator import MultiselectCommunicator
from multiaddr import Multiaddr

from webrtc_signaling.circuit_relay import PROTOCOL, CircuitRelayBackend, SignalingStream
from webrtc_transport.errors import NoRouteToPeer, PeerUnreachable, SignalingError, SignalingRejected
from webrtc_transport.identity import PeerId
from webrtc_transport.wakeup import Wakeup

from . import relay as relays
from .multiaddrs import RelayedAddress, protocol_names
from .observer import Observer
from .relay import LIBP2P_ERRORS, Reservation
from .signaling_stream import HostStream

_logger = logging.getLogger("libp2p.transport.webrtc.relay")

MAX_FOUND_RELAYS: Final = 3
"""Relays at which a place is asked for without being told to: one more than enough if one goes away."""

IDENTIFY_TIMEOUT: Final = 10.0
"""Seconds that a new peer gets to say which protocols it speaks."""

_IDENTIFY_POLL: Final = 0.1
"""Seconds between looks at whether it has: py-libp2p tells nobody."""

_RETRY: Final = (1.0, 60.0)
"""Seconds between attempts at a relay that has failed: the first pause, and the longest."""

_UNPROVEN: Final = frozenset({"/plaintext/2.0.0"})
"""Security protocols that prove nothing about the peer. py-libp2p offers it by default, so a relay in the middle could
talk both ends into it."""


class CircuitSignaling:
    """Signaling of one host through relays.

    :param relays: where to reserve a place as soon as the host listens; without any, at the relays that it meets
    """

    def __init__(self, host: IHost, relays: Sequence[PeerInfo] = ()) -> None:
        self.backend = CircuitRelayBackend(self._open_stream, self._reachable)
        self._host = host
        self._relays = list(relays)
        self._ways: dict[PeerId, PeerInfo] = {}
        self._reservations: dict[ID, Reservation] = {}
        self._found: set[ID] = set()
        """Relays that were met by chance, at which a place is kept."""
        self._nursery: trio.Nursery | None = None
        """There is one while the host can be reached."""
        self._changed = Wakeup()
        """Notified when a connection of the host begins or ends."""

    # --- where peers reach us -----------------------------------------------------------------------------------------

    def addresses(self) -> Sequence[Multiaddr]:
        """``<relay>/p2p-circuit/webrtc`` for each reservation that stands."""
        return [
            RelayedAddress(f"{address}/p2p-circuit/webrtc")
            for reservation in self._reservations.values()
            for address in reservation.addresses
        ]

    async def listen_through(self, relay: PeerInfo) -> None:
        """Reserve a place at ``relay`` too: now, or as soon as the host listens.

        :raises SignalingUnavailable: if it gives none
        """
        # First, so that nobody else reserves there when the connection stands.
        self._relays.append(relay)
        if self._nursery is None:
            return
        try:
            reservation = await relays.reserve(self._host, relay)
        except SignalingError:
            self._relays.remove(relay)
            raise
        await self._reserved(reservation)
        self._nursery.start_soon(self._keep_reserved, relay, reservation)

    @asynccontextmanager
    async def _reachable(self) -> AsyncIterator[None]:
        """Be reachable through relays meanwhile.

        :raises SignalingUnavailable: if a relay that was asked for gives no reservation
        """
        first = [await relays.reserve(self._host, relay) for relay in self._relays]
        observer = _RelayObserver(self)
        network = self._host.get_network()
        network.register_notifee(observer)
        answers_stop = relays.STOP in self._host.get_mux().get_protocols()
        if not answers_stop:
            self._host.set_stream_handler(relays.STOP, self._accept_relayed)
        self._host.set_stream_handler(TProtocol(PROTOCOL), self._handle_stream)
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                for relay, reservation in zip(self._relays, first, strict=True):
                    await self._reserved(reservation)
                    nursery.start_soon(self._keep_reserved, relay, reservation)
                for connection in network.get_connections():
                    self.connected(connection)
                yield
                nursery.cancel_scope.cancel()
        finally:
            self._nursery = None
            self._host.remove_stream_handler(TProtocol(PROTOCOL))
            if not answers_stop:
                self._host.remove_stream_handler(relays.STOP)
            self._reservations.clear()
            network.remove_notifee(observer)

    async def _accept_relayed(self, stream: INetStream) -> None:
        await relays.accept(self._host, stream)

    async def _keep_reserved(self, relay: PeerInfo, reservation: Reservation | None) -> None:
        pause = _RETRY[0]
        while True:
            if reservation is not None:
                pause = _RETRY[0]
                await self._wait_half(reservation)
            elif relay not in self._relays and pause == _RETRY[1] and not self._is_connected(relay.peer_id):
                # It was met by chance, and has gone for longer than a restart takes.
                return
            else:
                await trio.sleep(pause)
                pause = min(2 * pause, _RETRY[1])
            try:
                reservation = await relays.reserve(self._host, relay)
            except SignalingError as exc:
                _logger.info("%s", exc)
                reservation = None
                self._reservations.pop(relay.peer_id, None)
            else:
                await self._reserved(reservation)

    async def _wait_half(self, reservation: Reservation) -> None:
        """Until half of its time has passed, or the connection to the relay is lost, and with it the reservation."""
        with trio.move_on_after(max(1.0, (reservation.expires - time.time()) / 2)):
            while self._is_connected(reservation.relay):
                await self._changed.wait()
            _logger.info("the connection to the relay %s is lost", reservation.relay)
            self._reservations.pop(reservation.relay, None)

    def _is_connected(self, relay: ID) -> bool:
        return any(not connection.is_closed for connection in self._host.get_network().get_connections(relay))

    async def _reserved(self, reservation: Reservation) -> None:
        is_new = reservation.relay not in self._reservations
        self._reservations[reservation.relay] = reservation
        if is_new:
            _logger.info("peers reach us through the relay %s", reservation.relay)
            network = self._host.get_network()
            if isinstance(network, Swarm):
                for address in self.addresses():
                    # The host tells its peers.
                    await network.notify_listen(address)

    async def _look_for_relay(self, peer: ID) -> None:
        """Keep a place at ``peer`` if it is a relay."""
        with trio.move_on_after(IDENTIFY_TIMEOUT) as identifying:
            while not self._host.get_peerstore().supports_protocols(peer, [relays.HOP]):  # noqa: ASYNC110
                await trio.sleep(_IDENTIFY_POLL)
        if identifying.cancelled_caught or self._relays:
            return
        if peer in self._found or len(self._found) >= MAX_FOUND_RELAYS:
            return
        self._found.add(peer)
        try:
            info = PeerInfo(peer, self._addresses_of(peer))
            reservation = await relays.reserve(self._host, info)
            await self._reserved(reservation)
            await self._keep_reserved(info, reservation)
        except SignalingError as exc:
            _logger.info("%s", exc)
        finally:
            self._found.discard(peer)

    # --- inbound ------------------------------------------------------------------------------------------------------

    async def _handle_stream(self, stream: INetStream) -> None:
        try:
            _check_proven(stream.swarm_conn if isinstance(stream, NetStream) else None)
        except SignalingError as exc:
            _logger.warning("%s", exc)
            await stream.reset()
            return
        await self.backend.handle(HostStream(stream))

    # --- outbound -----------------------------------------------------------------------------------------------------

    @contextmanager
    def through(self, relay: Multiaddr | None, peer: PeerId) -> Iterator[None]:
        """Reach ``peer`` through ``relay`` meanwhile, if there is no connection to it yet."""
        if relay is None:
            yield
            return
        self._ways[peer] = info_from_p2p_addr(relay)
        try:
            yield
        finally:
            self._ways.pop(peer, None)

    async def _open_stream(self, peer: PeerId) -> SignalingStream:
        peer_id = ID.from_string(str(peer))
        connection = self._existing(peer_id) or await self._connect(peer, peer_id)
        _check_proven(connection)
        try:
            stream = await connection.new_stream()
            try:
                protocol = await MultiselectClient().select_one_of(
                    [TProtocol(PROTOCOL)], MultiselectCommunicator(stream)
                )
                stream.set_protocol(protocol)
                return HostStream(stream)
            except BaseException:
                with anyio.CancelScope(shield=True):
                    await stream.reset()
                raise
        except LIBP2P_ERRORS as exc:
            raise PeerUnreachable(f"{peer} doesn't take part in signaling: {exc}") from exc

    def _existing(self, peer: ID) -> INetConn | None:
        """A connection to ``peer`` that the host has: a relayed one, if there are several."""
        connections = [
            connection
            for connection in self._host.get_network().get_connections(peer)
            if not connection.is_closed
        ]
        relayed = (c for c in connections if c.get_connection_type() is ConnectionType.RELAYED)
        return next(relayed, connections[0] if connections else None)

    async def _connect(self, peer: PeerId, peer_id: ID) -> INetConn:
        failures: list[str] = []
        for relay in self._ways_to(peer, peer_id):
            try:
                return await relays.connect(self._host, relay, peer_id)
            except SignalingError as exc:
                failures.append(str(exc))
        if not failures:
            raise NoRouteToPeer(f"no relay is known that leads to {peer}")
        raise PeerUnreachable("; ".join(failures))

    def _ways_to(self, peer: PeerId, peer_id: ID) -> Iterator[PeerInfo]:
        if peer in self._ways:
            yield self._ways[peer]
            return
        for address in self._addresses_of(peer_id):
            if "p2p-circuit" in protocol_names(address):
                way = str(address).partition("/p2p-circuit")[0]
                if "/p2p/" in way:
                    yield info_from_p2p_addr(Multiaddr(way))
        yield from self._relays

    def _addresses_of(self, peer: ID) -> list[Multiaddr]:
        try:
            return self._host.get_peerstore().addrs(peer)
        except PeerStoreError:
            return []

    # --- for the observer ---------------------------------------------------------------------------------------------

    def connected(self, connection: INetConn) -> None:
        """A connection of the host has begun: there may be a relay at its other end."""
        self._changed.notify()
        if self._nursery is not None and connection.get_connection_type() is not ConnectionType.RELAYED:
            self._nursery.start_soon(self._look_for_relay, connection.muxed_conn.peer_id)

    def disconnected(self) -> None:
        """A connection of the host has ended."""
        self._changed.notify()


class _RelayObserver(Observer):
    """Tells of the host's connections."""

    def __init__(self, circuit: CircuitSignaling) -> None:
        self._circuit = circuit

    async def connected(self, network: INetwork, conn: INetConn) -> None:  # noqa: ARG002
        self._circuit.connected(conn)

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:  # noqa: ARG002
        self._circuit.disconnected()


def _check_proven(connection: INetConn | None) -> None:
    """:raises SignalingRejected: if the connection doesn't prove who is at its other end"""
    if not isinstance(connection, SwarmConn):
        return
    security = connection.get_negotiated_security_protocol()
    if security in _UNPROVEN:
        raise SignalingRejected(
            f"the connection with {connection.muxed_conn.peer_id} was negotiated down to {security}, "
            "which proves nothing",
            code="unproven",
        )
