import gc

import pytest
from libp2p import new_host
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.transport.tcp.tcp import TCP
from multiaddr import Multiaddr

from tests.webrtc_libp2p.hosts import make_host
from webrtc_libp2p import (
    WebRTCSignalingManager,
    WebRTCTransport,
    WebSocketSignalingChannel,
    create_transport_for_multiaddr,
    register_transport,
)
from webrtc_transport.errors import ConfigurationError

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def forgotten():
    """Hosts of other tests that nobody has collected yet."""
    gc.collect()


def managed(host):
    peer = str(host.get_id())
    manager = WebRTCSignalingManager(WebSocketSignalingChannel("ws://127.0.0.1:9", peer), peer)
    return WebRTCTransport(signaling_manager=manager)


def transports(host):
    return host.get_network().transport_manager.get_transports()


def test_each_goes_to_the_host_of_its_peer_id():
    first, second = new_host(), new_host()
    for_second, for_first = managed(second), managed(first)
    register_transport("webrtc", WebRTCTransport)
    assert for_first in transports(first)
    assert for_second in transports(second)
    register_transport("webrtc", WebRTCTransport)
    assert len(transports(first)) == 2


def test_one_that_says_no_peer_stays_where_it_is():
    host, transport = new_host(), WebRTCTransport()
    register_transport("webrtc", WebRTCTransport)
    assert transport not in transports(host)


def test_one_whose_host_is_not_made_waits():
    key_pair = create_new_key_pair()
    transport = managed(new_host(key_pair=key_pair))
    gc.collect()
    register_transport("webrtc", WebRTCTransport)
    host = new_host(key_pair=key_pair)
    register_transport("webrtc", WebRTCTransport)
    assert transport in transports(host)


def test_two_hosts_of_one_peer():
    key_pair = create_new_key_pair()
    hosts = [new_host(key_pair=key_pair) for _ in range(2)]
    transport = managed(hosts[0])
    with pytest.raises(ConfigurationError, match="2 hosts have the peer id"):
        register_transport("webrtc", WebRTCTransport)
    del transport


async def test_a_host_that_runs_already():
    host = new_host()
    transport = managed(host)
    async with host.run([]):
        with pytest.raises(ConfigurationError, match=r"before host.run\(\)"):
            register_transport("webrtc", WebRTCTransport)
    del transport


def test_other_protocols_can_be_registered_too():
    upgrader = make_host().get_network().upgrader
    address = Multiaddr("/ip4/127.0.0.1/tcp/9")
    assert create_transport_for_multiaddr(address, upgrader) is None
    register_transport("tcp", TCP)
    assert isinstance(create_transport_for_multiaddr(address, upgrader), TCP)
    tcp_host = new_host()
    assert create_transport_for_multiaddr(address, tcp_host.get_network().upgrader) in transports(tcp_host)
    assert create_transport_for_multiaddr(address, None) is not None
