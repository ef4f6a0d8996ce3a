"""Bounds the TCP connections of one address, whatever is sent over them: idle ones cost memory and a descriptor too.

One that has become a WebSocket has left: it is bounded as a client (:mod:`.admission`).
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import cast

from .client_address import ClientAddresses


class SocketCount:
    """The TCP connections that speak HTTP, or have said nothing yet, by address.

    :param addresses: whose trusted proxies are not counted, for they come for many
    """

    def __init__(self, max_per_address: int, addresses: ClientAddresses) -> None:
        self._max_per_address = max_per_address
        self._addresses = addresses
        self._open: Counter[str] = Counter()

    def enter(self, remote: str | None) -> str | None:
        """A connection begins; returns what to :meth:`leave` with, or ``None`` if there are too many."""
        address = self._addresses.of(remote, ())
        if self._open[address] >= self._max_per_address and not self._addresses.is_proxy(remote):
            return None
        self._open[address] += 1
        return address

    def leave(self, address: str) -> None:
        """A connection ends."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


class CountedProtocol(asyncio.Protocol):
    """Stands before the HTTP protocol of one connection, which it makes only if there is room."""

    __slots__ = ("_address", "_count", "_inner", "_make")

    def __init__(self, make: Callable[[], asyncio.Protocol], count: SocketCount) -> None:
        self._make = make
        self._count = count
        self._inner: asyncio.Protocol | None = None
        self._address: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        peername: object = transport.get_extra_info("peername")
        remote = peername[0] if isinstance(peername, tuple) else None
        self._address = self._count.enter(remote)
        if self._address is None:
            cast("asyncio.Transport", transport).abort()
            return
        self._inner = self._make()
        self._inner.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._inner is not None and self._address is not None:
            self._count.leave(self._address)
            self._inner.connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._inner is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._inner is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        if self._inner is not None:
            self._inner.resume_writing()
