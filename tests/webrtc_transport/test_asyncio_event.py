"""An event that tasks wait for on asyncio."""

import anyio
import pytest

from webrtc_transport.asyncio_event import AsyncioEvent

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request):
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture
def bench():
    event, woken = AsyncioEvent(), []

    async def wait(name):
        await event.wait()
        woken.append(name)

    return event, woken, wait


async def test_it_wakes_everyone_and_whoever_gives_up_leaves_nothing_behind(bench):
    event, woken, wait = bench
    with anyio.fail_after(5):
        async with anyio.create_task_group() as task_group:
            for name in ("one", "two"):
                task_group.start_soon(wait, name)
            for _ in range(3):
                with anyio.move_on_after(0.001) as scope:
                    await wait("nobody")
                assert scope.cancelled_caught
            assert len(event._waiters) == 2
            event.set()
    assert woken == ["one", "two"]


async def test_a_task_that_gives_up_in_the_turn_of_the_event_takes_it_from_nobody(bench):
    event, woken, wait = bench
    with anyio.fail_after(5):
        async with anyio.create_task_group() as task_group, anyio.create_task_group() as given_up:
            given_up.start_soon(wait, "gives up")
            task_group.start_soon(wait, "stays")
            await anyio.wait_all_tasks_blocked()
            given_up.cancel_scope.cancel()
            event.set()
    assert "stays" in woken
