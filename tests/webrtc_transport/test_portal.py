import asyncio
import logging
import multiprocessing
import subprocess
import sys
import threading
import time

import anyio
import anyio.lowlevel
import pytest

from tests.engine_loop import ENDS, end_the_loop, leave
from webrtc_transport.errors import EngineError
from webrtc_transport.portal import open_portal, same_loop_portal

pytestmark = pytest.mark.anyio


@pytest.fixture
def on_trio(anyio_backend_name):
    return anyio_backend_name == "trio"


async def test_the_engines_loop_is_the_callers_on_asyncio_and_a_threads_on_trio(on_trio):
    async with open_portal() as portal:
        engine = await portal.call(threading.get_ident)
        assert (engine != threading.get_ident()) is on_trio
        assert await portal.call(asyncio.get_running_loop) is not None
    assert threading.get_ident() == threading.main_thread().ident


async def test_functions_keep_their_order_both_ways():
    async with open_portal() as portal:
        there, back, finished = [], [], anyio.Event()

        def on_engine(number):
            there.append(number)
            portal.deliver(on_caller, number)

        def on_caller(number):
            back.append((number, threading.get_ident()))
            if number == 999:
                finished.set()

        for number in range(1000):
            portal.post(on_engine, number)
        with anyio.fail_after(10):
            await finished.wait()
        assert there == list(range(1000))
        assert back == [(number, threading.get_ident()) for number in range(1000)]


async def test_what_a_handed_over_function_raises_stops_nothing(caplog):
    async with open_portal() as portal:
        portal.post(lambda: 1 / 0)
        portal.post(portal.deliver, lambda: 1 / 0)
        assert await portal.call(lambda: "alive") == "alive"
    records = [record for record in caplog.records if record.name == "libp2p.transport.webrtc.portal"]
    assert len(records) == 2
    assert all(record.exc_info[0] is ZeroDivisionError for record in records)


async def test_what_runs_in_the_callers_loop_has_no_thread():
    portal = same_loop_portal()
    assert await portal.call(threading.get_ident) == threading.get_ident()
    event = portal.make_event()
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(event.wait)
        await anyio.wait_all_tasks_blocked()
        event.set()


async def test_results_and_exceptions_of_calls_come_back():
    async with open_portal() as portal:
        assert await portal.call(divmod, 7, 2) == (3, 1)
        with pytest.raises(ZeroDivisionError):
            await portal.call(divmod, 7, 0)


async def test_results_and_exceptions_of_coroutines_come_back():
    async def later(value):
        await asyncio.sleep(0)
        return 1 / value

    async with open_portal() as portal:
        assert await portal.run(later, 2) == 0.5
        with pytest.raises(ZeroDivisionError):
            await portal.run(later, 0)


async def test_cancellation_crosses_and_is_waited_for():
    ended = []

    async def forever():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.append(True)

    async with open_portal() as portal:
        with anyio.move_on_after(0.05) as scope:
            await portal.run(forever)
        assert scope.cancelled_caught
        assert ended == [True]


async def test_a_call_isnt_cancelled():
    async with open_portal() as portal:
        with anyio.CancelScope() as scope:
            scope.cancel()
            assert await portal.call(lambda: "done") == "done"


async def test_no_thread_is_left():
    before = threading.active_count()
    for _ in range(3):
        async with open_portal() as portal:
            await portal.call(int)
    assert threading.active_count() == before


async def test_leftover_tasks_end_with_the_portal(on_trio):
    if not on_trio:
        return  # On asyncio the tasks are the caller's own.
    ended = threading.Event()

    async def forever():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with open_portal() as portal:
        await portal.call(lambda: setattr(portal, "kept", asyncio.get_running_loop().create_task(forever())))
        await portal.run(asyncio.sleep, 0)
    assert ended.is_set()


async def test_what_leftover_tasks_begin_ends_too(on_trio):
    if not on_trio:
        return
    kept = []

    async def last_one():
        try:
            await asyncio.sleep(3600)
        finally:
            kept.append(asyncio.get_running_loop().create_task(asyncio.sleep(3600)))

    async with open_portal() as portal:
        await portal.call(lambda: kept.append(portal._loop.create_task(last_one())))
        await portal.run(asyncio.sleep, 0)
    assert [task.cancelled() for task in kept] == [True, True]


