"""Addresses in py-libp2p's terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError
from multiaddr.exceptions import ProtocolLookupError
from multiaddr.protocols import P_P2P, protocol_with_code

from webrtc_transport.addresses import parse_dial_address, webrtc_address
from webrtc_transport.errors import AddressError
from webrtc_transport.identity import PeerId
from webrtc_transport.protocol.direct_address import DirectAddress

_MAX_LENGTH: Final = 1024
"""Bytes of an address, as in :mod:`webrtc_transport.addresses`."""


@dataclass(frozen=True, slots=True)
class DialTarget:
    """Who to dial, and by which way."""

    address: Multiaddr
    """``/webrtc/p2p/<peer id>``, or the whole address of webrtc-direct."""
    peer: PeerId | None
    """``None`` in an address of webrtc-direct that names none: whoever has the certificate."""
    relay: Multiaddr | None = None
    """The address of the relay, with its peer id at the end; ``None`` leaves the way to the transport."""


@dataclass(frozen=True, slots=True)
class ListenTarget:
    """How to be reached: by ``/webrtc`` through whichever way there is, or by one of these."""

    relay: Multiaddr | None = None
    """The address of the only relay to listen through, with its peer id at the end."""
    direct: Multiaddr | None = None
    """``/ip4/…/udp/…/webrtc-direct``, a UDP port of this host."""


class RelayedAddress(Multiaddr):
    """``<relay>/p2p/<relay id>/p2p-circuit/webrtc``, an address that a host announces with its own peer id behind it.

    Before it does that, py-libp2p cuts off the peer id that an address ends with, and takes the first one in it for
    that, which is the relay's. So this one says that it has none: it ends with none. Who asks by the protocol's code
    takes the address apart, and gets it.
    """

    def value_for_protocol(self, proto: str | int) -> str | None:
        if proto == "p2p":
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


def is_direct(address: Multiaddr) -> bool:
    """Whether it is an address of webrtc-direct."""
    return "webrtc-direct" in protocol_names(address)


def parse_dial_target(address: Multiaddr) -> DialTarget:
    """Take the address of a peer apart.

    It is ``/webrtc/p2p/<id>``, ``<relay>/p2p-circuit/webrtc/p2p/<id>``, or
    ``/ip4/…/udp/…/webrtc-direct/certhash/…[/p2p/<id>]``.

    :raises AddressError: if it is none of these
    """
    if is_relayed_webrtc(address):
        relay, _, end = str(address).rpartition("/p2p-circuit")
        return DialTarget(Multiaddr(end), parse_dial_address(end).peer, Multiaddr(relay))
    return DialTarget(address, parse_dial_address(address).peer)


def parse_listen_target(address: Multiaddr) -> ListenTarget:
    """Take the address apart that a host wants to listen on.

    :raises AddressError: if nobody can listen on ``address``
    """
    names = protocol_names(address)
    if names == ["webrtc"]:
        return ListenTarget()
    if is_relayed_webrtc(address) and names[-1] == "webrtc":
        return ListenTarget(relay=Multiaddr(str(address).rpartition("/p2p-circuit")[0]))
    if is_direct(address):
        return ListenTarget(direct=DirectAddress.parse(address).to_multiaddr())
    raise AddressError(
        f"{address} isn't an address that this transport listens on; expected /webrtc, "
        "<relay address>/p2p/<relay id>/p2p-circuit/webrtc, or /ip4/<address>/udp/<port>/webrtc-direct"
    )
