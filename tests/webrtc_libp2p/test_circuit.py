import pytest
import trio
from libp2p.connection_types import ConnectionType
from libp2p.peer.peerinfo import info_from_p2p_addr

from tests.webrtc_libp2p.hosts import relay_host, relayed_host, round_trip, running, until

pytestmark = pytest.mark.anyio


async def test_hosts_meet_over_a_relay():
    with trio.fail_after(30):
        async with relay_host() as (_, address):
            listener, dialer = relayed_host(), relayed_host()
            async with running(listener, "/webrtc"), running(dialer):
                await listener.connect(info_from_p2p_addr(address))
                (announced,) = await until(listener.get_addrs)
                assert str(announced) == f"{address}/p2p-circuit/webrtc/p2p/{listener.get_id()}"
                t = trio.current_time()
                connection = await dialer.get_network().dial_addr(announced, listener.get_id())
                print(trio.current_time() - t)
                assert connection.get_connection_type() is ConnectionType.DIRECT
                print(dialer.get_network().get_connections())
                assert await round_trip(dialer, listener.get_id(), b"hello") == b"hello"
