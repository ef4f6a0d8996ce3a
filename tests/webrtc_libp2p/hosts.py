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
from multiaddr import Multiaddr

from webrtc_libp2p import WebRTCTransport, create_webrtc_multiaddr
from webrtc_transport import TransportConfig

ECHO = "/echo/1.0.0"
SHORT = 30
"""Seconds that a test takes at most."""


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
    return host


async def echo(stream):
    """Send back what arrives, then the end."""
    with contextlib.suppress(StreamEOF):
        while data := await stream.read(65536):
            await stream.write(data)
    await stream.close()


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

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await stream.write(data)
        await stream.close_write()
    await stream.close()
    return received[0]


async def ping(host, peer):
    """The round-trip time of one ping."""
    return (await PingService(host).ping(peer, ping_amt=1))[0]


def direct(host):
    """The address by which a peer with the same signaling reaches ``host``, as a ``PeerInfo``."""
    return PeerInfo(host.get_id(), [create_webrtc_multiaddr(host.get_id())])


@contextlib.asynccontextmanager
async def two_hosts(url, **options):
    """A dialer and a listener that are connected over the signaling server at ``url``."""
    listener, dialer = make_host(url, **options), make_host(url, **options)
    async with listener.run([Multiaddr("/webrtc")]), dialer.run([]):
        await dialer.connect(direct(listener))
        yield dialer, listener
