"""A link in user space between two UDP sockets: packets are delayed, lost, doubled and swapped on their way.

Linux kernels without netem have nothing of the kind. :class:`EmulatedLink` has an address for each end, by which the
other end knows it; run as a program, it makes links by commands like those of ``tests/interop/peers/actor.py``.
"""

import asyncio
import json
import random
import socket
import sys
from dataclasses import replace

from tests.links import Path

SOCKET_BUFFER = 4 * 1024 * 1024
"""Bytes that wait to be read at most: what the link loses is up to its settings alone."""


class EmulatedLink:
    """A link between the ends 0 and 1, with a port of its own for each of them.

    :param host: the local address of both ports
    :param path: how packets fare, in each direction
    :param seed: makes losses repeatable, as far as the same packets come
    """

    def __init__(self, host, path, seed):
        self._loop = asyncio.get_running_loop()
        self._rng = random.Random(seed)
        self.paths = [replace(path), replace(path)]
        """Those of the packets from end 0, and from end 1."""
        self._sockets = [self._bind(host, end) for end in (0, 1)]
        self._ends = [None, None]
        """Where each end really is."""

    @property
    def addresses(self):
        """By these each end is known to the other one."""
        return [port.getsockname() for port in self._sockets]

    def set_end(self, end, address):
        """Where an end really is; what it sends tells so too."""
        self._ends[end] = tuple(address)

    def close(self):
        """Close both ports. What is under way is lost."""
        for port in self._sockets:
            self._loop.remove_reader(port)
            port.close()

    def _bind(self, host, end):
        port = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        port.setblocking(False)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            port.setsockopt(socket.SOL_SOCKET, option, SOCKET_BUFFER)
        port.bind((host, 0))
        self._loop.add_reader(port, self._drain, port, 1 - end)
        return port

    def _drain(self, port, source):
        """Carry what end ``source`` has sent to the port that stands for the other one."""
        while True:
            try:
                packet, address = port.recvfrom(65536)
            except BlockingIOError:
                return
            except OSError:
                # An ICMP error: an end isn't there any more.
                continue
            self._ends[source] = address
            now = self._loop.time()
            for at, carried in self.paths[source].arrivals(packet, now, self._rng):
                self._loop.call_at(at, self._deliver, source, carried)

    def _deliver(self, source, packet):
        port, address = self._sockets[source], self._ends[1 - source]
        if address is None or port.fileno() < 0:
            return
        try:
            port.sendto(packet, address)
        except OSError:
            # Nobody is there, or the other end's buffer is full: the packet is lost, as on any link.
            return
        self.paths[source].delivered += len(packet)


class Links:
    """Makes links by commands."""

    def __init__(self, host):
        self._host = host
        self._links = {}

    def do_open(self, seed, **path):
        number = len(self._links)
        self._links[number] = link = EmulatedLink(self._host, Path(**path), seed)
        return {"link": number, "addresses": link.addresses}

    def do_set_end(self, link, end, address):
        self._links[link].set_end(end, address)

    def do_change(self, link, **changes):
        for path in self._links[link].paths:
            for name, value in changes.items():
                setattr(path, name, value)

    def do_statistics(self, link):
        return [{"packets": path.number, "delivered": path.delivered} for path in self._links[link].paths]

    def do_close(self, link):
        self._links[link].close()


async def main(host):
    """Carry out the commands on standard input, until it ends."""
    links = Links(host)
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    async for line in reader:
        command = json.loads(line)
        number, name = command.pop("id"), command.pop("do")
        result = getattr(links, f"do_{name}")(**command)
        sys.stdout.write(json.dumps({"id": number, "result": result}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
