"""Which packets does the path carry? Path-MTU discovery by probes, as RFC 8899 (section 6.2) has it for SCTP.

A probe is a HEARTBEAT that a PAD chunk (RFC 4820) fills up to the size in question: nothing but itself is lost with
it. Sizes grow from the base until one fails. The search begins when there is something to win, a bulk transfer.

The path may become narrower without a word. When packets above the base are lost again and again, and none of them
arrives, size is to blame (RFC 8899, section 4.3): packets fall back to the base, and the search begins anew.

Chunks can't be cut anew once they have a TSN: what was cut for a path that has become narrower stays as it is, and IP
has to fragment it (RFC 9260, section 6.9). All other packets forbid that, or a probe would prove nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .packet import CHUNK_HEADER, COMMON_HEADER, ChunkType, ParameterType, encode_chunk, encode_parameter

STEPS: Final = (1240, 1340, 1376, 1412, 1432)
"""Sizes worth trying: 1280 and 1400 of common tunnels, TURN over Ethernet, Ethernet with IPv6, and with IPv4."""

MAX_PROBES: Final = 3
"""Times that a size is tried (RFC 8899, section 5.1.2)."""

PROBE_TIMEOUT: Final = 1.0
"""Seconds until a probe is sent again, unless the retransmission timeout is longer. An answer that comes later counts
as well."""

RAISE_INTERVAL: Final = 600.0
"""Seconds until what failed is tried again (RFC 8899, section 5.1.1: PMTU_RAISE_TIMER)."""

BLACK_HOLE_LOSSES: Final = 3
"""Times in a row that packets above the base are lost, until their size is to blame: as often as a probe is tried."""

BLACK_HOLE_PAUSE: Final = 1.0
"""Seconds from there to the next search. If larger packets vanish once more within :data:`RAISE_INTERVAL`, the search
waits as long: the path may be one that lets probes pass, and data not."""


class PathMtu:
    """Finds the largest packet; sizes are bytes with the common header.

    :param base: what any path carries
    :param largest: what is tried at most
    :param random: gives random bytes
    """

    def __init__(self, base: int, largest: int, random: Callable[[int], bytes]) -> None:
        self.size = base
        """Of packets that get through."""
        self.timer: float | None = None
        """When a probe is to be sent."""
        self._base = base
        self._sizes = sorted({size for size in STEPS if base < size < largest} | {largest} - {base})
        self._random = random
        self._nonces: set[bytes] = set()
        """Of the probes of the next size: each may still be answered, even after the search has been put off."""
        self._tries = 0
        self._is_begun = False
        self._narrowed_at = -RAISE_INTERVAL

    def begin(self, now: float) -> None:
        """There is much to send: look what the path carries, if that isn't known yet."""
        if not self._is_begun:
            self._is_begun = True
            self._search(now)

    def _search(self, at: float) -> None:
        self._tries = 0
        self.timer = at if self._next_size is not None else None

    @property
    def _next_size(self) -> int | None:
        return next((size for size in self._sizes if size > self.size), None)

    def handle_timer(self, now: float, timeout: float, *, is_stalled: bool) -> list[bytes]:
        """The chunks of a packet that is to be sent by itself now, or none.

        :param timeout: for retransmissions
        :param is_stalled: nothing of any size has been acknowledged lately: that a probe is lost says nothing of sizes
        """
        size = self._next_size
        if self.timer is None or now < self.timer or size is None:
            return []
        if self._tries >= MAX_PROBES:
            self._search(now + RAISE_INTERVAL)
            return []
        if not self._tries:
            self._nonces.clear()
        self._tries += not is_stalled
        self.timer = now + max(PROBE_TIMEOUT, timeout)
        nonce = self._random(8)
        self._nonces.add(nonce)
        heartbeat = encode_chunk(ChunkType.HEARTBEAT, encode_parameter(ParameterType.HEARTBEAT_INFO, nonce))
        padding = size - COMMON_HEADER.size - len(heartbeat) - CHUNK_HEADER.size
        return [heartbeat, encode_chunk(ChunkType.PAD, bytes(padding))]

    def answered(self, information: bytes, now: float) -> bool:
        """Take what came back in a HEARTBEAT ACK; returns whether it was a probe's, and the size has grown."""
        size = self._next_size
        probes = [encode_parameter(ParameterType.HEARTBEAT_INFO, nonce) for nonce in self._nonces]
        if size is None or information not in probes:
            return False
        self.size = size
        self._nonces.clear()
        self._search(now)
        return True

    def refused(self, now: float) -> None:
        """The interface doesn't take the probe: no answer is to be waited for."""
        self._nonces.clear()
        self._search(now + RAISE_INTERVAL)

    def narrowed(self, now: float) -> bool:
        """Packets of this size don't get through: fall back to the base; returns whether that is a change."""
        if self.size == self._base:
            return False
        is_first = now - self._narrowed_at >= RAISE_INTERVAL
        self.size, self._narrowed_at = self._base, now
        self._nonces.clear()
        self._search(now + (BLACK_HOLE_PAUSE if is_first else RAISE_INTERVAL))
        return True
