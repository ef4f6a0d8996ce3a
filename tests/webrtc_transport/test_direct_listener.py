"""Listening on UDP ports: addresses, limits, restarts, and strangers."""

import ipaddress
import signal
import sys
import threading
from pathlib import Path

import anyio
import pytest

from tests.direct_pairs import ANY_PORT, at_port, connected, transport
from tests.leaks import nothing_left
from tests.pairs import echo, read_all
from tests.processes import running
from webrtc_signaling.memory import MemoryBackend
from webrtc_transport import Identity, WebRTCAttribute, WebRTCTransport
from webrtc_transport.errors import (
    AddressError,
    ConfigurationError,
    ConnectionClosed,
    ConnectionLost,
    ConnectTimeout,
)
from webrtc_transport.protocol.direct_address import DirectAddress

pytestmark = pytest.mark.anyio

PEER = Path(__file__).parents[1] / "peers" / "direct_peer.py"


async def ask(connection, question=b"question"):
    async with await connection.open_stream() as stream:
        await stream.send(question)
        await stream.send_eof()
        return await read_all(stream)


async def test_it_serves_until_closed_and_keeps_its_connections():
    async with transport() as server, transport() as client, anyio.create_task_group() as task_group:
        listener = await server.listen(ANY_PORT)

        async def serve():
            await listener.serve(lambda connection: connection.serve(echo), task_group)
            served.set()

        served = anyio.Event()
        task_group.start_soon(serve)
        async with await client.dial(listener.addresses[0]) as connection:
            assert await ask(connection) == b"question"
            await listener.aclose()
            with anyio.fail_after(5):
                await served.wait()
            assert await ask(connection) == b"question"
            with pytest.raises(anyio.ClosedResourceError):
                await listener.accept()
        # With the last connection the port is free.
        with anyio.fail_after(5):
            while server.statistics().connections:
                await anyio.sleep(0.002)
        again = await server.listen(f"/ip4/127.0.0.1/udp/{port_of(listener)}/webrtc-direct")
        await again.aclose()


def port_of(listener):
    return DirectAddress.parse(listener.addresses[0]).port


async def test_nothing_is_left_and_no_thread_is_needed():
    async with nothing_left():
        before = threading.active_count()
        async with transport() as server, transport() as client:
            listener = await server.listen(ANY_PORT)
            async with await client.dial(listener.addresses[0]), await listener.accept():
                assert threading.active_count() == before


async def test_what_a_connection_tells():
    async with connected() as pair:
        for near, far in ((pair.dialer, pair.listener), (pair.listener, pair.dialer)):
            assert near.local_address == far.remote_address
            assert near.candidate_pair.local.type == "host"
            assert str(near.remote_multiaddr).endswith(f"/p2p/{near.remote_peer}")
            assert near.extra(WebRTCAttribute.remote_fingerprint).algorithm == "sha-256"
            assert near.setup_times.noise > 0
            assert near.setup_times.total < 5
        assert pair.dialer.candidate_pair.remote.type == "host"
        assert pair.listener.candidate_pair.remote.type == "prflx"
        dialed = DirectAddress.parse(pair.dialer.remote_multiaddr)
        assert dialed.certhashes == (pair.dialer.extra(WebRTCAttribute.remote_fingerprint),)
        assert not DirectAddress.parse(pair.listener.remote_multiaddr).certhashes


async def test_the_certhash_stays_the_same():
    identity = Identity.generate()
    addresses = []
    for _ in range(2):
        async with transport(identity) as server:
            listener = await server.listen(ANY_PORT)
            addresses.append(DirectAddress.parse(listener.addresses[0]))
    assert addresses[0].certhashes == addresses[1].certhashes
    assert addresses[0].peer == identity.peer_id


async def test_a_restart_at_the_same_port():
    identity = Identity.generate()
    async with transport() as client:
        async with transport(identity) as server:
            listener = await server.listen(ANY_PORT)
            address = listener.addresses[0]
            connection = await client.dial(address)
        with anyio.fail_after(1):
            assert isinstance(await connection.wait_closed(), ConnectionClosed)
        async with transport(identity) as server:
            await server.listen(f"/ip4/127.0.0.1/udp/{DirectAddress.parse(address).port}/webrtc-direct")
            async with await client.dial(address):
                pass


