"""The ports of ICE: transactions on a host port, and relays of a real TURN server."""

import asyncio
import contextlib
import socket
import struct
from itertools import pairwise

import pytest
from aioice import stun
from hypothesis import given
from hypothesis import strategies as st

from tests.compliance.engine_ends import nothing_left
from tests.webrtc_transport.engine.turn_server import PASSWORD, USER, dead_server
from webrtc_transport.engine import turn_client
from webrtc_transport.engine.driver import AsyncioDriver
from webrtc_transport.engine.ice_port import FIRST_RETRANSMISSION, HostPort, IcePort, RelayPort
from webrtc_transport.engine.turn_client import TurnServer
from webrtc_transport.engine.udp_port import UdpPort
from webrtc_transport.portal import AsyncioPortal
from webrtc_transport.protocol.ice_url import IceUrl, parse_ice_url

pytestmark = pytest.mark.anyio

KEY = b"password"


class Agent:
    """What a port needs of its agent."""

    is_finished = False

    def __init__(self):
        self.portal = AsyncioPortal()
        self.requests = asyncio.Queue()
        self.packets = asyncio.Queue()

    def request_received(self, message, address, port):
        self.requests.put_nowait((message, address, port))

    def packet_received(self, data, address):
        self.packets.put_nowait((data, address))


class Server:
    """Answers STUN requests on a port of its own, as ``respond`` says, and counts them."""

    def __init__(self, respond):
        self._respond = respond
        self.times = []
        self.port = UdpPort(AsyncioDriver(), "127.0.0.1", self._received)

    def _received(self, data, address):
        self.times.append(asyncio.get_running_loop().time())
        for response in self._respond(len(self.times), stun.parse_message(data), address):
            self.port.send(response, address)


@contextlib.contextmanager
def server(respond):
    result = Server(respond)
    yield result
    result.port.close()


def response(request, *, key=None, kind=stun.Class.RESPONSE, transaction_id=None, **attributes):
    message = stun.Message(
        stun.Method.BINDING,
        kind,
        transaction_id or request.transaction_id,
        {name.replace("_", "-"): value for name, value in attributes.items()},
    )
    if key is not None:
        message.add_message_integrity(key)
    return bytes(message)


def binding_request():
    return stun.Message(stun.Method.BINDING, stun.Class.REQUEST)


@pytest.fixture
async def agent():
    async with nothing_left():
        yield Agent()


@pytest.fixture
async def port(agent):
    port = HostPort(agent, AsyncioDriver(), "127.0.0.1")
    yield port
    port.close_socket()


# --- transactions ----------------------------------------------------------------------------------------------------


async def test_nothing_is_sent_when_the_socket_may_be_closed(agent, port, monkeypatch):
    sent = []
    monkeypatch.setattr(port._port, "send", lambda data, address: sent.append(data))
    port.send(b"before", ("127.0.0.1", 9))
    agent.is_finished = True
    port.send(b"after", ("127.0.0.1", 9))
    assert sent == [b"before"]


async def test_a_request_gets_its_response(port):
    with server(lambda _count, request, address: [response(request, XOR_MAPPED_ADDRESS=address)]) as remote:
        message, source = await port.request(binding_request(), remote.port.address)
        assert message.attributes["XOR-MAPPED-ADDRESS"] == port.address
        assert source == remote.port.address
        assert len(remote.times) == 1


async def test_a_lost_request_is_sent_again_after_50_ms_and_then_half_as_often(port):
    with server(lambda count, request, _address: [response(request)] if count == 4 else []) as remote:
        await port.request(binding_request(), remote.port.address)
        intervals = [b - a for a, b in pairwise(remote.times)]
        for interval, expected in zip(intervals, (0.05, 0.1, 0.2), strict=True):
            assert expected * 0.8 < interval < expected + 0.1


async def test_without_an_answer_it_ends_at_its_deadline(port):
    with dead_server() as dead:
        started = asyncio.get_running_loop().time()
        with pytest.raises(stun.TransactionTimeout):
            await port.request(binding_request(), ("127.0.0.1", dead), timeout=0.12)
        assert 0.1 < asyncio.get_running_loop().time() - started < 0.4


