"""Dialing webrtc-direct addresses: what works, and how each failure is named."""

import math
import socket
import time
from datetime import UTC, datetime

import anyio
import pytest

from benchmarks.commanded import running as spoofer
from tests.direct_pairs import ANY_PORT, at_port, connected, relay_to, transport
from tests.leaks import nothing_left
from tests.pairs import read_all
from webrtc_transport import Certificate, Identity
from webrtc_transport.direct_link import NoiseChannel
from webrtc_transport.errors import (
    AddressError,
    ConfigurationError,
    ConnectError,
    ConnectTimeout,
    DtlsFailed,
    IceFailed,
    NoiseFailed,
)
from webrtc_transport.protocol.certhash import encode_certhash
from webrtc_transport.protocol.direct_address import DirectAddress
from webrtc_transport.protocol.ice_controlling import ControllingAgent
from webrtc_transport.protocol.sdp import Fingerprint
from webrtc_transport.protocol.ufrag import Flow

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("listen", [ANY_PORT, "/ip6/::1/udp/0/webrtc-direct"], ids=["ip4", "ip6"])
async def test_both_versions_and_both_families(listen, version):
    async with connected(listen=listen, dialer={"direct_version": version}) as pair:
        stream = await pair.dialer.open_stream()
        await stream.send(b"ping")
        assert await (await pair.listener.accept_stream()).receive() == b"ping"
        stream = await pair.listener.open_stream()
        await stream.send(b"pong")
        assert await (await pair.dialer.accept_stream()).receive() == b"pong"


@pytest.mark.parametrize("protocol", ["dns", "dns4"])
async def test_a_name_is_resolved(protocol):
    async with transport() as server, transport() as client:
        listener = await server.listen(ANY_PORT)
        address = str(listener.addresses[0]).replace("/ip4/127.0.0.1/", f"/{protocol}/localhost/")
        async with await client.dial(address) as connection:
            assert connection.remote_peer == server.peer_id


async def test_a_name_that_nobody_has():
    certhash = encode_certhash(Fingerprint("sha-256", bytes(32)))
    async with transport() as client:
        with (
            anyio.fail_after(20),
            pytest.raises(ConnectError, match=r"nobody\.invalid can't be resolved: .*DNS"),
        ):
            await client.dial(f"/dns4/nobody.invalid/udp/4001/webrtc-direct/certhash/{certhash}")


async def test_the_peer_id_may_be_left_out():
    async with transport() as server, transport() as client:
        address = DirectAddress.parse((await server.listen(ANY_PORT)).addresses[0])
        unnamed = DirectAddress("ip4", address.host, address.port, address.certhashes)
        async with await client.dial(str(unnamed)) as connection:
            assert connection.remote_peer == server.peer_id


async def test_a_certhash_of_sha_512():
    certificate = Identity.generate().derive_certificate()
    async with transport(certificate=certificate) as server, transport() as client:
        address = DirectAddress.parse((await server.listen(ANY_PORT)).addresses[0])
        long = Fingerprint("sha-512", certificate.fingerprint("sha-512"))
        async with await client.dial(str(DirectAddress("ip4", address.host, address.port, (long,)))):
            pass
        wrong = Fingerprint("sha-512", bytes(64))
        with pytest.raises(DtlsFailed):
            await client.dial(str(DirectAddress("ip4", address.host, address.port, (wrong,))))


async def test_another_certificate_fails_dtls_by_name():
    async with transport() as server, transport() as client:
        address = DirectAddress.parse((await server.listen(ANY_PORT)).addresses[0])
        wrong = (Fingerprint("sha-256", bytes(32)),)
        async with nothing_left():
            with pytest.raises(DtlsFailed, match="certificate does not match"):
                await client.dial(str(DirectAddress("ip4", address.host, address.port, wrong)))
        await until_nothing_is_kept(server)


async def test_another_peer_fails_noise_by_name():
    async with transport() as server, transport() as client:
        address = DirectAddress.parse((await server.listen(ANY_PORT)).addresses[0])
        other = Identity.generate().peer_id
        with pytest.raises(NoiseFailed, match=f"the peer is {server.peer_id}, and {other} was expected"):
            await client.dial(
                str(DirectAddress("ip4", address.host, address.port, address.certhashes, other))
            )
        assert client.statistics().failed == 1


