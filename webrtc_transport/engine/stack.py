"""What is above ICE: a stack of DTLS and SCTP, on whichever event loop."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Protocol

from ..abc import ChannelEvents, EngineChannel, PeerSettings, PeerStatistics
from ..protocol.sdp import SessionDescription


class SendPackets(Protocol):
    """Sends packets to the peer, in this order."""

    def __call__(self, packets: Sequence[bytes], *, may_fragment: bool = False) -> bool:
        """Send packets.

        :param may_fragment: whether IP may fragment those that are too large for the path
        :return: whether all was well with their size; ``False`` if the interface refused one for it
        """
        ...


class StackEvents(ABC):
    """What a stack tells, on its loop."""

    @abstractmethod
    def on_secured(self) -> None:
        """The DTLS handshake is done, and the peer's certificate has one of the fingerprints; SCTP begins."""

    @abstractmethod
    def on_established(self) -> None:
        """The SCTP association is set up: channels can be opened."""

    @abstractmethod
    def on_channel(self, channel: EngineChannel) -> None:
        """See :meth:`~webrtc_transport.abc.PeerEvents.on_channel`."""

    @abstractmethod
    def on_ended(self, reason: Exception) -> None:
        """The set-up failed, or the connection is over: told at most once, and not after the stack was closed.

        The owner then closes the stack. The reason is a :exc:`~webrtc_transport.errors.DtlsFailed`, a
        :exc:`~webrtc_transport.errors.SctpFailed`, or, when it was established, what ended the connection.
        """


class Stack(ABC):
    """DTLS and SCTP over packets that somebody else carries. Methods are called on its loop."""

    @abstractmethod
    def start(self) -> None:
        """Begin the DTLS handshake; SCTP follows. Packets may come before."""

    @abstractmethod
    def packet_received(self, data: bytes) -> None:
        """A DTLS packet arrived."""

    @abstractmethod
    def open_channel(self, events: ChannelEvents, label: str, negotiated_id: int | None) -> EngineChannel:
        """See :meth:`~webrtc_transport.abc.EnginePeer.open_channel`."""

    @abstractmethod
    def grant(self, size: int) -> None:
        """See :meth:`~webrtc_transport.abc.EnginePeer.grant`."""

    @abstractmethod
    def statistics(self) -> PeerStatistics:
        """See :meth:`~webrtc_transport.abc.EnginePeer.statistics`."""

    @abstractmethod
    def close(self, done: Callable[[], object] = lambda: None) -> None:
        """Tell the peer, release everything, and call ``done`` then: in half a second at most. Safe at any time."""


StackFactory = Callable[[SendPackets, bool, SessionDescription, PeerSettings, StackEvents], Stack]
"""Builds a stack from: what sends packets, whether we are DTLS server, the peer's description, settings, events."""
