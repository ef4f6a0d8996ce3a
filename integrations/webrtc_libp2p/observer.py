"""What a host tells of its connections."""

from __future__ import annotations

from libp2p.abc import INetConn, INetStream, INetwork, INotifee
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.network.swarm import Swarm
from multiaddr import Multiaddr


class Observer(INotifee):
    """Is told, and does nothing about it. Those below do."""

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """A connection has begun."""

    async def disconnected(self, network: INetwork, conn: INetConn) -> None:
        """A connection has ended."""

    async def opened_stream(self, network: INetwork, stream: INetStream) -> None:
        """A stream has begun."""

    async def closed_stream(self, network: INetwork, stream: INetStream) -> None:
        """A stream has ended."""

    async def listen(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """The host can be reached at an address."""

    async def listen_close(self, network: INetwork, multiaddr: Multiaddr) -> None:
        """It can't any more."""


class EndedConnections(Observer):
    """Takes connections off the host's list that ended before they were on it.

    py-libp2p takes a connection off when it ends. One whose peer refuses it at once may end while py-libp2p still
    waits to list it; then it is listed for good, and the host never dials that peer again.
    """

    async def connected(self, network: INetwork, conn: INetConn) -> None:
        """Called right behind the listing."""
        if isinstance(network, Swarm) and isinstance(conn, SwarmConn) and conn.is_closed:
            network.remove_conn(conn)
