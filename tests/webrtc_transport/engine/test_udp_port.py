import asyncio
import errno
import socket
import subprocess
import sys
from itertools import pairwise

import pytest

from tests.namespaces import network_namespace
from webrtc_transport.engine import udp_port
from webrtc_transport.engine.driver import AsyncioDriver
from webrtc_transport.engine.udp_port import DRAIN_LIMIT, LONE_READS, UdpPort
from webrtc_transport.protocol.limits import MAX_DATAGRAM

pytestmark = pytest.mark.anyio


class Receiver:
    def __init__(self):
        self.datagrams = asyncio.Queue()
        self.port = None

    def __call__(self, data, address):
        self.datagrams.put_nowait((data, address))

    async def next(self):
        async with asyncio.timeout(2):
            return await self.datagrams.get()


@pytest.fixture
def receiver():
    return Receiver()


@pytest.fixture
async def port(receiver):
    port = UdpPort(AsyncioDriver(), "127.0.0.1", receiver)
    yield port
    port.close()


@pytest.fixture
def remote():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(2)
        yield sock


async def test_datagrams_arrive_with_their_source(port, receiver, remote):
    for data in (b"one", b"", b"two"):
        remote.sendto(data, port.address)
        assert await receiver.next() == (data, remote.getsockname())


async def test_send(port, remote):
    port.send(b"hello", remote.getsockname())
    assert remote.recvfrom(100) == (b"hello", port.address)


async def test_ipv6(receiver):
    port = UdpPort(AsyncioDriver(), "::1", receiver)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as remote:
        remote.bind(("::1", 0))
        remote.sendto(b"hello", port.address)
        assert await receiver.next() == (b"hello", remote.getsockname()[:2])
        port.send(b"back", remote.getsockname()[:2])
        remote.settimeout(2)
        assert remote.recv(100) == b"back"
    port.close()


async def test_a_flood_lets_others_have_their_turn(port, receiver, remote):
    turns = []
    count = 3 * DRAIN_LIMIT
    for number in range(count):
        remote.sendto(number.to_bytes(2), port.address)
    loop = asyncio.get_running_loop()

    def take_turn():
        turns.append(receiver.datagrams.qsize())
        if turns[-1] < count:
            loop.call_soon(take_turn)

    loop.call_soon(take_turn)
    received = [await receiver.next() for _ in range(count)]
    assert [int.from_bytes(data) for data, _ in received] == list(range(count))
    steps = [later - earlier for earlier, later in pairwise(turns)]
    assert all(step <= DRAIN_LIMIT for step in steps)


async def test_a_second_datagram_is_looked_for_until_none_was_found_and_then_again(port, receiver, remote):
    looks = []
    receive = port._receive
    port._receive = lambda: looks.append(receiver.datagrams.qsize()) or receive()
    for _ in range(LONE_READS + 2):
        remote.sendto(b"lone", port.address)
        await receiver.next()
    # The first and the last one looked in vain.
    assert len(looks) == LONE_READS + 2 + 2
    for _ in range(LONE_READS + 3):
        remote.sendto(b"many", port.address)
    for _ in range(LONE_READS + 3):
        await receiver.next()
    looks.clear()
    for _ in range(3):
        remote.sendto(b"many", port.address)
    for _ in range(3):
        await receiver.next()
    assert looks == [0, 1, 2, 3]


async def test_an_oversized_datagram_is_cut(port, receiver, remote):
    remote.sendto(bytes(MAX_DATAGRAM + 1), port.address)
    data, _ = await receiver.next()
    assert len(data) == MAX_DATAGRAM


async def test_a_callback_may_close_the_port(remote):
    seen = asyncio.Event()

    def close(_data, _address):
        port.close()
        seen.set()

    port = UdpPort(AsyncioDriver(), "127.0.0.1", close)
    for _ in range(3):
        remote.sendto(b"hello", port.address)
    async with asyncio.timeout(2):
        await seen.wait()
    assert port.is_closed


