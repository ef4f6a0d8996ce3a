import hashlib
import os

import pytest
import trio

from tests.webrtc_libp2p.hosts import ping, round_trip, two_hosts

pytestmark = pytest.mark.anyio


async def test_hosts_meet_identify_ping_and_echo(server):
    with trio.fail_after(30):
        async with two_hosts(server.url) as (dialer, listener):
            assert await ping(dialer, listener.get_id()) >= 0
            data = os.urandom(2**20)
            assert (
                hashlib.sha256(await round_trip(dialer, listener.get_id(), data)).digest()
                == hashlib.sha256(data).digest()
            )
            assert await round_trip(listener, dialer.get_id(), b"the other way") == b"the other way"
