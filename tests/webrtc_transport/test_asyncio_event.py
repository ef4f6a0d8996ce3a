"""An event that tasks wait for on asyncio."""

import asyncio
import contextvars
import gc
import weakref

import anyio
import pytest

from webrtc_transport.asyncio_event import AsyncioEvent, resuming

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


@pytest.mark.parametrize("how", ["woken", "resumed", "cancelled"])
async def test_nothing_keeps_a_task_that_has_waited(how):
    event = AsyncioEvent()

    async def wait():
        # An error that is kept keeps the frames that it came through, and what these have.
        try:
            await event.wait()
        except asyncio.CancelledError as exc:
            errors.append(exc)

    errors = []
    task = asyncio.create_task(wait())
    await anyio.wait_all_tasks_blocked()
    (waiter,) = event._waiters
    if how == "cancelled":
        task.cancel()
    else:
        asyncio.get_running_loop().call_soon(event.set if how == "woken" else resuming(event.set))
    await task
    await asyncio.sleep(0)
    assert len(errors) == (how == "cancelled")
    ended = weakref.ref(task)
    gc.disable()
    try:
        del task
        errors.clear()
        assert ended() is None
    finally:
        gc.enable()
    assert waiter.done()


class TestResuming:
    """What is woken by a socket's call goes on at the end of it."""

    async def test_a_task_goes_on_at_the_end_of_the_call_before_the_next_turn(self, bench):
        event, woken, wait = bench

        def call():
            asyncio.get_running_loop().call_soon(woken.append, "next turn")
            event.set()
            woken.append("end of the call")

        async with anyio.create_task_group() as task_group:
            for name in ("one", "two"):
                task_group.start_soon(wait, name)
            await anyio.wait_all_tasks_blocked()
            asyncio.get_running_loop().call_soon(resuming(call))
        assert woken == ["end of the call", "one", "two", "next turn"]

    async def test_what_a_task_sets_then_wakes_others_a_turn_later(self, bench):
        event, woken, wait = bench
        other = AsyncioEvent()

        async def pass_on():
            await event.wait()
            other.set()
            woken.append("passed on")

        async def wait_for_other():
            await other.wait()
            await wait("never")

        async with anyio.create_task_group() as task_group:
            task_group.start_soon(wait_for_other)
            task_group.start_soon(pass_on)
            await anyio.wait_all_tasks_blocked()
            loop = asyncio.get_running_loop()
            loop.call_soon(resuming(event.set))
            await anyio.wait_all_tasks_blocked()
            assert woken == ["passed on"]
            task_group.cancel_scope.cancel()

    async def test_a_task_keeps_its_context(self, bench):
        event, woken, _ = bench
        variable = contextvars.ContextVar("variable", default="nothing")

        async def wait():
            variable.set("the task's")
            await event.wait()
            woken.append(variable.get())

        async with anyio.create_task_group() as task_group:
            task_group.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            asyncio.get_running_loop().call_soon(resuming(event.set))
        assert woken == ["the task's"]
        assert variable.get() == "nothing"

    async def test_who_was_woken_before_it_is_cancelled_goes_on(self, bench):
        event, woken, wait = bench
        async with anyio.create_task_group() as task_group, anyio.create_task_group() as given_up:

            async def cancel():
                await event.wait()
                given_up.cancel_scope.cancel()

            task_group.start_soon(cancel)
            await anyio.wait_all_tasks_blocked()
            given_up.start_soon(wait, "too late")
            await anyio.wait_all_tasks_blocked()
            asyncio.get_running_loop().call_soon(resuming(event.set))
        assert woken == ["too late"]

    async def test_a_call_that_fails_has_woken_whom_it_woke(self, bench):
        event, woken, wait = bench

        def call():
            event.set()
            raise ValueError("bad")

        async with anyio.create_task_group() as task_group:
            task_group.start_soon(wait, "one")
            await anyio.wait_all_tasks_blocked()
            failures = []
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _loop, context: failures.append(context["exception"]))
            loop.call_soon(resuming(call))
        loop.set_exception_handler(None)
        assert woken == ["one"]
        assert len(failures) == 1


def test_when_a_task_ends_the_loop_the_others_go_on_with_it():
    loop = asyncio.new_event_loop()
    event, woken = AsyncioEvent(), []

    async def leave():
        await event.wait()
        raise SystemExit

    async def wait():
        await event.wait()
        woken.append("other")

    tasks = [loop.create_task(leave()), loop.create_task(wait())]
    loop.call_later(0.01, resuming(event.set))
    with pytest.raises(SystemExit):
        loop.run_forever()
    loop.run_until_complete(asyncio.wait(tasks))
    assert woken == ["other"]
    assert isinstance(tasks[0].exception(), SystemExit)
    loop.close()
