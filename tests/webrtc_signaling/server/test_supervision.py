import asyncio

import pytest

from webrtc_signaling.server.supervision import cancel, guarded

LOGGER = "libp2p.transport.webrtc.signaling.server"


def test_an_error_is_logged_with_its_traceback_and_the_rest_goes_on(caplog):
    caplog.set_level("ERROR", LOGGER)
    done = []
    for number in range(3):
        with guarded("count"):
            done.append(10 // (number - 1))
    assert done == [-10, 10]
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert "wanted to count" in record.getMessage()
    assert record.exc_info[0] is ZeroDivisionError


def test_cancellation_is_no_error(caplog):
    with pytest.raises(asyncio.CancelledError), guarded("wait"):
        raise asyncio.CancelledError
    assert not caplog.records


@pytest.mark.anyio
async def test_tasks_are_cancelled_until_they_have_ended():
    taken = []

    async def stubborn():
        while len(taken) < 2:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                taken.append(1)

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(20):
        await cancel([task], again_after=0.01)
        await cancel([], again_after=0.01)
    assert task.done()
    assert len(taken) == 2