@pytest.mark.parametrize(("host", "loopback"), [("0.0.0.0", "127.0.0.1"), ("::", "::1")])
async def test_a_wildcard_stands_for_all_addresses(host, loopback):
    version = ipaddress.ip_address(host).version
    async with transport() as server, transport() as client:
        listener = await server.listen(f"/ip{version}/{host}/udp/0/webrtc-direct")
        addresses = [DirectAddress.parse(address) for address in listener.addresses]
        assert addresses[-1].host == loopback
        for address in addresses:
            assert not ipaddress.ip_address(address.host).is_unspecified
            async with await client.dial(str(address)) as connection, await listener.accept() as inbound:
                assert connection.remote_address == inbound.local_address


async def test_announced_addresses_get_the_certhash():
    announced = ["/ip4/192.0.2.1/udp/4001/webrtc-direct", "/dns4/example.org/udp/4001/webrtc-direct"]
    async with transport(announce_addresses=announced) as server, transport() as client:
        listener = await server.listen(ANY_PORT)
        addresses = [str(address) for address in listener.addresses]
        assert [address.partition("/certhash/")[0] for address in addresses] == announced
        assert all(address.endswith(f"/p2p/{server.peer_id}") for address in addresses)
        async with await client.dial(at_port(addresses[0], listener._port.address[1])):
            pass


async def test_two_ports_and_both_families():
    async with transport() as server, transport() as client:
        listeners = [
            await server.listen(address) for address in (ANY_PORT, ANY_PORT, "/ip6/::1/udp/0/webrtc-direct")
        ]
        for listener in listeners:
            async with await client.dial(listener.addresses[0]), await listener.accept():
                pass


async def test_a_port_that_is_taken():
    async with transport() as first, transport() as second:
        port = port_of(await first.listen(ANY_PORT))
        async with nothing_left():
            with pytest.raises(
                AddressError, match=r"can't listen on .*: Address already in use; stop the program"
            ):
                await second.listen(f"/ip4/127.0.0.1/udp/{port}/webrtc-direct")


async def test_an_address_of_another_machine():
    async with transport() as server:
        with pytest.raises(AddressError, match=r"can't listen on .*; it is no address of this machine"):
            await server.listen("/ip4/192.0.2.77/udp/0/webrtc-direct")


async def test_addresses_that_are_somebody_elses():
    async with transport() as server, transport() as other:
        listener = await other.listen(ANY_PORT)
        with pytest.raises(AddressError, match="names another peer"):
            await server.listen(listener.addresses[0])
        theirs = DirectAddress.parse(listener.addresses[0])
        with pytest.raises(AddressError, match="names another certificate than this peer's"):
            await server.listen(str(DirectAddress("ip4", "127.0.0.1", 0, theirs.certhashes)))
        mine = DirectAddress.parse((await server.listen(ANY_PORT)).addresses[0])
        await server.listen(str(DirectAddress("ip4", "127.0.0.1", 0, mine.certhashes, mine.peer)))


async def test_signaling_is_another_matter():
    async with transport() as peer:
        with pytest.raises(ConfigurationError, match="no signaling backend"):
            await peer.listen("/webrtc")
        with pytest.raises(ConfigurationError, match="no signaling backend"):
            await peer.dial(f"/webrtc/p2p/{Identity.generate().peer_id}")


async def test_it_runs_beside_signaling():
    identity = Identity.generate()
    async with (
        WebRTCTransport(identity, signaling=[MemoryBackend(identity)]) as server,
        transport() as client,
    ):
        await server.listen("/webrtc")
        listener = await server.listen(ANY_PORT)
        async with await client.dial(listener.addresses[0]), await listener.accept():
            assert server.statistics().connections == 1


# --- strangers ------------------------------------------------------------------------------------------------------


async def test_who_is_gated_isnt_heard():
    seen = []

    def gater(host, port):
        seen.append((host, port))
        return False

    async with transport(gater=gater) as server, transport(dial_timeout=0.3) as client:
        listener = await server.listen(ANY_PORT)
        with pytest.raises(ConnectTimeout):
            await client.dial(listener.addresses[0])
        assert {host for host, _ in seen} == {"127.0.0.1"}
        assert server.statistics().failed == 0


