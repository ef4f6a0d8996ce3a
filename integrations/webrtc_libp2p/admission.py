"""What py-libp2p's connection gate and resource manager say to a connection, asked with the peer's real address."""

from __future__ import annotations

import logging
from typing import Literal

from libp2p.network.swarm import Swarm
from libp2p.rcmgr.manager import ResourceManager
from libp2p.transport.exceptions import OpenConnectionError
from multiaddr import Multiaddr

from .connection import WebRTCConnection

_logger = logging.getLogger("libp2p.transport.webrtc.connection")


async def admit(
    swarm: Swarm, connection: WebRTCConnection, direction: Literal["inbound", "outbound"]
) -> None:
    """Ask for ``connection``, whose address nobody knew before it stood.

    :raises OpenConnectionError: if it is refused; it is closed then
    """
    try:
        await _ask(swarm, connection, direction)
    except OpenConnectionError as exc:
        _logger.info("%s", exc)
        await connection.abort()
        raise
    except BaseException:
        await connection.abort()
        raise


async def _ask(swarm: Swarm, connection: WebRTCConnection, direction: Literal["inbound", "outbound"]) -> None:
    remote = connection.get_remote_address()
    # Of inbound connections the swarm asks its gate itself.
    if direction == "outbound" and remote is not None:
        protocol = "ip6" if ":" in remote[0] else "ip4"
        if not await swarm.connection_gate.is_allowed(Multiaddr(f"/{protocol}/{remote[0]}/udp/{remote[1]}")):
            raise OpenConnectionError(f"the connection gate refuses {connection.peer_id} at {remote[0]}")
    manager: ResourceManager | None = getattr(swarm, "_resource_manager", None)
    if manager is None:
        return
    scope = manager.open_connection(
        connection.peer_id, endpoint_ip=None if remote is None else remote[0], direction=direction
    )
    if scope is None:
        raise OpenConnectionError(f"the resource manager refuses {connection.peer_id} at {remote}")
    connection.set_admission(scope)
