"""Settings of an association."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from .congestion import CongestionControl, Cubic, NewReno
from .congestion_model import Model

DTLS_OVERHEAD: Final = 37
"""Bytes of a DTLS 1.2 record beside its content: header (13), explicit nonce (8) and tag (16)."""

BASE_DATAGRAM_SIZE: Final = 1200
"""Bytes of a UDP payload that any path carries (RFC 8831, section 5)."""

MAX_DATAGRAM_SIZE: Final = 1472
"""Bytes of a UDP payload in an Ethernet frame: 1500 less IPv4 (20) and UDP (8)."""


def packet_size_in(datagram_size: int) -> int:
    """The largest SCTP packet in a UDP payload of so many bytes: less DTLS, in whole words."""
    return (datagram_size - DTLS_OVERHEAD) // 4 * 4


BASE_PACKET_SIZE: Final = packet_size_in(BASE_DATAGRAM_SIZE)
MAX_PACKET_SIZE: Final = packet_size_in(MAX_DATAGRAM_SIZE)

CongestionName = Literal["cubic", "newreno", "model"]

CONGESTION_CONTROLS: Final[Mapping[CongestionName, Callable[[int], CongestionControl]]] = {
    "cubic": Cubic,
    "newreno": NewReno,
    "model": Model,
}
"""What can be chosen by name: CUBIC (RFC 9438), NewReno (RFC 9260, section 7.2), a model of the path."""


@dataclass(frozen=True, slots=True)
class AssociationSettings:
    """Settings of an association. Sizes are bytes.

    :raises ValueError: if they can't work together
    """

    port: int = 5000
    """Ours (RFC 8841, section 5)."""
    peer_port: int = 5000
    window: int = 1024 * 1024
    """What may wait for the application to read it, and for fragments that are missing, with what the interpreter takes
    for each message and fragment."""
    max_message_size: int = 256 * 1024
    """The largest message that is taken from the peer; a larger one ends the association."""
    packet_size: int = BASE_PACKET_SIZE
    """The largest packet, with the common header, before more is known of the path."""
    max_packet_size: int = MAX_PACKET_SIZE
    """The largest packet that is tried on the path; ``packet_size`` if nothing is to be tried."""
    max_in_flight: int = 4 * 1024 * 1024
    """Payload that may be sent and not acknowledged for good: it is kept until then. A peer may announce a window of
    4 GiB, and acknowledge everything but the first packet."""
    streams: int = 65535
    """Streams of each direction (RFC 8831, section 6.2)."""
    congestion: Callable[[int], CongestionControl] = Cubic
    liveness_timeout: float = 60.0
    """Seconds of silence after which the peer is given up."""

    def __post_init__(self) -> None:
        if self.packet_size < BASE_PACKET_SIZE or self.packet_size % 4 or self.max_packet_size % 4:
            raise ValueError(f"packets have {BASE_PACKET_SIZE} bytes or more, in whole words")
        if self.max_packet_size < self.packet_size:
            raise ValueError("the largest packet is smaller than the first ones")
        if self.window < 2 * self.max_message_size:
            # One message may wait to be read and the next one arrive: else the first shuts the window for the fragments
            # of the second, which then come one for each probe of the window.
            raise ValueError("the window must have room for two of the largest messages")
        if self.max_in_flight < self.max_packet_size:
            raise ValueError("a packet must be able to be in flight")
        if not 0 < self.streams <= 65535:  # noqa: PLR2004 - stream ids have 16 bits, and 65535 is reserved
            raise ValueError("an association has between 1 and 65535 streams")
