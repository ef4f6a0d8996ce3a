"""What becomes of what a handler raises."""

import logging

import anyio
import pytest
from anyio.abc import AsyncResource

from tests.logs import own_records
from webrtc_transport.errors import ConnectionLost, HandlerError, StreamReset
from webrtc_transport.serving import check_handler, log_failure, run_handler

pytestmark = pytest.mark.anyio


class Resource(AsyncResource):
    is_closed = False

    async def aclose(self):
        self.is_closed = True


@pytest.fixture
def resource():
    return Resource()


@pytest.fixture
def told():
    return []


async def run(handler, resource, told):
    await run_handler(handler, resource, lambda *arguments: told.append(arguments))
    assert resource.is_closed


async def in_a_group(error):
    async with anyio.create_task_group():
        raise error


async def plainly(error):
    raise error


@pytest.mark.parametrize("way", [plainly, in_a_group])
@pytest.mark.parametrize("error", [StreamReset("reset"), ConnectionLost("lost"), anyio.EndOfStream()])
async def test_what_a_peer_brings_about_is_an_ordinary_end(resource, told, way, error, caplog):
    # By its name: py-libp2p sets a level for all of libp2p, if it was imported.
    caplog.set_level(logging.INFO, logger="libp2p.transport.webrtc")
    await run(lambda _: way(error), resource, told)
    assert told == []
    assert [record.levelname for record in own_records(caplog)] == ["INFO"]


@pytest.mark.parametrize("way", [plainly, in_a_group])
async def test_anything_else_is_told_once(resource, told, way, caplog):
    error = KeyError("the peer's bytes")
    await run(lambda _: way(error), resource, told)
    assert told == [(resource, error)]
    assert own_records(caplog) == []


async def test_of_a_group_only_what_isnt_ordinary_is_told(resource, told):
    error = KeyError("x")
    await run(lambda _: plainly(ExceptionGroup("", [StreamReset("reset"), error])), resource, told)
    assert told == [(resource, error)]


@pytest.mark.parametrize("way", [plainly, in_a_group])
async def test_an_exit_is_no_error_of_a_handler(resource, told, way):
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - in a group or not
        await run(lambda _: way(SystemExit(3)), resource, told)
    leaf = caught.value.exceptions[0] if isinstance(caught.value, BaseExceptionGroup) else caught.value
    assert isinstance(leaf, SystemExit)
    assert told == []
    assert resource.is_closed


async def test_what_is_told_may_raise_in_turn(resource):
    def again(_, error):
        raise error

    with pytest.raises(KeyError):
        await run_handler(lambda _: plainly(KeyError("x")), resource, again)


async def test_a_handler_that_isnt_async_ends_the_serving(resource, told):
    def handler(_):
        return 5

    with pytest.raises(
        HandlerError, match=r"the handler \S+<locals>.handler has to be an async function"
    ) as caught:
        await run(handler, resource, told)
    assert "(async def); it returned 5" in str(caught.value)
    # As Python's own calls raise it.
    assert isinstance(caught.value, TypeError)
    assert told == []


@pytest.mark.parametrize("handler", [None, "echo"])
def test_what_cant_be_called_is_no_handler(handler):
    with pytest.raises(HandlerError, match=r"has to be an async function \(async def\), not"):
        check_handler(handler)


def test_a_failure_is_one_record_with_its_traceback(caplog):
    log_failure("12D3KooW", KeyError("x"))
    [record] = own_records(caplog)
    assert record.name == "libp2p.transport.webrtc"
    assert record.levelname == "ERROR"
    assert record.getMessage() == "the handler of 12D3KooW raised KeyError: 'x'"
    assert record.exc_info[0] is KeyError
