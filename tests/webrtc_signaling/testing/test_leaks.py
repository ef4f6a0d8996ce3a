import contextlib
import socket
import threading

import anyio
import anyio.to_thread
import pytest

from webrtc_signaling.testing.leaks import nothing_left

pytestmark = pytest.mark.anyio


async def test_what_ends_in_time_is_no_leak():
    async with anyio.create_task_group() as task_group:
        async with nothing_left():
            task_group.start_soon(anyio.sleep, 0.05)
            await anyio.to_thread.run_sync(sum, [1])


async def test_a_task_is_a_leak():
    async with anyio.create_task_group() as task_group:
        with pytest.raises(AssertionError, match="tasks"):
            async with nothing_left(timeout=0.05):
                task_group.start_soon(anyio.sleep_forever)
        task_group.cancel_scope.cancel()


async def test_a_thread_is_a_leak():
    stopped = threading.Event()
    thread = threading.Thread(target=stopped.wait)
    with pytest.raises(AssertionError, match="threads"):
        async with nothing_left(timeout=0.05):
            thread.start()
    stopped.set()
    thread.join()


async def test_an_open_file_is_a_leak():
    with contextlib.ExitStack() as stack:
        with pytest.raises(AssertionError, match="files"):
            async with nothing_left(timeout=0.05):
                stack.enter_context(socket.socket())
