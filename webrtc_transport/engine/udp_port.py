"""A UDP socket of our own, read in a drain loop: one wake-up of the event loop for as many datagrams as wait.

On Linux many datagrams share a system call: equal ones to one address are sent as segments of a large one (UDP GSO),
and those that came together are received so (UDP GRO). Where the kernel or the path has neither, each travels alone.

Datagrams are not to be fragmented on their way, unless they are sent so, and what ICMP says of the path's MTU is not
listened to: anybody can say it, and the association finds out by itself (RFC 8899).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ..protocol.limits import MAX_DATAGRAM
from .driver import Driver
from .source_filter import SourceFilter

MAX_RECEIVE: Final = 65535
"""Bytes of datagrams that the kernel gives as one: what the length field of UDP can tell."""

DRAIN_LIMIT: Final = 64
"""Datagrams per wake-up, so that a flood on one socket lets the others have their turn. The last call of a wake-up may
bring up to ``MAX_SEGMENTS`` at once."""

LONE_READS: Final = 8
"""Wake-ups that read one datagram each, after one that found no second. To look in vain costs as much as to read, and
what isn't looked for wakes the loop again."""

MAX_SEGMENTS: Final = 64
"""Datagrams that the kernel takes as one (UDP_MAX_SEGMENTS; 128 since Linux 6.9)."""

MAX_SEND: Final = 65000
"""Bytes of them: under what the length field of IP can tell, with the headers."""

SOCKET_BUFFER: Final = 4 * 1024 * 1024
"""Bytes asked of the kernel for each direction. At 256 KiB a fast transfer overruns the socket on a perfect link."""

SURE_DATAGRAM: Final = 1200
"""Bytes that every path carries (RFC 8899, section 5.1.2: BASE_PLPMTU)."""

_UDP_SEGMENT: Final = 103
_UDP_GRO: Final = 104
"""From linux/udp.h; the socket module doesn't name them."""

_IP_MTU_DISCOVER: Final = 10
_IPV6_MTU_DISCOVER: Final = 23
_IPV6_MTU: Final = 24
_PMTUDISC_DONT: Final = 0
_PMTUDISC_PROBE: Final = 3
"""From linux/in.h and linux/in6.h (ip(7), ipv6(7)): fragment; and never do, whatever is known of the path."""

_IPV6_SURE_MTU: Final = 1280
"""Bytes of fragments of IPv6, which only the sender makes: what every path carries (RFC 8200, section 5)."""

_UNSUPPORTED: Final = frozenset(
    {errno.EIO, errno.EINVAL, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EMSGSIZE}
)
"""What the kernel says if it, or the interface that the route takes, can't cut segments (udp(7))."""

