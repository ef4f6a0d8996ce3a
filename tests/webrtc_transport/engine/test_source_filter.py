"""What the kernel lets through, by real sockets on loopback."""

import contextlib
import errno
import socket
import sys

import pytest

from webrtc_transport.engine.source_filter import BUCKETS, SourceFilter
from webrtc_transport.protocol.load_shedding import Share

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel has no such filter")

NOBODY = Share(BUCKETS, BUCKETS + 1)
"""No hash is so large."""

SOURCES = 60

SO_ATTACH_FILTER = 26


class Place:
    """A socket with a filter, and others that send to it."""

    def __init__(self, stack, family, host):
        self.receiver, *self.senders = (
            stack.enter_context(socket.socket(family, socket.SOCK_DGRAM)) for _ in range(1 + SOURCES)
        )
        for sock in (self.receiver, *self.senders):
            sock.bind((host, 0))
        self.receiver.setblocking(False)
        self.addresses = [sender.getsockname()[:2] for sender in self.senders]
        self.filter = SourceFilter(self.receiver)

    def heard(self, data=b"x"):
        """The sources of which a datagram comes through."""
        for sender in self.senders:
            sender.sendto(data, self.receiver.getsockname())
        sources = []
        with contextlib.suppress(BlockingIOError):
            while True:
                received, source = self.receiver.recvfrom(2000)
                assert received == data
                sources.append(source[:2])
        assert len(set(sources)) == len(sources)
        return set(sources)


@pytest.fixture(params=[(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["ipv4", "ipv6"])
def place(request):
    with contextlib.ExitStack() as stack:
        yield Place(stack, *request.param)


def test_at_first_all_come_through(place):
    assert place.heard() == set(place.addresses)
    place.filter.allow_all()


def test_known_sources_come_through(place):
    known = set(place.addresses[: SOURCES // 3])
    place.filter.allow(known, NOBODY)
    heard = place.heard(bytes(1200))
    # A stranger is taken for one of them now and then, but not as many.
    assert known <= heard
    assert len(heard) < len(known) + 5
    assert 0 < place.filter.part_known <= len(known) / BUCKETS
    place.filter.allow_all()
    assert place.heard() == set(place.addresses)


def test_an_empty_datagram_of_a_known_source(place):
    place.filter.allow(place.addresses, NOBODY)
    assert place.heard(b"") == set(place.addresses)


@pytest.mark.parametrize("count", [2, 5, 64])
def test_each_other_source_is_of_one_share(place, count):
    shares = []
    for index in range(count):
        place.filter.allow([], Share(index, count))
        shares.append(place.heard())
    assert set().union(*shares) == set(place.addresses)
    assert sum(map(len, shares)) == SOURCES


@pytest.mark.parametrize("known", [10, 1000, 4000])
def test_as_many_as_a_port_has(place, known):
    prefix = "2001:db8::%x" if ":" in place.addresses[0][0] else "192.0.2.%d"
    others = [(prefix % (number % 250), number) for number in range(1024, 1024 + known)]
    place.filter.allow([*others, *place.addresses[:20]], NOBODY)
    assert set(place.addresses[:20]) <= place.heard()
    assert place.filter.part_known <= (known + 20) / BUCKETS


def test_nobody_outside_knows_which_sources_share_a_bucket(place):
    for _ in range(3):
        place.filter.allow(place.addresses[:1], Share(0, 2))
        first = place.heard()
        place.filter.allow_all()
        place.filter = SourceFilter(place.receiver)
        place.filter.allow(place.addresses[:1], Share(0, 2))
        if place.heard() != first:
            break
    else:
        pytest.fail("each time the same sources have passed")


def test_a_link_local_address_has_a_zone(place):
    host = "fe80::1%lo" if ":" in place.addresses[0][0] else "169.254.0.1"
    place.filter.allow([(host, 4001)], NOBODY)


def test_a_source_is_hashed_once_for_as_long_as_it_is_known(place, monkeypatch):
    hashed = []
    bucket = SourceFilter._bucket

    def count(self, host, port):
        hashed.append((host, port))
        return bucket(self, host, port)

    monkeypatch.setattr(SourceFilter, "_bucket", count)
    first, second, third = (set(place.addresses[start : start + 20]) for start in (0, 10, 0))
    for known in (first, second, third):
        place.filter.allow(known, NOBODY)
        assert known <= place.heard()
        assert set(place.filter._buckets) == known
    assert len(hashed) == 20 + 10 + 10
    place.filter.allow_all()
    assert not place.filter._buckets


def test_a_kernel_that_refuses(place):
    # What is attached, or that nothing is, can be locked for good (socket(7), SO_LOCK_FILTER).
    place.receiver.setsockopt(socket.SOL_SOCKET, 44, 1)
    with pytest.raises(PermissionError):
        place.filter.allow([], NOBODY)
    assert place.heard() == set(place.addresses)
    # It isn't asked again.
    assert not place.filter.is_supported
    with pytest.raises(OSError, match="no socket filters"):
        place.filter.allow([], NOBODY)


class ShortOfMemory:
    """A socket in whose kernel there is no memory for a filter, at first."""

    def __init__(self, sock):
        self.sock = sock
        self.family = sock.family
        self.failures = 2

    def setsockopt(self, level, option, value):
        if option == SO_ATTACH_FILTER and self.failures:
            self.failures -= 1
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        self.sock.setsockopt(level, option, value)


def test_a_kernel_that_has_no_memory_for_it_now(place):
    place.filter = SourceFilter(ShortOfMemory(place.receiver))
    for _ in range(2):
        with pytest.raises(OSError, match="memory"):
            place.filter.allow(place.addresses[:1], NOBODY)
        assert place.filter.is_supported
        assert place.heard() == set(place.addresses)
    place.filter.allow(place.addresses[:1], NOBODY)
    assert len(place.heard()) < SOURCES


def test_elsewhere_there_is_no_such_filter(place, monkeypatch):
    monkeypatch.setattr(sys, "platform", "darwin")
    elsewhere = SourceFilter(place.receiver)
    assert not elsewhere.is_supported
    monkeypatch.setattr(SourceFilter, "_bucket", None)
    with pytest.raises(OSError, match="no socket filters"):
        elsewhere.allow(place.addresses, NOBODY)
    elsewhere.allow_all()
    assert place.heard() == set(place.addresses)
