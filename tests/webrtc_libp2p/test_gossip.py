"""Pubsub of py-libp2p over WebRTC, with no change but the transport and the addresses."""

import pytest
import trio
from libp2p.peer.peerinfo import PeerInfo
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pubsub import Pubsub
from libp2p.tools.anyio_service import background_trio_service

from tests.webrtc_libp2p.hosts import DIRECT, make_host, running, until

pytestmark = pytest.mark.anyio

HOSTS = 10
TOPIC = "news"


@pytest.mark.parametrize("address", ["/webrtc", DIRECT], ids=["private", "direct"])
async def test_gossip_over_ten_hosts_converges(server, address):
    subscriptions = []
    ready = trio.Event()

    async def serve(host, nursery_done):
        router = GossipSub(
            protocols=["/meshsub/1.0.0"], degree=3, degree_low=2, degree_high=4, heartbeat_interval=1
        )
        pubsub = Pubsub(host, router)
        async with running(host, address), background_trio_service(pubsub), background_trio_service(router):
            await pubsub.wait_until_ready()
            subscriptions.append((pubsub, await pubsub.subscribe(TOPIC)))
            if len(subscriptions) == HOSTS:
                ready.set()
            await nursery_done.wait()

    hosts = [make_host(server.url) for _ in range(HOSTS)]
    done = trio.Event()
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            for host in hosts:
                nursery.start_soon(serve, host, done)
            await ready.wait()
            # A ring: what one says has to be passed on.
            for number, host in enumerate(hosts):
                following = hosts[(number + 1) % HOSTS]
                await host.connect(PeerInfo(following.get_id(), following.get_addrs()))
            meshes = [pubsub.router.mesh for pubsub, _ in subscriptions]
            await until(lambda: all(len(mesh.get(TOPIC, ())) == 2 for mesh in meshes), timeout=30)
            await subscriptions[0][0].publish(TOPIC, b"extra, extra")
            for _, subscription in subscriptions:
                assert (await subscription.get()).data == b"extra, extra"
            done.set()
