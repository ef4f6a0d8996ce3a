"""A WebRTC connection, as py-libp2p wants one: secured and multiplexed already."""

from __future__ import annotations

import ipaddress
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn, Protocol

import trio
from libp2p.abc import IMuxedConn, IRawConnection
from libp2p.connection_types import ConnectionType
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedConnError, MuxedStreamError
from multiaddr import Multiaddr

from webrtc_transport import CandidatePair, Connection
from webrtc_transport.wakeup import Wakeup

from .errors import opening_streams
from .multiaddrs import is_direct
from .stream import WebRTCStream

_logger = logging.getLogger("libp2p.transport.webrtc.connection")

READ_AFTER_CLOSE: Final = 10.0
"""Seconds that a closed stream is kept for somebody to read the answer: as long as libraries wait for a FIN_ACK."""


class ResourceScope(Protocol):
    """What a resource manager of py-libp2p counts a connection by."""

    def close(self) -> None:
        """The connection is over. Does nothing the second time."""


class WebRTCConnection(IRawConnection, IMuxedConn):
    """A connection to a peer that is proven. Its streams are data channels."""

    peer_id: ID
    event_started: trio.Event

    def __init__(self, conn: Connection, peer_id: ID, *, is_initiator: bool) -> None:
        self.peer_id = peer_id
        self.event_started = trio.Event()
        self.on_close: Callable[[], Awaitable[None]] | None = None
        """Set by the swarm: called once the connection is over."""
        self._connection = conn
        self._is_initiator = is_initiator
        self._resource_scope: ResourceScope | None = None
        self._closed: deque[tuple[float, WebRTCStream]] = deque()
        """Streams that their users have closed, with the times until which they may still be read."""
        self._has_closed = Wakeup()

    def __repr__(self) -> str:
        return f"<WebRTCConnection to {self.peer_id} over {self._connection.candidate_pair.kind}>"

    @property
    def candidate_pair(self) -> CandidatePair:
        """What ICE settled on."""
        return self._connection.candidate_pair

    # --- IMuxedConn ---------------------------------------------------------------------------------------------------

    @property
    def is_initiator(self) -> bool:  # type: ignore[override]  # an attribute in IRawConnection, a property in IMuxedConn
        """Whether this end has dialed."""
        return self._is_initiator

    @property
    def is_established(self) -> bool:
        """Whether streams can be opened."""
        return not self.is_closed

    @property
    def is_closed(self) -> bool:
        """Whether the connection is over, by whichever end."""
        return self._connection.end_reason is not None

    async def start(self) -> None:
        """Run what the connection does by itself, until it is over. The swarm calls it."""
        self.event_started.set()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._release_closed_streams)
            reason = await self._connection.wait_closed()
            nursery.cancel_scope.cancel()
        _logger.info("the connection with %s is over: %s", self.peer_id, reason)
        if self.on_close is not None:
            await self.on_close()

    async def open_stream(self) -> WebRTCStream:
        """Open a stream; it costs no round trip.

        :raises MuxedConnUnavailable: if the connection is over
        :raises MuxedStreamError: if every stream id is in use
        """
        with opening_streams():
            return WebRTCStream(await self._connection.open_stream(), self)

    async def accept_stream(self) -> WebRTCStream:
        """Wait for a stream of the peer.

        :raises MuxedConnUnavailable: when the connection is over
        """
        with opening_streams():
            return WebRTCStream(await self._connection.accept_stream(), self)

    async def close(self) -> None:
        """End the connection in an orderly way: what was sent arrives. Takes some two seconds at most."""
        try:
            await self._connection.aclose()
        finally:
            if self._resource_scope is not None:
                # The swarm does it too, but not if it has refused the connection.
                self._resource_scope.close()

    def get_transport_addresses(self) -> list[Multiaddr]:
        """Where packets go to: ``/ip4/…/udp/…`` with ``/webrtc`` or ``/webrtc-direct`` behind it.

        It is the address of a TURN server if the pair is relayed.
        """
        flavour = "/webrtc-direct" if is_direct(self._connection.remote_multiaddr) else "/webrtc"
        return [self._connection.remote_address.encapsulate(Multiaddr(flavour))]

    def get_connection_type(self) -> ConnectionType:
        """Direct: no libp2p relay is on the way."""
        return ConnectionType.DIRECT

    # --- IRawConnection -----------------------------------------------------------------------------------------------

    def get_remote_address(self) -> tuple[str, int] | None:
        """The peer's IP address and UDP port, or its TURN server's; ``None`` if the engine tells an mDNS name only."""
        pair = self._connection.candidate_pair
        try:
            return str(ipaddress.ip_address(pair.remote_ip or pair.remote.address)), pair.remote.port
        except ValueError:
            return None

    async def read(self, n: int | None = None) -> NoReturn:  # noqa: ARG002 - the interface's
        """:raises MuxedConnError: always: bytes travel on streams"""
        raise MuxedConnError("a WebRTC connection has streams, and no bytes of its own; use open_stream()")

    async def write(self, data: bytes) -> NoReturn:  # noqa: ARG002 - the interface's
        """:raises MuxedConnError: always: bytes travel on streams"""
        raise MuxedConnError("a WebRTC connection has streams, and no bytes of its own; use open_stream()")

    # --- for the transport and the streams ----------------------------------------------------------------------------

    def set_admission(self, scope: ResourceScope) -> None:
        """Count the connection by ``scope``, which is closed with it."""
        # The swarm looks for it under this name, and asks for one of its own, without the address, if there is none.
        self._resource_scope = scope

    async def wait_closed(self) -> None:
        """Wait until the connection is over."""
        await self._connection.wait_closed()

    async def abort(self) -> None:
        """Give the connection up at once."""
        await self._connection.abort()

    def let_go(self, stream: WebRTCStream) -> None:
        """``stream`` was closed by its user, who may still read what the peer answers."""
        self._closed.append((trio.current_time() + READ_AFTER_CLOSE, stream))
        self._has_closed.notify()

    async def _release_closed_streams(self) -> None:
        async with trio.open_nursery() as nursery:
            while True:
                while not self._closed:
                    await self._has_closed.wait()
                deadline, stream = self._closed.popleft()
                await trio.sleep_until(deadline)
                if stream.is_being_read:
                    self.let_go(stream)
                else:
                    nursery.start_soon(_release, stream)


async def _release(stream: WebRTCStream) -> None:
    try:
        await stream.release()
    except MuxedStreamError as exc:
        _logger.info("a stream with %s didn't end well: %s", stream.muxed_conn.peer_id, exc)