_SEGMENT_SIZE: Final = struct.Struct("=H")
_RECEIVED_SIZE: Final = struct.Struct("=i")

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
        self.source_filter = SourceFilter(self._socket)
        """Of what comes in; at first it lets everything through."""
        self._lone_reads = 0
        """Wake-ups to come that needn't look for a second datagram."""
        self._may_fragment = False
        """Whether IP may fragment what is sent now."""
        self._can_segment = sys.platform == "linux"
        self._receive = self._receive_many if _enable_gro(self._socket) else self._receive_one
        try:
            self.address: Address = self._socket.getsockname()[:2]
            driver.add_reader(self._socket, self._drain)
        except BaseException:
            self._socket.close()
            raise

    @property
    def is_closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._socket.fileno() < 0

    def send(self, data: bytes, address: Address) -> bool:
        """Send one datagram, or drop it as a full network would: whoever needs it sends it again. IP may fragment it if
        that was so with the last batch.

        Returns whether its size was no reason for that: ``False`` if the interface takes none so large.
        """
        # Full buffer, no route, ICMP error of an earlier datagram, closed socket: to UDP all are loss.
        try:
            self._socket.sendto(data, address)
        except OSError as exc:
            return exc.errno != errno.EMSGSIZE
        return True

    def send_batch(self, datagrams: Sequence[bytes], address: Address, *, may_fragment: bool = False) -> bool:
        """Send datagrams to one address, in order; each may be dropped as by :meth:`send`.

        :param may_fragment: whether IP may fragment them
        :return: whether the size of none was a reason to drop it
        """
        if may_fragment is not self._may_fragment and not self.is_closed:
            # Whoever needs it does most often, or never: a change for each packet would cost as much as the packet.
            self._may_fragment = may_fragment
            _set_fragmentation(self._socket, is_allowed=may_fragment)
        if len(datagrams) == 1:
            return self.send(datagrams[0], address)
        if may_fragment or not self._can_segment:
            return self._send_each(datagrams, address)
        fits = True
        for run in _runs(datagrams):
            fits &= self._send_run(run, address)
        return fits

    def _send_each(self, datagrams: Sequence[bytes], address: Address) -> bool:
        fits = True
        for data in datagrams:
            fits &= self.send(data, address)
        return fits

    def close(self) -> None:
        """Close the socket. Safe to call twice."""
        if not self.is_closed:
            self._driver.remove_reader(self._socket)
            self._socket.close()

    def _send_run(self, run: Sequence[bytes], address: Address) -> bool:
        if len(run) > 1 and self._can_segment:
            size = _SEGMENT_SIZE.pack(len(run[0]))
            try:
                self._socket.sendmsg(run, [(socket.IPPROTO_UDP, _UDP_SEGMENT, size)], 0, address)
            except OSError as exc:
                if exc.errno not in _UNSUPPORTED:
                    # As in send().
                    return True
                # Nothing has left. What is refused because it is larger than the interface takes, such as a probe of
                # the path MTU, says nothing about the others.
                self._can_segment = len(run[0]) > SURE_DATAGRAM
            else:
                return True
        return self._send_each(run, address)

    def _drain(self) -> None:
        count, limit = 0, DRAIN_LIMIT
        if self._lone_reads:
            self._lone_reads -= 1
            limit = 1
        while count < limit:
            try:
                data, address, size = self._receive()
            except OSError:
                # BlockingIOError: drained. Anything else is an ICMP error of something sent, or a closed socket.
                if count == 1:
                    self._lone_reads = LONE_READS
                return
            if not size:
                count += 1
                self._on_datagram(data[:MAX_DATAGRAM], address)
                continue
            self._lone_reads = 0
            for start in range(0, len(data), size):
                count += 1
                self._on_datagram(data[start : start + min(size, MAX_DATAGRAM)], address)
                if self.is_closed:
                    return

    def _receive_one(self) -> tuple[bytes, Address, int]:
        data, address = self._socket.recvfrom(MAX_DATAGRAM)
        return data, address[:2], 0

    def _receive_many(self) -> tuple[bytes, Address, int]:
        """What the kernel has put together, its source, and the size of each datagram but the last; 0 if it is one."""
        data, ancillary, _, source = self._socket.recvmsg(MAX_RECEIVE, _ANCILLARY_SIZE)
        size: int = _RECEIVED_SIZE.unpack(ancillary[0][2])[0] if ancillary else 0
        return data, source[:2], size


_ANCILLARY_SIZE: Final = socket.CMSG_SPACE(_RECEIVED_SIZE.size) if sys.platform == "linux" else 0


def _runs(datagrams: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Cut into runs that can be sent as one: of one size, but for the last one of a run, which may be shorter."""
    start, count = 0, len(datagrams)
    while start < count:
        size = len(datagrams[start])
        limit = min(count, start + min(MAX_SEGMENTS, MAX_SEND // size if size else 1))
        end = start + 1
        while end < limit and len(datagrams[end]) == size:
            end += 1
        if end < limit and 0 < len(datagrams[end]) < size:
            end += 1
        yield datagrams[start:end]
        start = end


def _enable_gro(sock: socket.socket) -> bool:
    if sys.platform != "linux":
        return False
    try:
        sock.setsockopt(socket.IPPROTO_UDP, _UDP_GRO, 1)
    except OSError:
        return False
    return True


def _set_fragmentation(sock: socket.socket, *, is_allowed: bool) -> None:
    """Let IP fragment what is sent from now on, or forbid it."""
    if sys.platform != "linux":
        # Elsewhere the system's default holds.
        return
    mode = _PMTUDISC_DONT if is_allowed else _PMTUDISC_PROBE
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU, _IPV6_SURE_MTU if is_allowed else 0)
        sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_MTU_DISCOVER, mode)
    else:
        sock.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, mode)


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET  # noqa: PLR2004
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            sock.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
        if family == socket.AF_INET6:
            # IPv4 has a socket of its own, which may have the same port.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _set_fragmentation(sock, is_allowed=False)
        sock.bind((host, port))
    except BaseException:
        sock.close()
        raise
    return sock
