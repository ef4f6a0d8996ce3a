"""Addresses in py-libp2p's terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError
from multiaddr.exceptions import ProtocolLookupError
from multiaddr.protocols import P_P2P, protocol_with_code

from webrtc_transport.addresses import DialAddress, parse_dial_address, webrtc_address
from webrtc_transport.errors import AddressError
from webrtc_transport.identity import PeerId

_MAX_LENGTH: Final = 1024
"""Bytes of an address, as in :mod:`webrtc_transport.addresses`."""


@dataclass(frozen=True, slots=True)
class DialTarget:
    """Who to dial, and by which way."""

    peer: PeerId
    relay: Multiaddr | None
    """The address of the relay, with its peer id at the end; ``None`` leaves the way to the transport."""


class RelayedAddress(Multiaddr):
    """``<relay>/p2p/<relay id>/p2p-circuit/webrtc``, an address that a host announces with its own peer id behind it.

    Before it does that, py-libp2p cuts off the peer id that an address ends with, and takes the first one in it for
    that, which is the relay's. So this one says that it has none: it ends with none.
    """

    def value_for_protocol(self, proto: str | int) -> str | None:
        if proto in ("p2p", P_P2P):
            raise ProtocolLookupError(protocol_with_code(P_P2P), str(self))
        return super().value_for_protocol(proto)

    def encapsulate(self, other: str | bytes | Multiaddr) -> Multiaddr:
        return Multiaddr(self.to_bytes()).encapsulate(other)


def create_webrtc_multiaddr(peer_id: ID | str | None = None) -> Multiaddr:
    """``/webrtc``, which a host listens on, or ``/webrtc/p2p/<peer id>``, which others dial.

    :raises webrtc_transport.errors.IdentityError: if ``peer_id`` is malformed
    """
    return webrtc_address(None if peer_id is None else PeerId.from_string(str(peer_id)))


def protocol_names(address: Multiaddr) -> list[str]:
    """The names of the protocols of ``address``; of a malformed one, none."""
    if len(address.to_bytes()) > _MAX_LENGTH:
        return []
    try:
        return [protocol.name for protocol in address.protocols()]
    except (ValueError, TypeError, ArithmeticError, MultiaddrError):
        # A Multiaddr decodes its bytes when it is looked at, and some malformed ones raise what Python raised inside.
        return []


def is_relayed_webrtc(address: Multiaddr) -> bool:
    """Whether it is ``<relay>/p2p/<relay id>/p2p-circuit/webrtc``, with or without a peer at its end."""
    match protocol_names(address):
        case [*_, "p2p", "p2p-circuit", "webrtc"] | [*_, "p2p", "p2p-circuit", "webrtc", "p2p"]:
            return True
        case _:
            return False


def parse_dial_target(address: Multiaddr) -> DialTarget:
    """Take the address of a peer apart: ``/webrtc/p2p/<id>``, or ``<relay>/p2p-circuit/webrtc/p2p/<id>``.

    :raises AddressError: if it is neither
    """
    if not is_relayed_webrtc(address):
        return DialTarget(_signaled_peer(address), relay=None)
    relay, _, end = str(address).rpartition("/p2p-circuit")
    return DialTarget(_signaled_peer(end), Multiaddr(relay))


def _signaled_peer(address: str | Multiaddr) -> PeerId:
    target = parse_dial_address(address)
    if isinstance(target, DialAddress):
        return target.peer
    raise AddressError(f"{address} is a webrtc-direct address, which this transport of a host doesn't dial")


def parse_listen_relay(address: Multiaddr) -> Multiaddr | None:
    """The relay to listen through: ``None`` for ``/webrtc``, which listens through all that the host has.

    :raises AddressError: if nobody can listen on ``address``
    """
    names = protocol_names(address)
    if names == ["webrtc"]:
        return None
    if is_relayed_webrtc(address) and names[-1] == "webrtc":
        return Multiaddr(str(address).rpartition("/p2p-circuit")[0])
    raise AddressError(
        f"{address} isn't an address that this transport listens on; expected /webrtc, or "
        "<relay address>/p2p/<relay id>/p2p-circuit/webrtc"
    )
