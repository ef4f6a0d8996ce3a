import anyio
import pytest

from webrtc_transport.task_group import bare_task_group, unwrapped

pytestmark = pytest.mark.anyio


async def fail(error):
    raise error


async def test_one_exception_comes_out_as_it_is():
    error = KeyError("x")
    with pytest.raises(KeyError) as caught:
        async with bare_task_group() as task_group:
            task_group.start_soon(fail, error)
    assert caught.value is error
    assert error.__context__ is None


async def test_one_of_the_body_too_and_the_tasks_are_cancelled():
    ended = []

    async def forever():
        try:
            await anyio.sleep_forever()
        finally:
            ended.append(True)

    with pytest.raises(ZeroDivisionError):
        async with bare_task_group() as task_group:
            task_group.start_soon(forever)
            await anyio.wait_all_tasks_blocked()
            raise ZeroDivisionError
    assert ended == [True]


async def test_groups_of_groups_of_one_are_opened():
    with pytest.raises(KeyError):
        async with bare_task_group() as outer, anyio.create_task_group() as inner:
            outer.start_soon(anyio.sleep, 0)
            inner.start_soon(fail, ExceptionGroup("", [KeyError("x")]))


async def test_two_exceptions_stay_together():
    with pytest.raises(ExceptionGroup) as caught:
        async with bare_task_group() as task_group:
            task_group.start_soon(fail, KeyError("x"))
            task_group.start_soon(fail, ValueError("y"))
    assert len(caught.value.exceptions) == 2


async def test_cancellation_passes():
    with anyio.move_on_after(0.01) as scope:
        async with bare_task_group() as task_group:
            task_group.start_soon(anyio.sleep_forever)
    assert scope.cancelled_caught


def test_what_is_no_group_of_one_is_left_alone():
    error, both = KeyError("x"), ExceptionGroup("", [KeyError("x"), ValueError("y")])
    assert unwrapped(error) is error
    assert unwrapped(both) is both
    assert unwrapped(ExceptionGroup("", [both])) is both
