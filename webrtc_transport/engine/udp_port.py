"""A UDP socket of our own, read in a drain loop: one wake-up of the event loop for as many datagrams as wait."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections.abc import Callable, Sequence
from typing import Final

from .driver import Driver

MAX_DATAGRAM: Final = 4096
"""Bytes read at once. WebRTC peers stay under an Ethernet frame's 1500; larger datagrams are cut and then dropped."""

DRAIN_LIMIT: Final = 64
"""Datagrams per wake-up, so that a flood on one socket lets the others have their turn."""

SOCKET_BUFFER: Final = 4 * 1024 * 1024
"""Bytes asked of the kernel for each direction. At 256 KiB a fast transfer overruns the socket on a perfect link."""

Address = tuple[str, int]


class UdpPort:
    """One bound UDP socket.

    :param host: the local IP address
    :param on_datagram: called on the event loop with each datagram and its source
    :param port: the local port; 0 lets the kernel choose
    :raises OSError: if the address can't be bound
    """

    def __init__(
        self, driver: Driver, host: str, on_datagram: Callable[[bytes, Address], None], *, port: int = 0
    ) -> None:
        self._driver = driver
        self._on_datagram = on_datagram
        self._socket = _bind(host, port)
        self.address: Address = self._socket.getsockname()[:2]
        driver.add_reader(self._socket, self._drain)

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._socket.fileno() < 0

    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram, or drop it as a full network would: whoever needs it sends it again."""
        # Full buffer, no route, ICMP error of an earlier datagram, closed socket: to UDP all are loss.
        with contextlib.suppress(OSError):
            self._socket.sendto(data, address)

    def send_batch(self, datagrams: Sequence[bytes], address: Address) -> None:
        """Send datagrams to one address, in order; each may be dropped as by :meth:`send`."""
        for data in datagrams:
            self.send(data, address)

    def close(self) -> None:
        """Close the socket. Safe to call twice."""
        if not self.is_closed:
            self._driver.remove_reader(self._socket)
            self._socket.close()

    def _drain(self) -> None:
        receive = self._socket.recvfrom
        for _ in range(DRAIN_LIMIT):
            try:
                data, address = receive(MAX_DATAGRAM)
            except OSError:
                # BlockingIOError: drained. Anything else is an ICMP error of something sent, or a closed socket.
                return
            self._on_datagram(data, address[:2])


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET  # noqa: PLR2004
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock
