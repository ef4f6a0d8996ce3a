"""What a client does with the ICE servers that its server lends."""

import asyncio
import contextlib

import anyio
import pytest

from tests.asyncio_loops import LOOPS
from tests.logs import LOGGER, own_records
from webrtc_signaling.leased_ice_servers import LeasedIceServers
from webrtc_signaling.messages import IceServerData, IceServers, IceServersRequest
from webrtc_transport.errors import InvalidSignal, SignalingUnavailable

pytestmark = pytest.mark.anyio


@pytest.fixture(params=LOOPS)
def anyio_backend(request):
    return request.param


def answer(name="a", lifetime=1000.0, url="turn:turn.example.org"):
    return IceServers(
        servers=(IceServerData(urls=(url,), username=name, credential="secret"),), lifetime=lifetime
    )


@contextlib.asynccontextmanager
async def asking(leased):
    """``get()`` in a task of its own; gives a list that gets what it returned."""
    results = []

    async def get():
        results.append((await leased.get())[0].username)

    async with anyio.create_task_group() as task_group:
        task_group.start_soon(get)
        task_group.start_soon(get)
        await anyio.wait_all_tasks_blocked()
        yield results


async def test_it_asks_once_and_keeps_the_answer_for_half_its_life(monkeypatch):
    questions = []
    leased = LeasedIceServers(questions.append, 10)
    leased.registered(offered=True, resumed=False)
    async with asking(leased) as results:
        assert questions == [IceServersRequest()]
        leased.receive(answer())
    assert results == ["a", "a"]
    assert (await leased.get())[0].password == "secret"
    now = asyncio.get_running_loop().time()
    monkeypatch.setattr(leased, "_fresh_until", now)
    async with asking(leased) as results:
        leased.receive(answer("b"))
    assert results == ["b", "b"]
    assert len(questions) == 2
    assert now + 499 < leased._fresh_until < now + 600


async def test_a_server_that_lost_its_memory_is_asked_again():
    questions = []
    leased = LeasedIceServers(questions.append, 10)
    leased.registered(offered=True, resumed=False)
    async with asking(leased):
        leased.registered(offered=True, resumed=True)
        assert len(questions) == 1
        leased.registered(offered=True, resumed=False)
        assert len(questions) == 2
        leased.receive(answer())
    leased.registered(offered=True, resumed=False)
    assert len(questions) == 2


async def test_a_server_that_has_none_is_told_of_once(caplog):
    caplog.set_level("WARNING", LOGGER)
    leased = LeasedIceServers([].append, 10)
    leased.registered(offered=False, resumed=False)
    assert [await leased.get() for _ in range(2)] == [(), ()]
    [record] = own_records(caplog)
    assert "lends no TURN servers" in record.getMessage()


async def test_who_does_not_answer_is_not_waited_for():
    leased = LeasedIceServers([].append, 0.05)
    leased.registered(offered=True, resumed=False)
    with pytest.raises(SignalingUnavailable, match=r"told no ICE servers within 0\.05 s"):
        await leased.get()


async def test_nonsense_is_refused_and_no_credentials_are_shown():
    leased = LeasedIceServers([].append, 10)
    with pytest.raises(InvalidSignal, match="ice-servers: ") as caught:
        leased.receive(answer(url="nonsense"))
    assert "secret" not in str(caught.value)


async def test_an_answer_that_nobody_asked_for_is_kept():
    leased = LeasedIceServers([].append, 10)
    leased.registered(offered=True, resumed=False)
    leased.receive(answer())
    assert (await leased.get())[0].username == "a"
