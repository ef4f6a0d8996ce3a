"""Datagrams on their way across the portal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from .udp_port import Address

MAX_CROSSING: Final = 1024
"""Datagrams that wait on one way. A socket of 4 MiB holds some three times as many packets of full size."""

_T = TypeVar("_T")


class Crossing(Generic[_T]):
    """One way across, for what comes from outside: more than fits is lost, as in a full socket buffer.

    :param cross: runs a function in the other loop
    :param receive: takes there what has crossed, and its source
    """

    def __init__(self, cross: Callable[..., object], receive: Callable[[_T, Address], object]) -> None:
        self._cross = cross
        self._receive = receive
        # Each is counted in one loop, so neither needs a lock.
        self._sent = self._arrived = 0

    def send(self, item: _T, address: Address) -> None:
        """Let it cross, in order."""
        if self._sent - self._arrived < MAX_CROSSING:
            self._sent += 1
            self._cross(self._arrive, item, address)

    def _arrive(self, item: _T, address: Address) -> None:
        self._arrived += 1
        self._receive(item, address)
