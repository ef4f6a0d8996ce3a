"""The way to a TURN server (RFC 8656), over UDP, TCP or TLS: aioice's client, on sockets of ours."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Final

from aioice import turn

from ..protocol.ice_url import IceUrl
from ..protocol.stun import is_well_formed_stun
from .resolver import resolve
from .udp_port import SOCKET_BUFFER, Address

CLOSE_TIMEOUT: Final = 0.5
"""Seconds for giving an allocation back. If the server is gone it expires by itself (RFC 8656, section 6)."""

ALLOCATION_LIFETIME: Final = 600
"""Seconds (RFC 8656, section 3.2)."""

CHANNEL_REFRESH_TIME: Final = 240
"""Seconds; a channel binding lasts 600, but the permission that it installs 300 (RFC 8656, sections 9 and 12)."""


@dataclass(frozen=True)
class TurnServer:
    """A TURN server with its long-term credentials (RFC 8489, section 9.2)."""

    url: IceUrl
    username: str
    credential: str


async def connect_turn(server: TurnServer) -> turn.TurnClientProtocol:
    loop = asyncio.get_running_loop()
    url = server.url
    host = (await resolve(url.host, url.port))[0][1]
    arguments = (
        (host, url.port),
        server.username,
        server.credential,
        ALLOCATION_LIFETIME,
        CHANNEL_REFRESH_TIME,
    )
    if url.transport == "tcp":
        _, stream_client = await loop.create_connection(
            lambda: _TcpClient(*arguments),
            host=host,
            port=url.port,
            ssl=url.secure or None,
            server_hostname=url.host if url.secure else None,
        )
        return stream_client
    transport, client = await loop.create_datagram_endpoint(
        lambda: _UdpClient(*arguments), remote_addr=(host, url.port)
    )
    sock: socket.socket = transport.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SOCKET_BUFFER)
    return client


class _GatedClient(turn.TurnClientMixin):
    """aioice's parser raises ``struct.error`` on some malformed input: a server's packets are checked first."""

    def datagram_received(self, data: bytes | str, addr: Address) -> None:
        assert isinstance(data, bytes)
        if len(data) < 4:  # noqa: PLR2004 - the header of ChannelData (RFC 8656, section 12.4)
            return
        if turn.is_channel_data(data) or is_well_formed_stun(data):
            super().datagram_received(data, addr)


class _UdpClient(_GatedClient, turn.TurnClientUdpProtocol):
    def error_received(self, exc: Exception) -> None:
        """An ICMP error: transactions time out by themselves."""


class _TcpClient(_GatedClient, turn.TurnClientTcpProtocol):
    pass
