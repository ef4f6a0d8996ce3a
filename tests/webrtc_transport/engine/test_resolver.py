import asyncio
import socket
import threading
import time

import pytest

from webrtc_transport.engine.resolver import resolve

pytestmark = pytest.mark.anyio

V4, V6 = int(socket.AF_INET), int(socket.AF_INET6)


@pytest.fixture
def dead_dns(monkeypatch):
    """A name service that answers when it is told to."""
    answer = threading.Event()

    def getaddrinfo(*_args, **_kwargs):
        assert answer.wait(10)
        return [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("192.0.2.9", 1))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield answer
    answer.set()


@pytest.mark.parametrize(("host", "family"), [("192.0.2.1", V4), ("2001:db8::1", V6)])
async def test_an_address_is_taken_as_it_is(monkeypatch, host, family):
    monkeypatch.setattr(socket, "getaddrinfo", None)
    assert await resolve(host, 3478) == [(family, host)]


async def test_a_name_is_looked_up():
    assert (V4, "127.0.0.1") in await resolve("localhost", 3478)


async def test_one_family_may_be_asked_for():
    assert await resolve("localhost", 3478, family=socket.AF_INET) == [(V4, "127.0.0.1")]


@pytest.mark.parametrize("host", ["does-not-exist.invalid", "a" * 64 + ".example", "..", "ü" * 70])
async def test_what_is_no_name_raises_os_error(host):
    with pytest.raises(OSError):  # noqa: PT011 - the system words it
        await resolve(host, 3478)


async def test_the_event_loop_goes_on_meanwhile(dead_dns):
    lookup = asyncio.create_task(resolve("turn.example.org", 3478))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not lookup.done()
    dead_dns.set()
    assert await lookup == [(V4, "192.0.2.9")]


async def test_an_answer_that_nobody_waits_for_does_no_harm(dead_dns):
    lookup = asyncio.create_task(resolve("turn.example.org", 3478))
    await asyncio.sleep(0)
    lookup.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lookup
    dead_dns.set()
    await until_no_resolver_runs()


def test_a_dead_name_service_does_not_hold_the_shutdown_up(dead_dns):
    async def give_up():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await resolve("turn.example.org", 3478)

    started = time.monotonic()
    asyncio.run(give_up())
    assert time.monotonic() - started < 1
    # Now the answer comes, to a loop that is closed.
    dead_dns.set()
    asyncio.run(until_no_resolver_runs())


async def until_no_resolver_runs():
    async with asyncio.timeout(2):
        while any(thread.name == "webrtc-resolver" for thread in threading.enumerate()):
            await asyncio.sleep(0.005)