async def test_a_refusal_is_raised(port):
    refuse = lambda _count, request, _address: [  # noqa: E731
        response(request, key=KEY, kind=stun.Class.ERROR, ERROR_CODE=(487, "Role Conflict"))
    ]
    with server(refuse) as remote:
        with pytest.raises(stun.TransactionFailed, match="487"):
            await port.request(binding_request(), remote.port.address, integrity_key=KEY)


async def test_an_answer_without_the_key_is_nobodys(port):
    def respond(count, request, _address):
        forged = [
            response(request),
            response(request, key=b"another"),
            response(request, key=KEY, transaction_id=bytes(12)),
        ]
        return forged if count == 1 else [response(request, key=KEY)]

    with server(respond) as remote:
        await port.request(binding_request(), remote.port.address, integrity_key=KEY)
        assert len(remote.times) == 2


async def test_a_second_answer_is_ignored(port, agent):
    respond = lambda _count, request, _address: [response(request, key=KEY)] * 3  # noqa: E731
    with server(respond) as remote:
        await port.request(binding_request(), remote.port.address, integrity_key=KEY)
        remote.port.send(b"\x16marker", port.address)
        assert (await agent.packets.get())[0] == b"\x16marker"


async def test_checks_under_way_are_sent_at_once_to_who_shows_up(port):
    with server(lambda count, request, _address: [response(request)] if count == 2 else []) as remote:
        request = asyncio.create_task(port.request(binding_request(), remote.port.address))
        await asyncio.sleep(0)
        port.answer_with_check(("127.0.0.1", 1))
        port.answer_with_check(remote.port.address)
        await request
        assert remote.times[1] - remote.times[0] < FIRST_RETRANSMISSION * 0.8


async def test_a_cancelled_request_stops(port):
    with server(lambda *_: []) as remote:
        request = asyncio.create_task(port.request(binding_request(), remote.port.address))
        async with asyncio.timeout(2):
            while not remote.times:
                await asyncio.sleep(0.001)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        await asyncio.sleep(3 * FIRST_RETRANSMISSION)
        assert len(remote.times) == 1


# --- what arrives ----------------------------------------------------------------------------------------------------


async def test_packets_are_sorted_by_their_first_byte(port, agent):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as remote:
        remote.bind(("127.0.0.1", 0))
        address = remote.getsockname()
        for data in (b"", b"\x80rtp", b"\x50turn", b"\x13", b"\x40", b"\x16dtls", bytes(binding_request())):
            remote.sendto(data, port.address)
        assert await agent.packets.get() == (b"\x16dtls", address)
        message, source, at = await agent.requests.get()
        assert (message.message_class, source, at) == (stun.Class.REQUEST, address, port)
        assert agent.packets.empty()


STUN_HEADER = bytes.fromhex("00010000") + bytes.fromhex("2112a442") + bytes(12)


def with_attribute(kind, value):
    body = struct.pack("!HH", kind, len(value)) + value + bytes(-len(value) % 4)
    return STUN_HEADER[:2] + struct.pack("!H", len(body)) + STUN_HEADER[4:] + body