async def test_after_close_nothing_is_sent_and_nothing_arrives(receiver, remote):
    port = UdpPort(AsyncioDriver(), "127.0.0.1", receiver)
    assert not port.is_closed
    address = port.address
    remote.sendto(b"too late", address)
    port.close()
    port.close()
    assert port.is_closed
    port.send(b"nothing", remote.getsockname())
    # The next port's datagram would come after it.
    with UdpSocketAt(address) as successor:
        successor.sendto(b"marker", remote.getsockname())
        assert remote.recv(100) == b"marker"
    assert receiver.datagrams.empty()


class RefusingSocket:
    """A socket of a kernel, or to an interface, that can't cut segments."""

    def __init__(self, sock, error):
        self._socket, self._error = sock, error
        self.attempts = 0

    def __getattr__(self, name):
        return getattr(self._socket, name)

    def sendmsg(self, *_arguments):
        self.attempts += 1
        raise OSError(self._error, "no segments")


BATCH = [bytes([number]) * 1200 for number in range(100)] + [
    b"short",
    b"",
    b"x" * 900,
    b"y" * 900,
    b"z" * 1400,
]


@pytest.fixture(params=[True, False], ids=["gro", "no-gro"])
def has_gro(request, monkeypatch):
    if not request.param:
        monkeypatch.setattr("webrtc_transport.engine.udp_port._enable_gro", lambda _sock: False)
    return request.param


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_batch_arrives_datagram_by_datagram(receiver, has_gro, host):
    a, b = (UdpPort(AsyncioDriver(), host, receiver) for _ in range(2))
    a.send_batch(BATCH, b.address)
    a.send_batch([], b.address)
    assert [await receiver.next() for _ in BATCH] == [(data, a.address) for data in BATCH]
    a.close()
    b.close()


@pytest.mark.parametrize("error", [errno.EIO, errno.EINVAL, errno.ENOPROTOOPT, errno.EMSGSIZE])
async def test_without_segments_each_datagram_is_sent_alone(port, receiver, has_gro, error):
    sender = UdpPort(AsyncioDriver(), "127.0.0.1", receiver)
    sender._socket = refusing = RefusingSocket(sender._socket, error)
    for _ in range(2):
        sender.send_batch(BATCH, port.address)
        assert [(await receiver.next())[0] for _ in BATCH] == BATCH
    # It isn't tried again.
    assert refusing.attempts == 1
    AsyncioDriver().remove_reader(refusing._socket)
    refusing._socket.close()


async def test_a_datagram_too_large_for_the_interface_is_no_reason_to_give_segments_up(port, receiver):
    sender = UdpPort(AsyncioDriver(), "127.0.0.1", receiver)
    genuine, probe = sender._socket, bytes(1472)
    sender._socket = RefusingSocket(genuine, errno.EINVAL)
    sender.send_batch([probe, BATCH[0]], port.address)
    assert [(await receiver.next())[0] for _ in range(2)] == [probe, BATCH[0]]
    assert sender._can_segment
    sender._socket = genuine
    sender.close()


async def test_a_full_buffer_is_a_loss_and_no_reason_to_give_segments_up(port, receiver):
    sender = UdpPort(AsyncioDriver(), "127.0.0.1", receiver)
    genuine = sender._socket
    sender._socket = RefusingSocket(genuine, errno.EAGAIN)
    sender.send_batch(BATCH[:10], port.address)
    sender._socket = genuine
    sender.send_batch(BATCH[10:20], port.address)
    assert [(await receiver.next())[0] for _ in range(10)] == BATCH[10:20]
    assert receiver.datagrams.empty()
    sender.close()


@pytest.mark.skipif(sys.platform != "linux", reason="segments are Linux's")
async def test_datagrams_of_one_size_share_a_system_call(receiver):
    class Counting(RefusingSocket):
        def sendmsg(self, *arguments):
            self.attempts += 1
            return self._socket.sendmsg(*arguments)

    a, b = (UdpPort(AsyncioDriver(), "127.0.0.1", receiver) for _ in range(2))
    genuine, a._socket = a._socket, Counting(a._socket, 0)
    a.send_batch([bytes(1200)] * 40 + [bytes(100)], b.address)
    assert a._socket.attempts == 1
    a._socket = genuine
    for _ in range(41):
        await receiver.next()
    assert a._can_segment
    a.close()
    b.close()


