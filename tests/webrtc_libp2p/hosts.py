"""py-libp2p hosts for tests, which talk over loopback."""

import contextlib

import trio
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.host.ping import PingService, handle_ping
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import identify_handler_for
from libp2p.network.stream.exceptions import StreamEOF
from libp2p.peer.peerinfo import PeerInfo
from libp2p.peer.peerstore import PeerStoreError
from libp2p.relay.circuit_v2.protocol import CircuitV2Protocol
from libp2p.relay.circuit_v2.resources import RelayLimits
from libp2p.tools.anyio_service import background_trio_service
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr

from webrtc_libp2p import WebRTCTransport, create_webrtc_multiaddr
from webrtc_transport import TransportConfig

ECHO = "/echo/1.0.0"
COUNT = "/count/1.0.0"
RESET = "/reset/1.0.0"
DIRECT = "/ip4/127.0.0.1/udp/0/webrtc-direct"
SHORT = 30
"""Seconds that a test takes at most."""


RELAY_LIMITS = RelayLimits(duration=120, data=2**22, max_circuit_conns=64, max_reservations=64)


def settings(**changes):
    """Loopback only, with changes."""
    return TransportConfig(bind_addresses=("127.0.0.1",), **changes)


def make_host(*signaling, config=None, key_pair=None, transports=None, **options):
    """A host whose transport is WebRTC, unless it has others; it serves identify and ping."""
    if transports is None:
        transports = [WebRTCTransport(signaling=signaling, config=config or settings())]
    host = new_host(key_pair=key_pair or create_new_key_pair(), transports=transports, **options)
    host.set_stream_handler(IDENTIFY, identify_handler_for(host))
    host.set_stream_handler("/ipfs/ping/1.0.0", handle_ping)
    host.set_stream_handler(ECHO, echo)
    host.set_stream_handler(COUNT, count)
    host.set_stream_handler(RESET, reset)
    return host


@contextlib.asynccontextmanager
async def running(host, *addresses):
    """Run ``host`` on these addresses, and close it: it leaves its TCP sockets open without."""
    async with host.run([Multiaddr(address) for address in addresses]):
        try:
            yield host
        finally:
            with trio.CancelScope(shield=True):
                await host.close()


async def echo(stream):
    """Send back what arrives, then the end."""
    with contextlib.suppress(StreamEOF):
        while data := await stream.read(65536):
            await stream.write(data)
    await stream.close()


async def count(stream):
    """Answer how many bytes came, after the last of them."""
    await stream.write(str(len(await read_all(stream))).encode())
    await stream.close()


async def reset(stream):
    """Reset the stream when the first byte comes."""
    await stream.read(1)
    await stream.reset()


async def read_all(stream):
    """Everything until the end of the stream."""
    parts = []
    with contextlib.suppress(StreamEOF):
        while data := await stream.read(65536):
            parts.append(data)
    return b"".join(parts)


async def round_trip(host, peer, data, protocol=ECHO):
    """What comes back of ``data``."""
    stream = await host.new_stream(peer, [protocol])
    received = []

    async def receive():
        received.append(await read_all(stream))

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await stream.write(data)
            await stream.close_write()
        await stream.close()
    except BaseException:
        # Nobody else would ever end it.
        with trio.CancelScope(shield=True):
            await stream.reset()
        raise
    return received[0]


async def ping(host, peer):
    """The round-trip time of one ping."""
    return (await PingService(host).ping(peer, ping_amt=1))[0]


async def identified(host, peer):
    """The protocols that ``peer`` says it speaks, to ``host``."""

    def told():
        # It knows nobody of whom nothing was told.
        with contextlib.suppress(PeerStoreError):
            return host.get_peerstore().get_protocols(peer)

    return await until(told)


def direct(host):
    """The address by which a peer with the same signaling reaches ``host``, as a ``PeerInfo``."""
    return PeerInfo(host.get_id(), [create_webrtc_multiaddr(host.get_id())])


@contextlib.asynccontextmanager
async def two_hosts(url, **options):
    """A dialer and a listener that are connected over the signaling server at ``url``."""
    listener, dialer = make_host(url, **options), make_host(url, **options)
    async with running(listener, "/webrtc"), running(dialer):
        await dialer.connect(direct(listener))
        yield dialer, listener


@contextlib.asynccontextmanager
async def relay_host():
    """A py-libp2p host on TCP that is a relay; yields it and its address."""
    host = make_host(transports=[TCP()])
    protocol = CircuitV2Protocol(host, limits=RELAY_LIMITS, allow_hop=True)
    async with running(host, "/ip4/127.0.0.1/tcp/0"), background_trio_service(protocol):
        await protocol.event_started.wait()
        yield host, host.get_addrs()[0]


def relayed_host(**options):
    """A host on TCP, to reach relays, and WebRTC."""
    transport = WebRTCTransport(config=options.pop("config", None) or settings())
    return make_host(transports=[TCP(), transport], **options)


async def until(condition, timeout=10):
    """Wait until ``condition()`` holds, and return what it returned."""
    with trio.fail_after(timeout):
        while not (result := condition()):
            await trio.sleep(0.01)
    return result
