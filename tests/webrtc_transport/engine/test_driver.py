"""What every driver promises, on each event loop."""

import contextlib
import socket
import sys

import anyio
import anyio.lowlevel
import pytest

from webrtc_transport.engine.driver import AsyncioDriver
from webrtc_transport.engine.trio_driver import TrioDriver

pytestmark = pytest.mark.anyio


@pytest.fixture(
    params=[("asyncio", {"debug": True}), ("asyncio", {"use_uvloop": True}), ("trio", {})],
    ids=["asyncio", "uvloop", "trio"],
)
def anyio_backend(request):
    return request.param


@contextlib.asynccontextmanager
async def driving(anyio_backend):
    if anyio_backend[0] == "asyncio":
        yield AsyncioDriver()
        return
    driver = TrioDriver()
    async with anyio.create_task_group() as task_group:
        await task_group.start(driver.run)
        yield driver
        task_group.cancel_scope.cancel()


@pytest.fixture
async def driver(anyio_backend):
    async with driving(anyio_backend) as driver:
        yield driver


@pytest.fixture
def sockets():
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    for end in ends:
        end.setblocking(False)
    yield ends
    for end in ends:
        end.close()


async def until(condition):
    with anyio.fail_after(2):
        while not condition():
            await anyio.sleep(0.001)


async def test_a_call_soon_comes_after_what_runs_now_and_in_order(driver):
    calls = []
    for number in range(3):
        driver.call_soon(calls.append, number)
    assert calls == []
    await until(lambda: len(calls) == 3)
    assert calls == [0, 1, 2]


async def test_a_call_soon_from_a_call_soon_waits_for_others(driver):
    calls = []

    def again(number):
        calls.append(number)
        if number < 100:
            driver.call_soon(again, number + 1)

    driver.call_soon(again, 0)
    await anyio.lowlevel.checkpoint()
    assert len(calls) < 10
    await until(lambda: len(calls) == 101)


async def test_timers_come_in_the_order_of_their_times(driver):
    calls = []
    now = driver.now()
    cancelled = driver.call_at(now + 0.01, lambda: calls.append("cancelled"))
    driver.call_at(now + 0.03, lambda: calls.append(driver.now()))
    driver.call_at(now + 0.02, lambda: calls.append(driver.now()))
    driver.call_at(now - 1, lambda: calls.append("past"))
    cancelled.cancel()
    await until(lambda: len(calls) == 3)
    assert calls[0] == "past"
    assert now + 0.02 <= calls[1] + 0.001
    assert calls[1] < calls[2]


async def test_a_timer_can_be_cancelled_when_it_is_over(driver):
    calls = []
    timer = driver.call_at(driver.now(), lambda: calls.append(1))
    await until(lambda: calls)
    timer.cancel()
    timer.cancel()


async def test_a_reader_is_called_while_there_is_something_to_read(driver, sockets):
    ours, theirs = sockets
    received = []
    driver.add_reader(ours, lambda: received.append(ours.recv(100)))
    for data in (b"one", b"two", b"three"):
        theirs.send(data)
    await until(lambda: len(received) == 3)
    theirs.send(b"four")
    await until(lambda: len(received) == 4)
    driver.remove_reader(ours)
    assert received == [b"one", b"two", b"three", b"four"]


async def test_what_a_reader_asks_for_soon_comes_when_it_is_through(driver, sockets):
    ours, theirs = sockets
    calls = []

    def read():
        driver.call_soon(calls.append, "soon")
        calls.append(ours.recv(100))

    driver.add_reader(ours, read)
    theirs.send(b"data")
    await until(lambda: len(calls) == 2)
    driver.remove_reader(ours)
    assert calls == [b"data", "soon"]


async def test_a_reader_that_removes_itself_may_close_its_socket(driver, sockets):
    ours, theirs = sockets
    calls = []

    def read():
        calls.append(ours.recv(100))
        driver.remove_reader(ours)
        ours.close()

    driver.add_reader(ours, read)
    for _ in range(2):
        theirs.send(b"data")
    await until(lambda: calls)
    await anyio.sleep(0.01)
    assert calls == [b"data"]


async def test_a_socket_may_be_closed_when_its_reader_is_removed(driver, sockets):
    ours, _ = sockets
    driver.add_reader(ours, lambda: None)
    await anyio.sleep(0.01)
    driver.remove_reader(ours)
    ours.close()
    await anyio.sleep(0.01)


async def test_a_failing_call_leaves_the_others_alone(driver, sockets, anyio_backend, caplog):
    ours, theirs = sockets
    calls, failures = [], []

    def fail():
        if not calls:
            calls.append(ours.recv(100))
            raise ValueError("bad")
        calls.append(ours.recv(100))

    with contextlib.ExitStack() as stack:
        if anyio_backend[0] == "asyncio":
            loop = sys.modules["asyncio"].get_running_loop()
            stack.callback(loop.set_exception_handler, loop.get_exception_handler())
            loop.set_exception_handler(lambda _loop, context: failures.append(context["exception"]))
        driver.add_reader(ours, fail)
        driver.call_soon(int, "bad")
        driver.call_at(driver.now(), lambda: int("bad"))
        theirs.send(b"one")
        await until(lambda: calls)
        theirs.send(b"two")
        await until(lambda: len(calls) == 2)
        await until(
            lambda: len(failures) + sum(record.exc_info is not None for record in caplog.records) == 3
        )
        driver.remove_reader(ours)
    assert calls == [b"one", b"two"]