@pytest.mark.parametrize("way", ENDS)
async def test_a_portal_that_is_closed_while_a_fault_is_cleaned_up_after_lets_that_end(on_trio, caplog, way):
    if not on_trio:
        return  # As above.
    begun, ended = threading.Event(), threading.Event()

    async def cleans_up(portal):
        try:
            await asyncio.sleep(3600)
        finally:
            begun.set()
            while not portal._closed:
                await asyncio.sleep(0.001)
            # The portal's last word comes right after.
            await asyncio.sleep(0.1)
            ended.set()

    async with open_portal() as portal:
        loop = portal._loop
        await portal.call(lambda: setattr(portal, "kept", loop.create_task(cleans_up(portal))))
        await portal.run(asyncio.sleep, 0)
        await portal.call(loop.stop if way == "stop" else lambda: loop.create_task(leave()))
        while not begun.is_set():
            await anyio.sleep(0.001)
    assert ended.is_set()
    assert "stopped before Future completed" not in caplog.text


async def test_a_closed_portal_refuses(on_trio):
    async with open_portal() as portal:
        pass
    if on_trio:
        portal.post(print)
        with pytest.raises(anyio.ClosedResourceError):
            await portal.run(asyncio.sleep, 0)
        with pytest.raises(anyio.ClosedResourceError):
            await portal.call(int)


async def test_a_task_that_exits_ends_nothing_else(on_trio, caplog):
    if not on_trio:
        return  # On asyncio the loop is the caller's own, and so is the exit.

    async def leave():
        raise SystemExit(3)

    async with open_portal() as portal:
        with anyio.fail_after(5), pytest.raises(SystemExit):
            await portal.run(leave)
        with anyio.fail_after(5), pytest.raises(SystemExit):
            await portal.call(sys.exit, 3)
        portal.post(sys.exit, 3)
        assert await portal.call(lambda: "alive") == "alive"
    assert len(caplog.records) == 1


async def test_two_portals_at_once():
    async with open_portal() as first, open_portal() as second:
        assert await first.call(lambda: 1) == 1
        assert await second.call(lambda: 2) == 2


@pytest.mark.skipif(not hasattr(multiprocessing, "get_context"), reason="needs fork")
def test_a_portal_from_before_fork_is_refused():
    program = """
import os, trio
from webrtc_transport.portal import open_portal

async def main():
    async with open_portal() as portal:
        pid = os.fork()
        if pid == 0:
            try:
                await portal.call(int)
            except RuntimeError as exc:
                os._exit(42 if "fork" in str(exc) else 1)
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status))

trio.run(main)
"""
    result = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert result.stdout.strip() == "42"


async def test_trio_asyncio_in_the_process_changes_nothing(on_trio):
    # The engine's loop is made by its class, not by the policy, which others replace.
    if not on_trio:
        return

    class NoLoops(asyncio.DefaultEventLoopPolicy):
        def new_event_loop(self):
            raise AssertionError

    previous = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(NoLoops())
    try:
        async with open_portal() as portal:
            assert await portal.call(int) == 0
    finally:
        asyncio.set_event_loop_policy(previous)


async def test_a_flood_of_deliveries_lets_the_callers_other_tasks_run(on_trio):
    if not on_trio:
        return  # On asyncio they are plain calls.
    async with open_portal() as portal:
        turns = 0
        finished = anyio.Event()

        def again(left):
            if left:
                portal.post(portal.deliver, again, left - 1)
            else:
                finished.set()

        async def count():
            nonlocal turns
            while not finished.is_set():
                await anyio.lowlevel.checkpoint()
                turns += 1

        started = time.monotonic()
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(count)
            portal.post(portal.deliver, again, 200)
            with anyio.fail_after(10):
                await finished.wait()
        assert time.monotonic() - started < 10
        assert turns >= 1