MALFORMED = {
    "cut": STUN_HEADER[:19],
    "shorter than it says": STUN_HEADER[:2] + b"\x00\x04" + STUN_HEADER[4:],
    "no cookie": STUN_HEADER[:4] + bytes(4) + STUN_HEADER[8:],
    "unknown method": bytes.fromhex("02220000") + STUN_HEADER[4:],
    "short PRIORITY": with_attribute(0x0024, b"ab"),
    "USERNAME of bad UTF-8": with_attribute(0x0006, b"\xff\xfe"),
    "short ERROR-CODE": with_attribute(0x0009, b"\x00"),
    "short address": with_attribute(0x0020, b"\x00\x01\x00"),
    "address of no family": with_attribute(0x0020, b"\x00\x09\x00\x00abcd"),
    "wrong FINGERPRINT": with_attribute(0x8028, b"abcd"),
    "short FINGERPRINT": with_attribute(0x8028, b"abc"),
    "mandatory attribute that is unknown": with_attribute(0x7FFF, b"abcd"),
    "attribute over the end": STUN_HEADER[:2] + b"\x00\x04" + STUN_HEADER[4:] + b"\x00\x06\xff\xff",
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_malformed_stun_is_dropped(port, agent, name):
    # Called as the socket would: what is raised would go to the event loop's exception handler.
    port.datagram_received(MALFORMED[name], ("127.0.0.1", 9))
    assert agent.requests.empty()
    assert agent.packets.empty()


class SilentPort(IcePort):
    """A port without a socket."""

    def send(self, data, address):
        raise AssertionError("nothing is to be sent")

    send_batch = send

    def abort(self):
        raise AssertionError("nothing is to be closed")

    async def close(self):
        self.abort()


@given(st.binary(max_size=200))
def test_no_datagram_raises(data):
    SilentPort(DeafAgent()).datagram_received(data, ("127.0.0.1", 9))


@given(
    st.sampled_from([0x0001, 0x0101, 0x0111, 0x0011, 0x0003, 0x0016]),
    st.lists(
        st.tuples(
            st.sampled_from(
                [1, 3, 6, 8, 9, 10, 12, 13, 18, 19, 20, 21, 25, 32, 36, 37, 0x8022, 0x8028, 0x8029, 0x802A]
            ),
            st.binary(max_size=24),
        ),
        max_size=5,
    ),
)
def test_no_stun_message_raises(kind, attributes):
    body = b"".join(
        struct.pack("!HH", number, len(value)) + value + bytes(-len(value) % 4)
        for number, value in attributes
    )
    data = struct.pack("!HHL12s", kind, len(body), 0x2112A442, bytes(12)) + body
    SilentPort(DeafAgent()).datagram_received(data, ("127.0.0.1", 9))


class DeafAgent:
    is_finished = False

    def request_received(self, message, address, port):
        pass

    def packet_received(self, data, address):
        pass


# --- STUN servers ----------------------------------------------------------------------------------------------------


async def test_the_reflexive_address(port, turn):
    assert await port.reflexive_address(("127.0.0.1", turn.port)) == port.address


async def test_a_stun_server_that_tells_no_address(port):
    with server(lambda _count, request, _address: [response(request)]) as remote:
        with pytest.raises(ConnectionError, match="XOR-MAPPED-ADDRESS"):
            await port.reflexive_address(remote.port.address)


# --- relays ----------------------------------------------------------------------------------------------------------


def turn_url(port, transport="udp"):
    return TurnServer(IceUrl("turn", "127.0.0.1", port, transport), USER, PASSWORD)


@pytest.fixture
def trusted(turn, monkeypatch):
    """Its certificate is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(turn.ca_file))


def servers(turn):
    return {
        "udp": turn_url(turn.port),
        "tcp": turn_url(turn.port, "tcp"),
        "tls": TurnServer(parse_ice_url(f"turns:localhost:{turn.tls_port}"), USER, PASSWORD),
    }


@pytest.mark.usefixtures("trusted")
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
async def test_a_relay_carries_packets_both_ways(agent, turn, transport):
    relay = await RelayPort.allocate(agent, servers(turn)[transport])
    assert relay.address[0] == "127.0.0.1"
    assert relay.mapped_address[0] == "127.0.0.1"
    arrived = asyncio.Queue()
    peer = UdpPort(AsyncioDriver(), "127.0.0.1", lambda data, address: arrived.put_nowait((data, address)))
    async with asyncio.timeout(5):
        for number in range(5):
            relay.send(b"\x16%d" % number, peer.address)
        assert [await arrived.get() for _ in range(5)] == [(b"\x16%d" % n, relay.address) for n in range(5)]
        for size in (1, 2, 3, 4, 1400):
            peer.send(b"\x16" + bytes(size), relay.address)
            assert await agent.packets.get() == (b"\x16" + bytes(size), peer.address)
    peer.close()
    await relay.close()
    await relay.close()
    relay.send(b"to nobody", peer.address)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_wrong_credentials_are_refused(agent, turn, transport):
    wrong = TurnServer(turn_url(turn.port, transport).url, USER, "wrong")
    with pytest.raises(stun.TransactionFailed, match="401"):
        await RelayPort.allocate(agent, wrong)


def refusing(code, times):
    """A TURN client's connect() that is refused so many times first."""
    connect = turn_client._UdpClient.connect
    refusals = iter(range(times))

    async def refused(self):
        if next(refusals, None) is None:
            return await connect(self)
        raise stun.TransactionFailed(
            stun.Message(stun.Method.ALLOCATE, stun.Class.ERROR, None, {"ERROR-CODE": (code, "")})
        )

    return refused


async def test_a_port_with_an_old_allocation_is_changed_for_another(agent, turn, monkeypatch):
    monkeypatch.setattr(turn_client._UdpClient, "connect", refusing(437, 1))
    relay = await RelayPort.allocate(agent, turn_url(turn.port))
    await relay.close()


@pytest.mark.parametrize(("code", "times"), [(437, 2), (486, 1)])
async def test_another_port_is_tried_once(agent, turn, monkeypatch, code, times):
    monkeypatch.setattr(turn_client._UdpClient, "connect", refusing(code, times))
    with pytest.raises(stun.TransactionFailed, match=str(code)):
        await RelayPort.allocate(agent, turn_url(turn.port))


async def test_an_allocation_that_is_given_up_leaves_nothing(agent):
    with dead_server() as dead:
        task = asyncio.create_task(RelayPort.allocate(agent, turn_url(dead)))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_the_allocation_is_given_back_when_the_relay_is_closed(agent, turn, transport):
    # coturn keeps count of a user's relays: the port is free again when the allocation is deleted.
    relay = await RelayPort.allocate(agent, servers(turn)[transport])
    await relay.close()
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind(relay.address)
                return
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_close_is_bounded_when_the_server_is_dead(agent, turn, transport, monkeypatch):
    relay = await RelayPort.allocate(agent, servers(turn)[transport])
    # From here on the server is not heard, as if it had died.
    monkeypatch.setattr(relay._client, "datagram_received", lambda _data, _address: None)
    relay.send(b"\x16lost", ("127.0.0.1", 9))
    started = asyncio.get_running_loop().time()
    await relay.close()
    assert asyncio.get_running_loop().time() - started < turn_client.CLOSE_TIMEOUT + 0.3


async def test_a_server_that_hangs_up_leaves_nothing(agent):
    has_hung_up = asyncio.Event()

    async def hang_up(reader, writer):
        await reader.read(100)
        writer.write(b"\x00\x00\x00")
        writer.close()
        await writer.wait_closed()
        has_hung_up.set()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as broken:
        port = broken.sockets[0].getsockname()[1]
        task = asyncio.create_task(RelayPort.allocate(agent, turn_url(port, "tcp")))
        await has_hung_up.wait()
        # aioice goes on asking until its own deadline; the agent's comes first.
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@pytest.mark.parametrize(
    "data", [b"", b"\x40", b"\x40\x00\x00", b"\x00\x01\x00", bytes(20), *MALFORMED.values()]
)
async def test_malformed_packets_of_a_server_are_dropped(agent, turn, data):
    relay = await RelayPort.allocate(agent, servers(turn)["udp"])
    relay._client.datagram_received(data, ("127.0.0.1", turn.port))
    await relay.close()


async def test_a_peer_that_the_server_forbids_is_out_of_reach(agent, turn, monkeypatch):
    relay = await RelayPort.allocate(agent, servers(turn)["udp"])
    refused = asyncio.Event()
    sent = relay._sent

    def tell(task):
        sent(task)
        refused.set()

    monkeypatch.setattr(relay, "_sent", tell)
    relay.send(b"\x16", ("224.0.0.1", 9))
    async with asyncio.timeout(5):
        await refused.wait()
    await relay.close()
