"""The multiaddrs that this transport dials and listens on (libp2p specs, ``webrtc/webrtc.md``, step 1).

Those of webrtc-direct stand in :mod:`.protocol.direct_address`.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final, Literal

from multiaddr import Multiaddr
from multiaddr.exceptions import Error as MultiaddrError

from .errors import AddressError, IdentityError
from .identity import PeerId
from .protocol.direct_address import DirectAddress
from .protocol.sdp import IceCandidate

_MAX_LENGTH: Final = 1024
"""Bytes of an address; through a relay to a named peer it has some 250 at most."""

_WEBRTC: Final = "/webrtc"
_DIAL_FORM: Final = (
    "/webrtc/p2p/<peer id> or /ip4/<address>/udp/<port>/webrtc-direct/certhash/<hash>[/p2p/<peer id>]"
)
_LISTEN_FORM: Final = "/webrtc or /ip4/<address>/udp/<port>/webrtc-direct"


@dataclass(frozen=True, slots=True)
class DialAddress:
    """How to reach a peer by signaling."""

    kind: Literal["webrtc"]
    peer: PeerId


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """How to be reached by signaling."""

    kind: Literal["webrtc"]


def webrtc_address(peer_id: PeerId | None = None) -> Multiaddr:
    """``/webrtc/p2p/<peer id>``, or ``/webrtc`` alone."""
    return Multiaddr(_WEBRTC if peer_id is None else f"{_WEBRTC}/p2p/{peer_id}")


def candidate_address(candidate: IceCandidate) -> Multiaddr:
    """The transport address of an ICE candidate: ``/ip4/…/udp/…``, or ``/dns/<name>.local/udp/…``."""
    if candidate.address.endswith(".local"):
        protocol = "dns"
    else:
        protocol = f"ip{ipaddress.ip_address(candidate.address).version}"
    return Multiaddr(f"/{protocol}/{candidate.address}/{candidate.transport}/{candidate.port}")


def parse_dial_address(address: str | Multiaddr) -> DialAddress | DirectAddress:
    """Take the multiaddr of a peer apart.

    :raises AddressError: if it is neither of the form ``/webrtc/p2p/<peer id>`` nor one of webrtc-direct with a
        ``certhash``
    """
    text = _text_of(address, expected=_DIAL_FORM)
    match text.split("/"):
        case ["", "webrtc", "p2p", peer]:
            return DialAddress("webrtc", _parse_peer_id(text, peer))
        case ["", "webrtc"]:
            problem = "doesn't say which peer to dial"
        case components if "webrtc-direct" in components:
            return DirectAddress.parse_dial(text)
        case components if "p2p-circuit" in components:
            problem = "leads through a relay, which this version doesn't dial"
        case _:
            problem = "isn't an address that this transport dials"
    raise AddressError(f"{text!r} {problem}; expected {_DIAL_FORM}")


def parse_listen_address(address: str | Multiaddr, own: PeerId) -> ListenAddress | DirectAddress:
    """Take the multiaddr apart that a peer, ``own``, wants to listen on.

    :raises AddressError: if it is neither ``/webrtc`` nor one of webrtc-direct, or names another peer
    """
    text = _text_of(address, expected=_LISTEN_FORM)
    match text.split("/"):
        case ["", "webrtc"]:
            return ListenAddress("webrtc")
        case ["", "webrtc", "p2p", peer]:
            if _parse_peer_id(text, peer) == own:
                return ListenAddress("webrtc")
            problem = f"names another peer than this one, {own}"
        case components if "webrtc-direct" in components:
            direct = DirectAddress.parse(text)
            if direct.is_name:
                problem = "has a name, and a listener needs an IP address; 0.0.0.0 and :: stand for all"
            elif direct.peer in (None, own):
                return direct
            else:
                problem = f"names another peer than this one, {own}"
        case _:
            problem = "isn't an address that this transport listens on"
    raise AddressError(f"{text!r} {problem}; expected {_LISTEN_FORM}")


def _text_of(address: str | Multiaddr, *, expected: str) -> str:
    # Typed programs can't; others do, and would get an AttributeError.
    if not isinstance(address, str | Multiaddr):
        raise TypeError(f"an address is text like {expected}, or a Multiaddr, not {address!r:.100}")
    raw = address if isinstance(address, str) else address.to_bytes()
    if len(raw) > _MAX_LENGTH:
        raise AddressError(
            f"an address of more than {_MAX_LENGTH} bytes is none of ours; expected {expected}"
        )
    try:
        return str(address)
    except (ValueError, TypeError, ArithmeticError, MultiaddrError):
        # A Multiaddr decodes its bytes when it is printed, and some malformed ones raise what Python raised inside.
        raise AddressError(
            f"the multiaddr with the bytes {raw!r} is malformed; expected {expected}"
        ) from None


def _parse_peer_id(address: str, text: str) -> PeerId:
    try:
        return PeerId.from_string(text)
    except IdentityError as exc:
        raise AddressError(f"{address!r}: {exc}") from None
