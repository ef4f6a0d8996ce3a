"""The end of the engine's loop on trio, as a fault in it would bring it about."""

import anyio
import pytest

from webrtc_transport.engine.peer import IcePeer
from webrtc_transport.errors import EngineError

ENDS = ["exit", "stop"]


async def leave():
    """A task that ends the loop that it runs in."""
    raise SystemExit(3)


async def end_the_loop(portal, way="exit"):
    """By a ``SystemExit`` of a task in it, or because somebody stops it; returns when its thread is gone."""

    loop = portal._loop
    await portal.call(loop.stop if way == "stop" else lambda: loop.create_task(leave()))
    while portal._thread.is_alive():
        await anyio.sleep(0.001)
    # The thread's last word may still be on its way.
    await anyio.wait_all_tasks_blocked()


def portal_of(transport):
    """The portal of a transport with signaling."""
    return transport._signaled.portal


def portal_behind(connection):
    """The portal between the engine's loop and what of a connection lives in the caller's."""
    link = connection._link
    return link.peer._ice._portal if isinstance(link.peer, IcePeer) else link.portal


async def ends_with_the_loop(portal, way, waiting, *arguments):
    """Check that whoever waits is told by name when the engine's loop ends, and at once."""
    started = anyio.Event()

    async def wait():
        started.set()
        with pytest.raises(EngineError, match="event loop has ended"):
            await waiting(*arguments)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as task_group:
            task_group.start_soon(wait)
            await started.wait()
            await anyio.wait_all_tasks_blocked()
            await end_the_loop(portal, way)
