"""A test program for libp2p's own interoperability tests (libp2p/unified-testing, "How to Write a Transport Test
Application"): a py-libp2p host over WebRTC.

It is told what to do by environment variables, meets the other end by a Redis server, and writes YAML with its
latencies to the standard output. All else goes to the standard error.

``TRANSPORT`` is ``webrtc-direct`` or ``webrtc``. For the second one the listener runs a relay besides, because two
peers meet through one.
"""

import contextlib
import ipaddress
import logging
import os
import socket
import time
from dataclasses import dataclass

import redis
import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.host.ping import PING_LENGTH, handle_ping
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import identify_handler_for
from libp2p.peer.id import ID
from libp2p.relay.circuit_v2.protocol import CircuitV2Protocol
from libp2p.tools.anyio_service import background_trio_service
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr

from webrtc_libp2p import WebRTCTransport

PING = "/ipfs/ping/1.0.0"
TRANSPORTS = ("webrtc-direct", "webrtc")
_logger = logging.getLogger("unified-testing")

WAIT = 60
"""Seconds that the dialer waits for the listener's address."""


@dataclass(frozen=True)
class Task:
    """What the environment says."""

    is_dialer: bool
    redis_host: str
    redis_port: int
    key: str
    """Of the listener's address."""
    transport: str
    listener_ip: str
    is_debug: bool

    @classmethod
    def of(cls, environment):
        """:raises SystemExit: naming the variable that is wrong"""
        host, _, port = environment.get("REDIS_ADDR", "").partition(":")
        if not host:
            raise SystemExit("REDIS_ADDR has to be <host>:<port>")
        if not environment.get("TEST_KEY"):
            raise SystemExit("TEST_KEY has to be there: it names the address in Redis")
        transport = environment.get("TRANSPORT")
        if transport not in TRANSPORTS:
            raise SystemExit(f"TRANSPORT has to be one of {', '.join(TRANSPORTS)}, not {transport!r}")
        return cls(
            is_dialer=_truth(environment, "IS_DIALER"),
            redis_host=host,
            redis_port=int(port or 6379),
            key=f"{environment['TEST_KEY']}_listener_multiaddr",
            transport=transport,
            listener_ip=environment.get("LISTENER_IP", "0.0.0.0"),
            is_debug=_truth(environment, "DEBUG"),
        )


def _truth(environment, name):
    value = environment.get(name, "false")
    if value not in ("true", "false"):
        raise SystemExit(f"{name} has to be true or false, not {value!r}")
    return value == "true"


def make_host():
    host = new_host(key_pair=create_new_key_pair(), transports=[TCP(), WebRTCTransport()])
    host.set_stream_handler(IDENTIFY, identify_handler_for(host))
    host.set_stream_handler(PING, handle_ping)
    return host


@contextlib.asynccontextmanager
async def running_relay(ip):
    """A relay, which gives its address."""
    host = new_host(key_pair=create_new_key_pair(), transports=[TCP()])
    host.set_stream_handler(IDENTIFY, identify_handler_for(host))
    protocol = CircuitV2Protocol(host, allow_hop=True)
    async with host.run([Multiaddr(f"/ip4/{ip}/tcp/0")]), background_trio_service(protocol):
        await protocol.event_started.wait()
        yield host.get_addrs()[0]


async def listen(task, store):
    """Tell where we are, and answer until somebody ends us."""
    host = make_host()
    async with contextlib.AsyncExitStack() as stack:
        if task.transport == "webrtc-direct":
            address = Multiaddr(f"/ip4/{task.listener_ip}/udp/0/webrtc-direct")
        else:
            relay = await stack.enter_async_context(running_relay(own_ip(task.listener_ip)))
            address = relay.encapsulate(Multiaddr("/p2p-circuit/webrtc"))
        await stack.enter_async_context(host.run([address]))
        # The loopback's comes last.
        (told, *_) = map(str, host.get_addrs())
        await trio.to_thread.run_sync(store.set, task.key, told)
        _logger.info("listening on %s", told)
        await trio.sleep_forever()


def own_ip(listener_ip):
    """The address of this host that others reach, if it is asked for all of them."""
    if not ipaddress.ip_address(listener_ip).is_unspecified:
        return listener_ip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        # Sends nothing: it only asks which way packets would go (192.0.2.1 is nobody's, RFC 5737).
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


async def dial(task, store):
    """Connect, ping twice, and tell how long that took."""
    with trio.fail_after(WAIT):
        while (found := await trio.to_thread.run_sync(store.get, task.key)) is None:
            await trio.sleep(0.1)
    address = Multiaddr(found.decode())
    peer = ID.from_string(str(address).rpartition("/p2p/")[2])
    host = make_host()
    # What is measured is one dial.
    host.get_network().retry_config.max_retries = 0
    async with host.run([]):
        started = time.perf_counter()
        await host.get_network().dial_addr(address, peer)
        stream = await host.new_stream(peer, [PING])
        await ping(stream)
        handshake = time.perf_counter() - started
        round_trip = await ping(stream)
        await stream.close()
        report(handshake, round_trip)


async def ping(stream):
    """Seconds until what was sent is back."""
    sent = os.urandom(PING_LENGTH)
    started = time.perf_counter()
    await stream.write(sent)
    received = b""
    while len(received) < PING_LENGTH:
        received += await stream.read(PING_LENGTH - len(received))
    if received != sent:
        raise ValueError("the peer sent back something else than the ping")
    return time.perf_counter() - started


def report(handshake, round_trip):
    print("latency:")
    print(f"  handshake_plus_one_rtt: {handshake * 1000:.3f}")
    print(f"  ping_rtt: {round_trip * 1000:.3f}")
    print("  unit: ms", flush=True)


async def main(task):
    with redis.Redis(host=task.redis_host, port=task.redis_port) as store:
        await (dial if task.is_dialer else listen)(task, store)


if __name__ == "__main__":
    given = Task.of(os.environ)
    logging.basicConfig(level=logging.DEBUG if given.is_debug else logging.INFO)
    trio.run(main, given)
