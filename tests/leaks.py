"""What may be left behind: tasks, threads, file descriptors, peer connections."""

import contextlib
import gc
import threading

import anyio
import psutil
import uvloop

from webrtc_transport.engine.ice import IceAgent

# libuv makes a pipe with the first loop of a process, and keeps it.
uvloop.new_event_loop().close()


class Census:
    """Counts now, to be compared with later."""

    def __init__(self):
        gc.collect()
        self.tasks = len(anyio.get_running_tasks())
        self.threads = threading.active_count()
        self.files = psutil.Process().num_fds()
        self.agents = sum(isinstance(thing, IceAgent) and not thing.is_finished for thing in gc.get_objects())

    def __repr__(self):
        return f"{self.tasks} tasks, {self.threads} threads, {self.files} files, {self.agents} ICE agents"

    def __le__(self, other):
        return all(getattr(self, name) <= getattr(other, name) for name in vars(self))


@contextlib.asynccontextmanager
async def nothing_left(timeout=5):
    """Check that the block leaves nothing behind; what is under way may take ``timeout`` seconds to end."""
    # On trio the test runner's guest mode makes a thread when it first has to wait.
    await anyio.sleep(0.01)
    before = Census()
    yield
    with anyio.move_on_after(timeout):
        while not Census() <= before:
            await anyio.sleep(0.01)
    after = Census()
    assert after <= before, f"before: {before}; after: {after}"
