"""Which peer a datagram on a shared UDP port belongs to (libp2p specs, ``webrtc/webrtc-direct.md``, step 6).

Nearly every datagram is found by its source address alone, with one look into a table. STUN checks are found by
their USERNAME too: one of a known peer from an unknown address is that peer, moved; one of nobody is a newcomer. Who
isn't known is refused in the order of what a refusal costs: the kind of the datagram, the admission, the owner's
``gater``, the message's form, the credentials, the HMAC. No table grows without bound, and none is searched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final, Generic, TypeVar

from .admission import Admission
from .limits import (
    MAX_DIRECT_PEERS,
    MAX_HALF_OPEN_PEERS,
    MAX_PEER_ADDRESSES,
    MIN_HALF_OPEN_SECONDS,
    PEER_MOVES_BURST,
    PEER_MOVES_PER_SECOND,
)
from .rate_limit import Rate, TokenBucket
from .stun_message import Address, MessageKind, StunError, StunMessage
from .ufrag import DirectCredentials, UfragError, parse_username, peek_username

PeerT = TypeVar("PeerT")

_MOVES: Final = Rate(PEER_MOVES_PER_SECOND, PEER_MOVES_BURST)


class DropReason(Enum):
    """Why a datagram went nowhere."""

    # That of Enum is a function of Python's, and there may be fifty thousand to count in a second.
    __hash__ = object.__hash__

    UNKNOWN_SOURCE = auto()
    """From an address that no peer has, and not a check of webrtc-direct."""
    NOT_ADMITTED = auto()
    """There are too many newcomers, or the peer moves too often."""
    GATED = auto()
    """The application refuses this address."""
    MALFORMED = auto()
    """Begins like STUN and isn't."""
    BAD_CREDENTIALS = auto()
    """The USERNAME isn't one of webrtc-direct."""
    NOT_AUTHENTIC = auto()
    """MESSAGE-INTEGRITY is missing or wrong."""
    TOO_MANY_PEERS = auto()


@dataclass(frozen=True, slots=True)
class Check(Generic[PeerT]):
    """A STUN message of a peer; its agent has to look at it, also whether it is authentic."""

    peer: PeerT
    message: StunMessage


@dataclass(frozen=True, slots=True)
class Newcomer(Generic[PeerT]):
    """An authentic check of nobody yet: for its owner to answer by :meth:`Demultiplexer.add`, or not at all."""

    credentials: DirectCredentials
    message: StunMessage
    displaced: PeerT | None
    """A peer whose handshake goes on for too long while there are too many: to be given up by the owner. The
    demultiplexer has forgotten it already."""


_Outcome = Check[PeerT] | Newcomer[PeerT] | DropReason


class _Entry(Generic[PeerT]):
    """What is known of a peer."""

    __slots__ = ("added_at", "addresses", "has_begun", "moves", "peer", "username")

    def __init__(self, peer: PeerT, username: bytes, now: float) -> None:
        self.peer = peer
        self.username = username
        self.added_at = now
        self.moves = TokenBucket(_MOVES, now)
        self.addresses: dict[Address, None] = {}
        """That of the latest check comes last."""
        self.has_begun = False
        """Whether it does more than check."""


