"""Transports and connections of webrtc-direct for tests, on loopback, and a relay that stands for what is between."""

import contextlib
import socket

import anyio

from tests.pairs import Pair
from webrtc_transport import Identity, TransportConfig, WebRTCTransport
from webrtc_transport.protocol.direct_address import DirectAddress

ANY_PORT = "/ip4/127.0.0.1/udp/0/webrtc-direct"


def transport(identity=None, **settings):
    return WebRTCTransport(identity or Identity.generate(), config=TransportConfig(**settings))


@contextlib.asynccontextmanager
async def connected(*, listen=ANY_PORT, dialer=None, listener=None, timeout=60):
    """Both ends of a connection. A test that takes longer than ``timeout`` seconds over it has failed.

    :param dialer: settings of the one that dials, and ``listener`` of the other
    """
    with anyio.fail_after(timeout):
        async with transport(**(listener or {})) as server, transport(**(dialer or {})) as client:
            listening = await server.listen(listen)
            pair = Pair(await client.dial(listening.addresses[-1]), await listening.accept())
            async with pair.dialer, pair.listener:
                yield pair


def at_port(address, port):
    """``address`` with another port."""
    parsed = DirectAddress.parse(address)
    return str(DirectAddress("ip4", "127.0.0.1", port, parsed.certhashes, parsed.peer))


def bound_socket():
    """A UDP socket on loopback."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setblocking(False)
    sock.bind(("127.0.0.1", 0))
    return sock


async def datagrams(sock):
    """What arrives, and from where. Not by an anyio socket: making one takes a thread, which looks names up."""
    while True:
        await anyio.wait_readable(sock)
        yield sock.recvfrom(65536)


class Relay:
    """Carries datagrams between a dialer and a listener, like a NAT.

    ``loses`` is told the direction, ``up`` to the listener or ``down``, and each datagram. ``delay`` is the seconds
    that each is under way.
    """

    def __init__(self, task_group, address):
        self.loses = lambda direction, data: False
        self.delay = 0
        self._tasks = task_group
        self._target = ("127.0.0.1", DirectAddress.parse(address).port)
        self._address = address
        self._dialer = None

    def open(self):
        self._near = bound_socket()
        self.address = at_port(self._address, self._near.getsockname()[1])
        self.rebind()
        self._tasks.start_soon(self._carry_up)

    def rebind(self):
        """Get another address towards the listener."""
        self._far = bound_socket()
        self._tasks.start_soon(self._carry_down, self._far)

    async def _carry_up(self):
        with self._near:
            async for data, source in datagrams(self._near):
                self._dialer = source
                if not self.loses("up", data):
                    await self._deliver(self._far, data, self._target)

    async def _carry_down(self, far):
        with far:
            async for data, _ in datagrams(far):
                if far is self._far and not self.loses("down", data):
                    await self._deliver(self._near, data, self._dialer)

    async def _deliver(self, sock, data, target):
        if self.delay:
            self._tasks.start_soon(self._deliver_later, sock, data, target)
        else:
            sock.sendto(data, target)

    async def _deliver_later(self, sock, data, target):
        await anyio.sleep(self.delay)
        sock.sendto(data, target)


@contextlib.asynccontextmanager
async def relay_to(address):
    """A relay in front of a listener."""
    async with anyio.create_task_group() as task_group:
        relay = Relay(task_group, str(address))
        relay.open()
        yield relay
        task_group.cancel_scope.cancel()