def test_the_logger_is_a_child_of_the_documented_one():
    from webrtc_transport import portal

    assert portal._logger.name.startswith("libp2p.transport.webrtc")
    assert logging.getLogger("libp2p.transport.webrtc.portal") is portal._logger


async def test_nothing_waits_for_a_thread_that_has_died(on_trio, caplog):
    if not on_trio:
        return  # On asyncio there is no thread.
    with anyio.fail_after(5):
        async with open_portal() as portal:
            await end_the_loop(portal)
            portal.post(print)
            for _ in range(2):
                with pytest.raises(anyio.ClosedResourceError, match="engine's thread has died"):
                    await portal.call(int)
                with pytest.raises(anyio.ClosedResourceError, match="engine's thread has died"):
                    await portal.run(asyncio.sleep, 0)
    assert "the engine's loop ended" in caplog.text


async def test_calls_that_wait_when_the_thread_dies_end(on_trio):
    if not on_trio:
        return
    ended = []

    async def wait():
        with pytest.raises(anyio.ClosedResourceError):
            await portal.run(asyncio.Event().wait)
        ended.append(True)

    with anyio.fail_after(5):
        async with open_portal() as portal:
            async with anyio.create_task_group() as task_group:
                task_group.start_soon(wait)
                await anyio.wait_all_tasks_blocked()
                await end_the_loop(portal)
    assert ended == [True]


@pytest.mark.parametrize("way", ENDS)
async def test_whoever_asked_is_told_of_the_loops_end_in_its_own(on_trio, way):
    if not on_trio:
        return
    threads, forgotten = [], []

    def tell():
        threads.append(threading.get_ident())

    with anyio.fail_after(5):
        async with open_portal() as portal:
            portal.at_fault |= {tell, forgotten.clear}
            portal.at_fault.discard(forgotten.clear)
            portal.check()
            await end_the_loop(portal, way)
            with pytest.raises(EngineError, match="make a new transport"):
                portal.check()
    assert threads == [threading.get_ident()]


async def test_who_fails_when_told_of_a_fault_keeps_nobody_from_being_told(on_trio, caplog):
    if not on_trio:
        return
    told = anyio.Event()

    def fail():
        raise KeyError("fault")

    def tell():
        told.set()
        raise KeyError("fault")

    with anyio.fail_after(5):
        async with open_portal() as portal:
            portal.at_fault |= {fail, tell}
            await end_the_loop(portal, ENDS[0])
            await told.wait()
    assert (
        sum(record.exc_info is not None and record.exc_info[0] is KeyError for record in caplog.records) == 2
    )


@pytest.mark.parametrize("way", ENDS)
async def test_a_block_that_needs_the_engine_ends_with_it(on_trio, way):
    async with open_portal() as portal:
        with portal.needed():
            await portal.call(int)
        assert not portal.at_fault
        with pytest.raises(anyio.ClosedResourceError, match="another"), portal.needed():
            raise anyio.ClosedResourceError("another one's")
        if not on_trio:
            return
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(end_the_loop, portal, way)
            with anyio.fail_after(5), pytest.raises(EngineError), portal.needed():
                await anyio.sleep_forever()
        with pytest.raises(EngineError), portal.needed():
            pytest.fail("it has ended")


async def test_a_loop_that_was_closed_has_no_fault():
    told = []
    async with open_portal() as portal:
        portal.at_fault.add(lambda: told.append(True))
    portal.check()
    assert told == []


async def test_a_call_that_finds_out_first_ends_the_block_by_the_same_name(on_trio):
    if not on_trio:
        return
    async with open_portal() as portal:
        with anyio.fail_after(5), pytest.raises(EngineError), portal.needed():
            portal.post(portal._loop.stop)
            while True:
                await portal.call(int)


async def test_what_a_fault_leaves_behind_comes_to_its_end(on_trio):
    if not on_trio:
        return
    ended = threading.Event()

    async def forever():
        try:
            await asyncio.sleep(3600)
        finally:
            ended.set()

    async with open_portal() as portal:
        await portal.call(lambda: setattr(portal, "kept", portal._loop.create_task(forever())))
        await portal.run(asyncio.sleep, 0)
        await end_the_loop(portal)
        assert ended.is_set()
