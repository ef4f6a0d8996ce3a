import pytest
import trio
from libp2p.connection_types import ConnectionType
from libp2p.stream_muxer.exceptions import MuxedConnError, MuxedConnUnavailable, MuxedStreamError

from tests.webrtc_libp2p.hosts import round_trip, two_hosts, until
from webrtc_transport.abc import CandidatePair
from webrtc_transport.errors import TooManyStreams
from webrtc_transport.protocol.sdp import IceCandidate

pytestmark = pytest.mark.anyio


def both(dialer, listener):
    """The connections of both hosts with each other."""
    ours = dialer.get_network().get_connections(listener.get_id())
    theirs = listener.get_network().get_connections(dialer.get_id())
    return ours[0].muxed_conn, theirs[0].muxed_conn


async def test_what_a_swarm_asks_for(server):
    async with two_hosts(server.url) as (dialer, listener):
        ours, theirs = both(dialer, listener)
        assert ours.is_initiator
        assert not theirs.is_initiator
        assert ours.peer_id == listener.get_id()
        assert ours.is_established
        assert not ours.is_closed
        assert ours.get_connection_type() is ConnectionType.DIRECT
        host, port = ours.get_remote_address()
        assert host == "127.0.0.1"
        assert [str(address) for address in ours.get_transport_addresses()] == [
            f"/ip4/127.0.0.1/udp/{port}/webrtc"
        ]
        assert ours.candidate_pair.kind == "host"
        assert str(listener.get_id()) in repr(ours)
        for use in (ours.read(1), ours.write(b"x")):
            with pytest.raises(MuxedConnError, match="has streams"):
                await use


async def test_the_address_behind_a_name_is_told_and_a_name_is_not(server, monkeypatch):
    async with two_hosts(server.url) as hosts:
        ours, _ = both(*hosts)
        hidden = IceCandidate("1", 1, "udp", 1, "some-name.local", 9, "host")
        for ip, expected in (("10.1.2.3", ("10.1.2.3", 9)), (None, None)):
            pair = CandidatePair(hidden, hidden, remote_ip=ip)
            monkeypatch.setattr(ours._connection, "_pair", pair)
            assert ours.get_remote_address() == expected
            assert str(ours.get_transport_addresses()[0]) == "/dns/some-name.local/udp/9/webrtc"


async def test_both_hosts_forget_a_connection_that_one_closes(server):
    async with two_hosts(server.url) as (dialer, listener):
        ours, theirs = both(dialer, listener)
        await ours.close()
        await ours.close()
        assert ours.is_closed
        await until(
            lambda: (
                not listener.get_network().get_connections() and not dialer.get_network().get_connections()
            )
        )
        assert theirs.is_closed
        for use in (ours.open_stream, theirs.accept_stream):
            with pytest.raises(MuxedConnUnavailable):
                await use()


async def test_a_peer_that_is_gone_is_noticed(server):
    async with two_hosts(server.url) as (dialer, listener):
        _, theirs = both(dialer, listener)
        await theirs.abort()
        await until(lambda: not dialer.get_network().get_connections(), timeout=2)


async def test_no_stream_id_is_left(server, monkeypatch):
    async with two_hosts(server.url) as hosts:
        ours, _ = both(*hosts)

        async def full():
            raise TooManyStreams("all 32767 stream ids are in use")

        monkeypatch.setattr(ours._connection, "open_stream", full)
        with pytest.raises(MuxedStreamError, match="stream ids"):
            await ours.open_stream()


async def test_more_streams_than_at_once_one_after_the_other(server):
    with trio.fail_after(60):
        async with two_hosts(server.url) as (dialer, listener):
            for _ in range(300):
                assert await round_trip(dialer, listener.get_id(), b"x") == b"x"


async def test_a_hundred_streams_at_once_each_way(server):
    with trio.fail_after(60):
        async with two_hosts(server.url) as (dialer, listener), trio.open_nursery() as nursery:

            async def one(host, peer, number):
                data = bytes([number]) * 1000
                assert await round_trip(host, peer, data) == data

            for number in range(100):
                nursery.start_soon(one, dialer, listener.get_id(), number)
                nursery.start_soon(one, listener, dialer.get_id(), number)
