"""Servers, Redis and the network between are killed amid dials: each dial ends in time, and no message is lost."""

import contextlib
import os
import secrets
import signal
import subprocess

import anyio
import pytest

from tests.requirements import require_program, require_root
from tests.webrtc_signaling.cluster.harness import Ledger, Servers, dial_amid
from tests.webrtc_signaling.redis_server import redis_server

pytestmark = pytest.mark.anyio

FULL = 334
"""A thousand in all three."""
SIZES = [pytest.param(18, id="short"), pytest.param(FULL, id="full", marks=pytest.mark.soak)]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def ledger(monkeypatch):
    return Ledger(monkeypatch)


@contextlib.contextmanager
def namespace_with_cable():
    """A namespace behind a cable: its name, our address and its own, and a function that plugs the cable in or out."""
    require_root()
    ip = require_program("ip")
    name, tag = f"webrtc-{os.getpid()}-{secrets.token_hex(3)}", secrets.token_hex(3)
    net = f"10.79.{secrets.randbelow(250)}"

    def run(*arguments):
        subprocess.run([ip, *arguments], check=True, capture_output=True, timeout=30)

    run("netns", "add", name)
    try:
        run("link", "add", f"w{tag}", "type", "veth", "peer", "name", "veth0", "netns", name)
        for arguments, address in (((), "1"), (("-netns", name), "2")):
            interface = "veth0" if arguments else f"w{tag}"
            run(*arguments, "address", "add", f"{net}.{address}/24", "dev", interface)
            run(*arguments, "link", "set", interface, "up")

        def plug(state):
            run("-netns", name, "link", "set", "veth0", state)

        yield [ip, "netns", "exec", name], f"{net}.2", plug
    finally:
        run("netns", "delete", name)


async def dial_amid_mishaps(mishaps, redis, ledger, rounds, capsys):
    """Dial between clients of two servers, and look at what became of it; ``mishaps`` gets the servers."""
    servers = Servers(redis.url)
    async with servers.both():
        await dial_amid(servers, ledger, rounds, mishaps)
    with capsys.disabled():
        print(
            f"\n{rounds} rounds: {dict(ledger.outcomes)}; {len(ledger.acknowledged)} messages acknowledged, "
            f"{len(ledger.lost)} lost"
        )
    assert ledger.outcomes["HUNG"] == 0
    assert ledger.wrong == []
    assert ledger.lost == set()
    assert len(ledger.acknowledged) > 2 * rounds
    assert ledger.outcomes["connected"] > rounds / 2
    assert not [log for log in servers.logs if "Traceback" in log], servers.logs


@pytest.mark.parametrize("rounds", SIZES)
async def test_servers_are_killed(ledger, rounds, capsys):
    """By turns the one and the other; one of the two ends in an orderly way now and then."""

    async def mishaps(servers):
        for turn in range(rounds):
            await anyio.sleep(2)
            await servers.end(turn % 2, signal.SIGTERM if turn % 3 == 2 else signal.SIGKILL)
            await anyio.sleep(1 if rounds < FULL else 8)
            await servers.start(turn % 2)
            await anyio.sleep(1 if rounds < FULL else 8)

    with redis_server() as redis:
        await dial_amid_mishaps(mishaps, redis, ledger, rounds, capsys)


@pytest.mark.parametrize("rounds", SIZES)
async def test_redis_is_killed(ledger, rounds, capsys):
    async def mishaps(_servers):
        for _ in range(rounds):
            await anyio.sleep(2)
            redis.kill()
            await anyio.sleep(2 if rounds < FULL else 8)
            await anyio.to_thread.run_sync(redis.start)
            await anyio.sleep(4 if rounds < FULL else 8)

    with redis_server() as redis:
        await dial_amid_mishaps(mishaps, redis, ledger, rounds, capsys)


@pytest.mark.parametrize("rounds", SIZES)
async def test_the_network_between_is_cut(ledger, rounds, capsys):
    async def mishaps(_servers):
        for _ in range(rounds):
            await anyio.sleep(2)
            plug("down")
            await anyio.sleep(4 if rounds < FULL else 10)
            plug("up")
            await anyio.sleep(4 if rounds < FULL else 10)

    with (
        namespace_with_cable() as (wrap, address, plug),
        redis_server(host=address, wrap=lambda arguments: wrap + arguments) as redis,
    ):
        await dial_amid_mishaps(mishaps, redis, ledger, rounds, capsys)
