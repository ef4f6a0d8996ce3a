"""Registering a transport after the host was made, and finding the one for an address.

py-libp2p keeps transports as objects in the ``TransportManager`` of each swarm: ``new_host(transports=[…])`` is its own
way to put one there, and the shortest. Applications that make the host first have no hold of its swarm's manager, only
a peer id in common. So a swarm is looked for among the objects of the process; nothing of py-libp2p is patched.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Final

from libp2p.abc import ITransport
from libp2p.network.swarm import Swarm
from libp2p.transport.upgrader import TransportUpgrader
from multiaddr import Multiaddr

from webrtc_transport.errors import ConfigurationError

from .multiaddrs import protocol_names
from .transport import WebRTCTransport, waiting_transports

_registered: Final[dict[str, type[ITransport]]] = {"webrtc": WebRTCTransport}


def register_transport(protocol: str, transport: type[ITransport]) -> None:
    """Let ``transport`` serve the addresses with ``protocol`` in them.

    Each :class:`~webrtc_libp2p.WebRTCTransport` of that class that was made with a signaling manager, and is in no host
    yet, is put into the host with the manager's peer id. That has to be before the host runs.

    :raises ConfigurationError: if that host runs already, or there are two
    """
    _registered[protocol] = transport
    for waiting in waiting_transports():
        manager = waiting.signaling_manager
        if manager is None or not isinstance(waiting, transport):
            continue
        peer = str(manager.peer_id)
        swarm = _only_swarm(lambda swarm, peer=peer: str(swarm.self_id) == peer)  # type: ignore[misc]
        if swarm is None:
            continue
        if swarm.event_background_nursery_created.is_set():
            raise ConfigurationError(f"the host {peer} runs already; register transports before host.run()")
        waiting.joins_host()
        swarm.transport_manager.add_transport(waiting)


def create_transport_for_multiaddr(maddr: Multiaddr, upgrader: TransportUpgrader) -> ITransport | None:
    """The transport for ``maddr``: the one of the host whose ``upgrader`` it is, or a new one of a registered class.

    ``None`` if there is neither.
    """
    swarm = _only_swarm(lambda swarm: swarm.upgrader is upgrader)
    if swarm is not None:
        found = swarm.transport_manager.transport_for_dialing(maddr)
        if found is not None:
            return found
    for name in reversed(protocol_names(maddr)):
        if name in _registered:
            return _registered[name]()
    return None


def _only_swarm(matches: Callable[[Swarm], bool]) -> Swarm | None:
    found = [thing for thing in gc.get_objects() if isinstance(thing, Swarm) and matches(thing)]
    if len(found) > 1:
        raise ConfigurationError(
            f"{len(found)} hosts have the peer id {found[0].self_id}; pass the transport to "
            "new_host(transports=[…]) instead"
        )
    return found[0] if found else None
