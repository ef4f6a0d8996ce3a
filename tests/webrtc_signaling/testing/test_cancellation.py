import anyio
import anyio.lowlevel
import pytest

from webrtc_signaling.testing import cancellation
from webrtc_signaling.testing.cancellation import cancel_at_each_await

pytestmark = pytest.mark.anyio


async def test_each_await_is_cancelled_once():
    reached = []

    async def scenario():
        begun = []
        reached.append(begun)
        for number in range(3):
            begun.append(number)
            await anyio.lowlevel.checkpoint()

    cancelled = await cancel_at_each_await(scenario)
    assert cancelled >= 3
    assert reached[0] == [0]
    assert reached[-1] == [0, 1, 2]
    assert len(reached) == cancelled + 1


async def test_the_cleanup_runs():
    cleaned = []

    async def scenario():
        try:
            await anyio.lowlevel.checkpoint()
        finally:
            cleaned.append(True)

    assert len(cleaned) == 0
    assert await cancel_at_each_await(scenario) == len(cleaned) - 1


async def test_what_the_scenario_raises_comes_out():
    async def scenario():
        await anyio.lowlevel.checkpoint()
        raise KeyError("x")

    with pytest.raises(KeyError):
        await cancel_at_each_await(scenario)


async def test_a_scenario_without_end_is_an_error(monkeypatch):
    monkeypatch.setattr(cancellation, "_MAX_STEPS", 5)

    async def scenario():
        for _ in range(100):
            await anyio.lowlevel.checkpoint()

    with pytest.raises(AssertionError, match="5 awaits"):
        await cancel_at_each_await(scenario)
