"""A py-libp2p peer over WebRTC, driven by commands on standard input, one JSON object a line, like ``js/main.mjs``."""

import argparse
import hashlib
import json
import logging
import os
import sys
import time

import trio
from libp2p import new_host
from libp2p.connection_types import ConnectionType
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import identify_handler_for
from libp2p.network.stream.exceptions import StreamReset
from libp2p.peer.id import ID
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.relay.circuit_v2.protocol import CircuitV2Protocol
from libp2p.tools.anyio_service import background_trio_service
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr

from tests.webrtc_libp2p.hosts import (
    COUNT,
    RELAY_LIMITS,
    RESET,
    identified,
    make_host,
    ping,
    read_all,
    round_trip,
    until,
)
from webrtc_libp2p import WebRTCTransport
from webrtc_transport import TransportConfig


class Peer:
    """The commands of a host that dials and listens over WebRTC, through a relay."""

    def __init__(self, host, relay):
        self._host = host
        self._relay = relay
        self._peer = None

    async def start(self):
        await self._host.connect(info_from_p2p_addr(self._relay))

    async def addresses(self, direct=False):
        wanted = "/webrtc-direct/" if direct else "/p2p-circuit/webrtc/"
        found = await until(lambda: [str(a) for a in self._host.get_addrs() if wanted in str(a)])
        return sorted(found)

    async def dial(self, address):
        maddr = Multiaddr(address)
        self._peer = ID.from_string(maddr.get_peer_id())
        started = time.perf_counter()
        await self._host.get_network().dial_addr(maddr, self._peer)
        return (time.perf_counter() - started) * 1000

    async def adopt(self):
        connection = await until(lambda: next(self._direct(), None))
        self._peer = connection.muxed_conn.peer_id
        return str(connection.get_transport_addresses()[0])

    def _direct(self):
        relay = info_from_p2p_addr(self._relay).peer_id
        for connection in self._host.get_network().get_connections():
            direct = connection.get_connection_type() is ConnectionType.DIRECT
            if direct and connection.muxed_conn.peer_id != relay:
                yield connection

    async def protocols(self):
        return list(await identified(self._host, self._peer))

    async def ping(self):
        return await ping(self._host, self._peer)

    async def echo(self, size, streams=1):
        same = []

        async def one():
            data = os.urandom(size)
            echoed = await round_trip(self._host, self._peer, data)
            same.append(hashlib.sha256(echoed).digest() == hashlib.sha256(data).digest())

        async with trio.open_nursery() as nursery:
            for _ in range(streams):
                nursery.start_soon(one)
        return all(same)

    async def count(self, size):
        return (await round_trip(self._host, self._peer, bytes(size), COUNT)).decode()

    async def reset(self):
        stream = await self._host.new_stream(self._peer, [RESET])
        await stream.write(b"\1")
        try:
            await read_all(stream)
        except StreamReset:
            return "StreamResetError"
        return "no error"

    async def close(self):
        for connection in self._direct():
            await connection.close()

    async def kinds(self):
        found = self._host.get_network().get_connections(self._peer)
        return sorted(connection.get_connection_type().value for connection in found)


class Relay:
    """The commands of a py-libp2p relay."""

    def __init__(self, host):
        self._host = host

    async def addresses(self):
        return [str(address) for address in self._host.get_addrs()]


async def main(arguments):
    if arguments.relay is None:
        listen = arguments.listen
        # It finds the transports for these addresses by itself.
        host = new_host(listen_addrs=[Multiaddr(address) for address in listen])
        host.set_stream_handler(IDENTIFY, identify_handler_for(host))
        commands = Relay(host)
    else:
        transport = WebRTCTransport(
            config=TransportConfig(engine=arguments.engine, dial_timeout=10, inbound_timeout=10)
        )
        host, listen = make_host(transports=[TCP(), transport]), ["/webrtc", *arguments.listen]
        host.get_network().retry_config.max_retries = 0
        commands = Peer(host, Multiaddr(arguments.relay))
    async with host.run([Multiaddr(address) for address in listen]), trio.open_nursery() as nursery:
        if arguments.relay is None:
            nursery.start_soon(serve_relay, host)
        await obey(commands)
        await host.close()
        nursery.cancel_scope.cancel()


async def serve_relay(host):
    async with background_trio_service(CircuitV2Protocol(host, limits=RELAY_LIMITS, allow_hop=True)):
        await trio.sleep_forever()


async def obey(commands):
    async for line in trio.wrap_file(sys.stdin):
        request = json.loads(line)
        number, name = request.pop("id"), request.pop("command")
        try:
            answer = {"id": number, "result": await getattr(commands, name)(**request)}
        except Exception as exc:
            answer = {"id": number, "error": describe(exc)}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def describe(error):
    """It and its causes; of a group all that is in it."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, BaseExceptionGroup):
        text += f" [{'; '.join(map(describe, error.exceptions))}]"
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    return text if cause is None else f"{text} <- {describe(cause)}"


if __name__ == "__main__":
    logging.basicConfig()
    # py-libp2p has its loggers pass nothing on to the root's handler.
    log = logging.getLogger("libp2p.transport.webrtc")
    log.addHandler(logging.StreamHandler())
    log.setLevel(logging.DEBUG)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--relay", help="the relay to use; without one, be a relay")
    parser.add_argument(
        "--listen", nargs="*", default=[], help="where a relay listens, or a peer besides /webrtc"
    )
    parser.add_argument("--engine", default="native")
    trio.run(main, parser.parse_args())