async def test_whether_ip_may_fragment_is_told_the_system_only_when_it_changes(receiver, monkeypatch):
    told = []
    monkeypatch.setattr(
        udp_port, "_set_fragmentation", lambda _socket, *, is_allowed: told.append(is_allowed)
    )
    a, b = (UdpPort(AsyncioDriver(), "127.0.0.1", receiver) for _ in range(2))
    told.clear()
    for may_fragment in (False, True, True, False, False):
        a.send_batch([b"data"], b.address, may_fragment=may_fragment)
        await receiver.next()
    assert told == [True, False]
    a.close()
    b.close()
    assert a.send_batch([b"data"], b.address, may_fragment=True)
    assert told == [True, False]


async def test_what_comes_together_is_not_told_after_close(remote):
    told = []

    def close(data, _address):
        told.append(data)
        port.close()

    port = UdpPort(AsyncioDriver(), "127.0.0.1", close)
    sender = UdpPort(AsyncioDriver(), "127.0.0.1", close)
    sender.send_batch([b"one", b"two", b"six"], port.address)
    async with asyncio.timeout(2):
        while not told:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert told == [b"one"]
    sender.close()


class UdpSocketAt:
    """A plain socket at an address that was just given up."""

    def __init__(self, address):
        self._address = address

    def __enter__(self):
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(self._address)
        return self._socket

    def __exit__(self, *_exc):
        self._socket.close()


@pytest.mark.parametrize("target", [("127.0.0.1", 1), ("255.255.255.255", 9), ("::1", 9), ("203.0.113.1", 0)])
async def test_what_cannot_be_sent_is_lost(port, receiver, remote, target):
    # Nobody listens, broadcast isn't allowed, the family is another, the port is none.
    port.send(b"into the void", target)
    await asyncio.sleep(0)
    remote.sendto(b"still open", port.address)
    assert (await receiver.next())[0] == b"still open"


async def test_a_failing_callback_does_not_stop_the_port(remote):
    failures, seen = [], asyncio.Event()
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _loop, context: failures.append(context["exception"]))

    def fail(data, _address):
        if data == b"bad":
            raise ValueError(data)
        seen.set()

    port = UdpPort(AsyncioDriver(), "127.0.0.1", fail)
    for data in (b"bad", b"good"):
        remote.sendto(data, port.address)
    async with asyncio.timeout(2):
        await seen.wait()
    port.close()
    loop.set_exception_handler(before)
    assert [str(failure) for failure in failures] == [str(ValueError(b"bad"))]


@pytest.mark.parametrize("host", ["203.0.113.77", "2001:db8::77"])
async def test_an_address_of_somebody_else_cannot_be_bound(receiver, host):
    with pytest.raises(OSError, match="assign"):
        UdpPort(AsyncioDriver(), host, receiver)


async def test_the_kernels_buffers_are_raised(port, remote):
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        ours = port._socket.getsockopt(socket.SOL_SOCKET, option)
        assert ours >= remote.getsockopt(socket.SOL_SOCKET, option)


NARROW = """
import asyncio
from webrtc_transport.engine.driver import AsyncioDriver
from webrtc_transport.engine.udp_port import UdpPort

async def main(host):
    arrived = asyncio.Queue()
    a, b = (UdpPort(AsyncioDriver(), host, lambda data, _: arrived.put_nowait(len(data))) for _ in range(2))
    too_large, fitting = bytes(1400), bytes(1200)
    assert a.send(fitting, b.address)
    assert not a.send(too_large, b.address)
    # One of them says nothing of the others.
    assert not a.send_batch([fitting, too_large, too_large, fitting], b.address)
    assert a.send_batch([too_large], b.address, may_fragment=True)
    assert not a.send_batch([too_large, too_large], b.address)
    async with asyncio.timeout(5):
        assert [await arrived.get() for _ in range(4)] == [1200, 1200, 1200, 1400]
    assert arrived.empty()
    a.close()
    assert a.send_batch([too_large], b.address, may_fragment=True)
    b.close()

for host in ("127.0.0.1", "::1"):
    asyncio.run(main(host))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
def test_what_is_too_large_for_the_interface_is_refused_unless_ip_may_fragment_it():
    with network_namespace() as namespace:
        namespace.ip("link", "set", "lo", "mtu", "1300")
        command = namespace.command(sys.executable, "-c", NARROW)
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
