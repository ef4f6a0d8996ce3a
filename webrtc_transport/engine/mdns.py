"""Looking up ``.local`` names, behind which browsers hide their addresses (draft-ietf-mmusic-mdns-ice-candidates)."""

from __future__ import annotations

import logging

from aioice import mdns

_logger = logging.getLogger("libp2p.transport.webrtc.ice")


def is_mdns_name(host: str) -> bool:
    """Whether ``host`` is such a name rather than an address."""
    return mdns.is_mdns_hostname(host)


async def resolve_mdns(name: str) -> str | None:
    """Ask the local network for the IPv4 address of ``name``, for a second.

    Each call has a socket of its own: the one that aioice shares inside a thread outlives its event loop.

    :return: the address, or ``None`` if nobody answers or there is no multicast
    """
    try:
        protocol = await mdns.create_mdns_protocol()
    except OSError as exc:
        _logger.info("no multicast DNS on this host: %s", exc)
        return None
    try:
        return await protocol.resolve(name)
    finally:
        await protocol.close()