class Demultiplexer(Generic[PeerT]):
    """The peers of one port. They are hashable, and what they are is the owner's business.

    :param gater: asked with the address of each newcomer before anything is computed for it
    """

    def __init__(
        self,
        now: float,
        *,
        admission: Admission | None = None,
        gater: Callable[[Address], bool] | None = None,
        max_peers: int = MAX_DIRECT_PEERS,
        max_half_open: int = MAX_HALF_OPEN_PEERS,
    ) -> None:
        self.dropped: Counter[DropReason] = Counter()
        self.strangers = 0
        """Datagrams from addresses that no peer had."""
        self._admission = admission or Admission(now)
        self._gater = gater
        self._max_peers = max_peers
        self._max_half_open = max_half_open
        self._by_address: dict[Address, _Entry[PeerT]] = {}
        self._by_username: dict[bytes, _Entry[PeerT]] = {}
        self._entries: dict[PeerT, _Entry[PeerT]] = {}
        self._half_open: dict[PeerT, _Entry[PeerT]] = {}
        """The oldest first."""

    def __len__(self) -> int:
        """Peers, whether their handshake is done or not."""
        return len(self._entries)

    @property
    def half_open(self) -> int:
        """Peers whose handshake isn't done."""
        return len(self._half_open)

    # --- datagrams --------------------------------------------------------------------------------------------------

    def peer_at(self, address: Address) -> PeerT | None:
        """The peer that has ``address``, for any datagram that isn't STUN."""
        entry = self._by_address.get(address)
        if entry is None:
            self.strangers += 1
            self.dropped[DropReason.UNKNOWN_SOURCE] += 1
            return None
        return entry.peer

    def route_stun(self, data: bytes, address: Address, now: float) -> Check[PeerT] | Newcomer[PeerT] | None:
        """Find the peer of a datagram that begins like STUN. None: it is dropped, and counted in ``dropped``."""
        entry = self._by_address.get(address)
        if entry is None:
            self.strangers += 1
            outcome = self._route_unknown(data, peek_username(data), address, now)
        else:
            outcome = self._route_known(entry, data, address, now)
        if isinstance(outcome, DropReason):
            self.dropped[outcome] += 1
            return None
        return outcome

    def _route_known(
        self, entry: _Entry[PeerT], data: bytes, address: Address, now: float
    ) -> _Outcome[PeerT]:
        try:
            message = StunMessage(data)
        except StunError:
            return DropReason.MALFORMED
        username = message.username
        if message.kind == MessageKind.BINDING_REQUEST and username not in (None, entry.username):
            # Another peer at an address that had one: a NAT, or a dialer that started again.
            return self._route_unknown(data, username or b"", address, now)
        self._bind(entry, address)
        return Check(entry.peer, message)

    def _route_unknown(self, data: bytes, username: bytes, address: Address, now: float) -> _Outcome[PeerT]:
        """Find the peer by its ``username``, which may be a guess."""
        if not username:
            return DropReason.UNKNOWN_SOURCE
        entry = self._by_username.get(username)
        if entry is None or entry.peer in self._half_open:
            # Who came just now may have come for this: one check more from each of many sources that it makes up.
            is_admitted = self._admission.admit(username, address, now)
        else:
            # Nobody else knows the USERNAME of a peer that is proven: a flood doesn't keep it from moving.
            is_admitted = entry.moves.take(now)
        if not is_admitted:
            return DropReason.NOT_ADMITTED
        if self._gater is not None and not self._gater(address):
            return DropReason.GATED
        try:
            message = StunMessage(data)
        except StunError:
            return DropReason.MALFORMED
        if message.kind != MessageKind.BINDING_REQUEST or message.username != username:
            return DropReason.BAD_CREDENTIALS
        return self._newcomer(message, now) if entry is None else self._moved(entry, message, address)

    def _moved(self, entry: _Entry[PeerT], message: StunMessage, address: Address) -> _Outcome[PeerT]:
        # In both flows the server's password is its ufrag, which is the USERNAME up to the colon.
        if not message.is_authentic(entry.username.partition(b":")[0]):
            return DropReason.NOT_AUTHENTIC
        self._bind(entry, address)
        return Check(entry.peer, message)

    def _newcomer(self, message: StunMessage, now: float) -> _Outcome[PeerT]:
        try:
            credentials = parse_username(message.username or b"")
        except UfragError:
            return DropReason.BAD_CREDENTIALS
        if not message.is_authentic(credentials.server.password.encode()):
            return DropReason.NOT_AUTHENTIC
        displaced = None
        if len(self._half_open) >= self._max_half_open:
            oldest = next(iter(self._half_open.values()))
            if now - oldest.added_at < MIN_HALF_OPEN_SECONDS:
                return DropReason.TOO_MANY_PEERS
            displaced = oldest.peer
        elif len(self._entries) >= self._max_peers:
            return DropReason.TOO_MANY_PEERS
        if displaced is not None:
            self.forget(displaced)
        return Newcomer(credentials, message, displaced)

    # --- peers ------------------------------------------------------------------------------------------------------

    def add(self, peer: PeerT, newcomer: Newcomer[PeerT], address: Address, now: float) -> None:
        """Take ``peer`` for the newcomer whose check came from ``address``. Its handshake isn't done yet."""
        username = newcomer.credentials.username
        entry = self._entries[peer] = self._half_open[peer] = _Entry(peer, username, now)
        self._by_username[username] = entry
        self._bind(entry, address)

    def begun(self, peer: PeerT) -> None:
        """Tell that ``peer`` does more than check: it has begun DTLS."""
        self._entries[peer].has_begun = True

    def addresses(self, now: float) -> Iterator[Address]:
        """Those of peers, but for those that are long in beginning: in a flood most of them never will."""
        for peer, entry in self._entries.items():
            if entry.has_begun or peer not in self._half_open or now - entry.added_at < MIN_HALF_OPEN_SECONDS:
                yield from entry.addresses

    def peers(self) -> list[PeerT]:
        """All of them, now."""
        return list(self._entries)

    def established(self, peer: PeerT) -> None:
        """Tell that the handshake of ``peer`` is done: it is displaced by nobody any more."""
        self._half_open.pop(peer, None)

    def forget(self, peer: PeerT) -> None:
        """Tell that ``peer`` is gone. Its addresses are free. Safe to call twice."""
        entry = self._entries.pop(peer, None)
        if entry is None:
            return
        self._half_open.pop(peer, None)
        del self._by_username[entry.username]
        for address in entry.addresses:
            del self._by_address[address]

    def _bind(self, entry: _Entry[PeerT], address: Address) -> None:
        holder = self._by_address.get(address)
        if holder is not None:
            del holder.addresses[address]
        elif len(entry.addresses) >= MAX_PEER_ADDRESSES:
            self._unbind_oldest(entry)
        entry.addresses[address] = None
        self._by_address[address] = entry

    def _unbind_oldest(self, entry: _Entry[PeerT]) -> None:
        oldest = next(iter(entry.addresses))
        del entry.addresses[oldest]
        del self._by_address[oldest]