async def test_a_certificate_in_the_middle_fails_noise_by_name():
    async with transport() as server, transport() as client:
        listener = await server.listen(ANY_PORT)
        client._direct.__dict__["fingerprint"] = Fingerprint("sha-256", bytes(32))
        with pytest.raises(NoiseFailed, match="waiting for the server's proof"):
            await client.dial(listener.addresses[0])
        await until_nothing_is_kept(server)
        assert server.statistics().failed == 1


async def until_nothing_is_kept(*transports):
    with anyio.fail_after(5):
        while any(each.statistics().connections for each in transports):
            await anyio.sleep(0.002)


HANDSHAKE, CONTENT = 22, 23


@pytest.mark.parametrize(
    ("lost", "phase"), [(None, "ice"), (HANDSHAKE, "dtls"), (CONTENT, "sctp")], ids=["ice", "dtls", "sctp"]
)
async def test_a_peer_that_stops_is_named_by_its_phase(lost, phase):
    async with nothing_left():
        async with transport(inbound_timeout=1) as server, transport(dial_timeout=0.5) as client:
            listener = await server.listen(ANY_PORT)
            async with relay_to(listener.addresses[0]) as relay:
                relay.loses = lambda _, data: lost is None or data[0] == lost
                with pytest.raises(ConnectTimeout, match=rf"not connected after 0\.5 s, in phase '{phase}'"):
                    await client.dial(relay.address)
            await until_nothing_is_kept(server, client)


async def test_a_server_that_never_begins_noise(monkeypatch):
    def send(self):
        self._handshake.outbox.clear()

    monkeypatch.setattr(NoiseChannel, "_send", send)
    monkeypatch.setattr("webrtc_transport.direct_link.NOISE_TIMEOUT", 0.2)
    async with transport() as server, transport() as client:
        listener = await server.listen(ANY_PORT)
        with pytest.raises(NoiseFailed, match="waiting for the server to begin"):
            await client.dial(listener.addresses[0])
        await until_nothing_is_kept(server, client)


async def test_nobody_there():
    async with transport(dial_timeout=0.3) as client:
        certhash = encode_certhash(Fingerprint("sha-256", bytes(32)))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            port = silent.getsockname()[1]
            with pytest.raises(ConnectTimeout, match="in phase 'ice'") as caught:
                await client.dial(f"/ip4/127.0.0.1/udp/{port}/webrtc-direct/certhash/{certhash}")
            assert f"no answer from UDP port 127.0.0.1:{port}; does the peer listen there" in str(
                caught.value
            )
            assert "TURN" not in str(caught.value)


async def test_a_family_without_a_path_fails_by_name(monkeypatch):
    def refuse(*_args, **_settings):
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr("webrtc_transport.engine.direct_port.UdpPort", refuse)
    async with transport() as client:
        certhash = encode_certhash(Fingerprint("sha-256", bytes(32)))
        with pytest.raises(IceFailed, match="no UDP socket can be opened: Address family"):
            await client.dial(f"/ip4/127.0.0.1/udp/4001/webrtc-direct/certhash/{certhash}")
        assert client.statistics().connections == 0


async def test_a_dial_fails_when_the_transport_is_left():
    certhash = encode_certhash(Fingerprint("sha-256", bytes(32)))

    async def dial():
        with pytest.raises(ConnectError, match="the transport was closed"):
            await client.dial(f"/ip4/127.0.0.1/udp/9/webrtc-direct/certhash/{certhash}")
        failed.set()

    failed = anyio.Event()
    client = transport()
    with anyio.fail_after(5):
        async with nothing_left(), anyio.create_task_group() as task_group:
            async with client:
                task_group.start_soon(dial)
                while not client.statistics().connections:
                    await anyio.sleep(0.002)
            await failed.wait()


async def test_the_own_address_is_refused():
    async with transport() as peer:
        listener = await peer.listen(ANY_PORT)
        with pytest.raises(AddressError, match="is this peer's own address"):
            await peer.dial(listener.addresses[0])


async def test_an_expired_certificate_is_refused_by_name():
    old = Certificate.generate(now=datetime(2020, 1, 1, tzinfo=UTC))
    async with transport(certificate=old) as peer, transport() as server:
        address = (await server.listen(ANY_PORT)).addresses[0]
        with pytest.raises(ConfigurationError, match="expired on 2020-01-31"):
            await peer.dial(address)
        with pytest.raises(ConfigurationError, match="expired on 2020-01-31"):
            await peer.listen(ANY_PORT)


