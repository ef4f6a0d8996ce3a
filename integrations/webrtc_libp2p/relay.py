"""What a host needs of libp2p relays: a place at one, and connections to peers through one.

Source: libp2p specs, ``relay/circuit-v2.md``. libp2p's own ``CircuitV2Transport`` does the same for whole dials; here
each step is asked for by itself, because a dial that waits for another dial of the same peer would wait forever.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import anyio
import trio
from google.protobuf.message import DecodeError
from libp2p.abc import IHost, INetConn, INetStream
from libp2p.connection_types import ConnectionType
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.connection.raw_connection import RawConnection
from libp2p.network.connection.swarm_connection import SwarmConn
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import PeerStoreError
from libp2p.relay.circuit_v2.pb.circuit_pb2 import HopMessage, PeerId, Status, StopMessage
from libp2p.relay.circuit_v2.protocol import PROTOCOL_ID, STOP_PROTOCOL_ID
from libp2p.relay.circuit_v2.utils import read_delimited_msg, write_delimited_msg
from multiaddr import Multiaddr

from webrtc_transport.errors import PeerUnreachable, SignalingError, SignalingUnavailable

_logger = logging.getLogger("libp2p.transport.webrtc.relay")

HOP: Final = PROTOCOL_ID
STOP: Final = STOP_PROTOCOL_ID

ANSWER_TIMEOUT: Final = 10.0
"""Seconds for an answer of a relay, which has to ask the peer for it."""

FALLBACK_DURATION: Final = 120.0
"""Seconds that a reservation is taken to last if the relay doesn't say."""

LIBP2P_ERRORS: Final = (BaseLibp2pError, OSError, EOFError, ValueError, DecodeError, trio.TooSlowError)
"""What opening, negotiating and using a stream of py-libp2p raises when a peer or the network is at fault."""


@dataclass(frozen=True)
class Reservation:
    """A place at a relay."""

    relay: ID
    addresses: Sequence[Multiaddr]
    """Of the relay, each with its peer id at the end."""
    expires: float
    """Seconds since 1970."""


@contextmanager
def _at(relay: ID, what: str, error: type[SignalingError]) -> Iterator[None]:
    try:
        yield
    except SignalingError:
        raise
    except LIBP2P_ERRORS as exc:
        raise error(f"the relay {relay} {what}: {str(exc) or type(exc).__name__}") from exc


async def reserve(host: IHost, relay: PeerInfo) -> Reservation:
    """Connect to ``relay`` and ask for a place, or for more time.

    :raises SignalingUnavailable: if the relay can't be reached, or refuses
    """
    if not _known_addresses(host, relay) and not host.get_network().get_connections(relay.peer_id):
        raise SignalingUnavailable(
            f"nothing is known of the relay {relay.peer_id} but its peer id; name it by its address, or add that to "
            "the host's peerstore before the host listens"
        )
    with _at(relay.peer_id, "gives no reservation", SignalingUnavailable):
        answer = await _ask(host, relay, HopMessage(type=HopMessage.RESERVE))
        told = [Multiaddr(raw) for raw in answer.reservation.addrs]
    if answer.status != Status.OK:
        raise SignalingUnavailable(
            f"the relay {relay.peer_id} refuses a reservation: {_name_of(answer.status)}"
        )
    expires = float(answer.reservation.expire) or time.time() + FALLBACK_DURATION
    return Reservation(
        relay.peer_id, _with_peer(told or _known_addresses(host, relay), relay.peer_id), expires
    )


async def connect(host: IHost, relay: PeerInfo, peer: ID) -> INetConn:
    """A connection to ``peer`` through ``relay``, secured and multiplexed. The host knows it as any other.

    :raises PeerUnreachable: if the relay can't be reached, or the peer isn't there or isn't itself
    """
    with _at(relay.peer_id, f"can't connect us with {peer}", PeerUnreachable):
        await host.connect(relay)
        stream = await host.new_stream(relay.peer_id, [HOP])
        try:
            answer = await _exchange(
                stream, HopMessage(type=HopMessage.CONNECT, peer=PeerId(id=peer.to_bytes()))
            )
            if answer.status != Status.OK:
                raise PeerUnreachable(  # noqa: TRY301 - the stream is reset by the one clause for all
                    f"the relay {relay.peer_id} doesn't reach {peer}: {_name_of(answer.status)}"
                )
            return await host.upgrade_outbound_connection(_circuit(stream, relay.peer_id, peer, True), peer)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await stream.reset()
            raise


async def accept(host: IHost, stream: INetStream) -> None:
    """Answer a stream that a relay has opened to bring a peer's connection; a handler for :data:`STOP`."""
    relay = stream.muxed_conn.peer_id
    try:
        with trio.fail_after(ANSWER_TIMEOUT):
            request = await read_delimited_msg(stream, StopMessage)
            is_connect = request.type == StopMessage.CONNECT
            peer = ID(request.peer.id)
            status = Status.OK if is_connect else Status.MALFORMED_MESSAGE
            await write_delimited_msg(stream, StopMessage(type=StopMessage.STATUS, status=status))
        if not is_connect:
            await stream.close()
            return
        connection = _circuit(stream, relay, peer, False)
        muxed = await host.upgrade_inbound_connection(connection, connection.get_transport_addresses()[0])
    except LIBP2P_ERRORS as exc:
        _logger.info("a connection through the relay %s came to nothing: %s", relay, exc)
        await stream.reset()
        return
    for known in host.get_network().get_connections(muxed.peer_id):
        # Its own way to find out takes every circuit for a direct connection.
        if known.muxed_conn is muxed and isinstance(known, SwarmConn):
            known.set_transport_info(connection.get_transport_addresses(), ConnectionType.RELAYED)


async def _ask(host: IHost, relay: PeerInfo, request: HopMessage) -> HopMessage:
    await host.connect(relay)
    stream = await host.new_stream(relay.peer_id, [HOP])
    try:
        answer = await _exchange(stream, request)
        await stream.close()
    except BaseException:
        with anyio.CancelScope(shield=True):
            await stream.reset()
        raise
    return answer


async def _exchange(stream: INetStream, request: HopMessage) -> HopMessage:
    with trio.fail_after(ANSWER_TIMEOUT):
        await write_delimited_msg(stream, request)
        return await read_delimited_msg(stream, HopMessage)


def _circuit(stream: INetStream, relay: ID, peer: ID, is_initiator: bool) -> RawConnection:
    # With the relay's own address in front: peers are told of it as the one that we see them at, and js-libp2p gives
    # identify up when that begins with a peer id.
    before = "".join(map(str, stream.muxed_conn.get_transport_addresses()[:1])).partition("/p2p/")[0]
    address = Multiaddr(f"{before}/p2p/{relay}/p2p-circuit/p2p/{peer}")
    return RawConnection(stream, is_initiator, connection_type=ConnectionType.RELAYED, addresses=[address])


def _known_addresses(host: IHost, relay: PeerInfo) -> Sequence[Multiaddr]:
    try:
        return relay.addrs or host.get_peerstore().addrs(relay.peer_id)
    except PeerStoreError:
        return []


def _with_peer(addresses: Sequence[Multiaddr], peer: ID) -> list[Multiaddr]:
    end = f"/p2p/{peer}"
    return [address if str(address).endswith(end) else Multiaddr(f"{address}{end}") for address in addresses]


def _name_of(status: int) -> str:
    known: dict[int, str] = {value: name for name, value in Status.items()}
    return known.get(status, f"status {status}")