async def test_a_gater_that_fails_lets_nobody_in(caplog):
    def gater(host, port):
        raise LookupError("the list is gone")

    async with transport(gater=gater) as server, transport(dial_timeout=0.3) as client:
        listener = await server.listen(ANY_PORT)
        with pytest.raises(ConnectTimeout):
            await client.dial(listener.addresses[0])
    records = [record for record in caplog.records if record.levelname == "ERROR"]
    assert len(records) == 1
    assert records[0].exc_info[0] is LookupError


async def test_a_full_backlog_lets_in_who_comes_again(caplog):
    caplog.set_level("INFO", "libp2p.transport.webrtc.listener")
    async with transport(accept_backlog=1) as server, transport() as client:
        listener = await server.listen(ANY_PORT)
        first = await client.dial(listener.addresses[0])
        while not listener._accepted:
            await anyio.sleep(0.002)

        async def dial():
            async with await client.dial(listener.addresses[0]):
                second.set()

        second = anyio.Event()
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(dial)
            with anyio.fail_after(10):
                while "1 connections wait to be accepted" not in caplog.text:
                    await anyio.sleep(0.002)
                assert not second.is_set()
                await (await listener.accept()).aclose()
                await second.wait()
        await first.aclose()


async def test_closing_closes_what_nobody_accepted():
    async with transport() as server, transport() as client:
        listener = await server.listen(ANY_PORT)
        connection = await client.dial(listener.addresses[0])
        while not listener._accepted:
            await anyio.sleep(0.002)
        await listener.aclose()
        with anyio.fail_after(1):
            await connection.wait_closed()


# --- the end --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["dialer", "listener"])
@pytest.mark.parametrize("way", ["aclose", "abort"])
async def test_an_end_is_noticed_within_a_second(end, way):
    async with connected() as pair:
        other = {"dialer": pair.listener, "listener": pair.dialer}[end]
        await getattr(getattr(pair, end), way)()
        with anyio.fail_after(1):
            assert isinstance(await other.wait_closed(), ConnectionClosed)


async def test_a_listener_that_is_killed():
    async with transport(liveness_timeout=1.0) as client:
        with running([sys.executable, str(PEER)]) as process:
            address = process.wait_for_event("listening")["address"]
            connection = await client.dial(address)
            assert await ask(connection) == b"question"
            process.send_signal(signal.SIGKILL)
            with anyio.fail_after(3):
                assert isinstance(await connection.wait_closed(), ConnectionLost)


async def test_a_listener_that_is_killed_and_starts_again(tmp_path):
    async with transport(liveness_timeout=1.0) as client:
        key = ["--identity", str(tmp_path / "key")]
        with running([sys.executable, str(PEER), *key]) as process:
            address = process.wait_for_event("listening")["address"]
            before = await client.dial(address)
            assert await ask(before) == b"question"
            process.send_signal(signal.SIGKILL)
        host, port = "127.0.0.1", DirectAddress.parse(address).port
        again = [*key, "--listen", f"/ip4/{host}/udp/{port}/webrtc-direct"]
        with running([sys.executable, str(PEER), *again]) as process:
            assert process.wait_for_event("listening")["address"] == address
            async with await client.dial(address) as connection:
                assert await ask(connection) == b"question"
            # What it sends reaches somebody who doesn't know it.
            with anyio.fail_after(5):
                assert isinstance(await before.wait_closed(), ConnectionLost)


async def test_a_dialer_that_is_killed():
    async with transport(liveness_timeout=1.0) as server:
        listener = await server.listen(ANY_PORT)
        with running([sys.executable, str(PEER), "--dial", str(listener.addresses[0])]) as process:
            with anyio.fail_after(20):
                connection = await listener.accept()
            # In a thread: the listener's last message leaves in a later turn of this loop.
            await anyio.to_thread.run_sync(process.wait_for_event, "connected")
            process.send_signal(signal.SIGKILL)
            with anyio.fail_after(3):
                assert isinstance(await connection.wait_closed(), ConnectionLost)