async def test_a_port_that_is_moved_behind_a_nat():
    async with transport() as server, transport() as client:
        listener = await server.listen(ANY_PORT)
        async with relay_to(listener.addresses[0]) as relay:
            async with await client.dial(relay.address) as connection, await listener.accept() as inbound:
                expected = [bytes([number]) * 5000 for number in range(100)]
                received = []

                async def receive():
                    async with await inbound.accept_stream() as stream:
                        received.append(await read_all(stream))

                async with anyio.create_task_group() as task_group:
                    task_group.start_soon(receive)
                    async with await connection.open_stream() as stream:
                        for number, data in enumerate(expected):
                            await stream.send(data)
                            if number == 50:
                                relay.rebind()
                assert received == [b"".join(expected)]


@pytest.mark.soak
@pytest.mark.parametrize("at", range(5))
async def test_a_port_that_is_moved_behind_a_nat_amid_a_flood(at):
    # The listener's kernel knows the old address, and of the others lets in a quarter at a time.
    async with transport() as server, transport() as client:
        listener = await server.listen(ANY_PORT)
        port = DirectAddress.parse(listener.addresses[0]).port
        async with relay_to(listener.addresses[0]) as relay:
            async with await client.dial(relay.address) as connection, await listener.accept() as inbound:
                with spoofer("spoofer", port, 50_000, 60):
                    async with await connection.open_stream() as stream:
                        await stream.send(b"before")
                        echo = await inbound.accept_stream()
                        await echo.receive()
                        # By then the filter is in place; the address changes at each part of its turns.
                        await anyio.sleep(3 + 0.2 * at)
                        relay.rebind()
                        with anyio.fail_after(20):
                            await stream.send(b"after")
                            assert await echo.receive() == b"after"
                            await echo.send(b"answer")
                            assert await stream.receive() == b"answer"


async def dialed_flow(client, listener, address=None):
    """In which flow a dial came to be."""
    async with await client.dial(address or listener.addresses[0]), await listener.accept() as inbound:
        return inbound._link.direct.flow


async def test_who_is_known_to_speak_version_2_is_dialed_so():
    async with transport(direct_version="v2") as modern, transport() as client:
        listener, own = await modern.listen(ANY_PORT), await client.listen(ANY_PORT)
        assert await dialed_flow(client, listener) is Flow.V1
        assert await dialed_flow(modern, own) is Flow.V2
        assert await dialed_flow(client, listener) is Flow.V2
        # An address without a peer id may be anybody's.
        anybody, _, _ = str(listener.addresses[0]).partition("/p2p/")
        assert await dialed_flow(client, listener, anybody) is Flow.V1


async def test_who_speaks_version_2_no_longer_is_dialed_by_version_1(monkeypatch):
    monkeypatch.setitem(ControllingAgent.__init__.__kwdefaults__, "check_timeout", 0.3)
    async with transport(direct_version="v2") as modern, transport() as client:
        listener, own = await modern.listen(ANY_PORT), await client.listen(ANY_PORT)
        assert await dialed_flow(modern, own) is Flow.V2
        async with relay_to(listener.addresses[0]) as relay:
            tried = []

            def loses(direction, data):
                if direction == "up" and b"libp2p+webrtc+v" in data:
                    tried.append(data[data.index(b"webrtc+v") + 8 :][:1])
                return tried[-1:] == [b"2"]

            relay.loses = loses
            assert await dialed_flow(client, listener, relay.address) is Flow.V1
            assert tried.index(b"1") > 0
            tried.clear()
            assert await dialed_flow(client, listener, relay.address) is Flow.V1
            assert b"2" not in tried


async def test_round_trips_of_a_dial():
    round_trip = 0.05
    async with transport() as server, transport() as client:
        listener = await server.listen(ANY_PORT)
        async with relay_to(listener.addresses[0]) as relay:
            relay.delay = round_trip / 2
            shortest = math.inf
            for _ in range(12):
                started = time.perf_counter()
                async with await client.dial(relay.address):
                    shortest = min(shortest, (time.perf_counter() - started) / round_trip)
                # What a busy machine adds isn't the same each time.
                if shortest <= 8:
                    break
        # One for the check, two for DTLS, two for SCTP, one and a half for Noise.
        assert 6 <= shortest <= 8


def test_ports_can_be_exchanged():
    assert at_port("/ip4/192.0.2.1/udp/1/webrtc-direct", 7) == "/ip4/127.0.0.1/udp/7/webrtc-direct"
