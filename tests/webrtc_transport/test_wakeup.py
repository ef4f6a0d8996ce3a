import anyio
import pytest

from webrtc_transport.wakeup import Wakeup

pytestmark = pytest.mark.anyio


async def test_everyone_who_waits_is_woken():
    wakeup, woken = Wakeup(), 0

    async def wait():
        nonlocal woken
        await wakeup.wait()
        woken += 1

    with anyio.fail_after(5):
        async with anyio.create_task_group() as task_group:
            for _ in range(3):
                task_group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            wakeup.notify()
    assert woken == 3


async def test_a_change_before_the_wait_doesnt_count():
    wakeup = Wakeup()
    wakeup.notify()
    with anyio.move_on_after(0.01) as scope:
        await wakeup.wait()
    assert scope.cancelled_caught


def test_it_is_made_and_notified_without_an_event_loop():
    Wakeup().notify()
