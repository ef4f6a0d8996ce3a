import pytest
import trio
from libp2p.network.connection.swarm_connection import SwarmConn

from tests.webrtc_libp2p.hosts import direct, make_host, round_trip, running, until

pytestmark = pytest.mark.anyio


async def test_a_connection_that_ends_while_it_is_listed_is_not_kept(server, monkeypatch):
    """The peer may refuse it at once; the host dials again all the same."""
    start, network = SwarmConn.start, (dialer := make_host(server.url)).get_network()

    async def start_late(self):
        if self.swarm is network:
            monkeypatch.setattr(SwarmConn, "start", start)
            await until(lambda: listener.get_network().get_connections(dialer.get_id()))
            await listener.get_network().close_peer(dialer.get_id())
            await until(lambda: self.is_closed)
        # The swarm goes on with what it waited for.
        await start(self)

    monkeypatch.setattr(SwarmConn, "start", start_late)
    with trio.fail_after(20):
        async with running(make_host(server.url), "/webrtc") as listener, running(dialer):
            connection = await network.dial_addr(direct(listener).addrs[0], listener.get_id())
            assert connection.is_closed
            assert not network.get_connections()
            await dialer.connect(direct(listener))
            assert await round_trip(dialer, listener.get_id(), b"again") == b"again"
