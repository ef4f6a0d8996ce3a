import anyio
import pytest

from tests.webrtc_signaling.samples import ALICE, SESSION
from webrtc_signaling.inbound import MAX_BACKLOG, Backlog
from webrtc_signaling.session import BufferedSession
from webrtc_transport.errors import IceFailed, SignalingRejected

pytestmark = pytest.mark.anyio


class Session(BufferedSession):
    def __init__(self):
        super().__init__(ALICE.peer_id, SESSION, authenticated=False)
        self.farewell = None

    async def _send(self, signal):
        raise AssertionError("nothing is to be sent")

    def _forget(self, farewell):
        self.farewell = farewell


async def serve(backlog, handler):
    await backlog.serve(handler, anyio.TASK_STATUS_IGNORED)


async def test_sessions_that_wait_are_bounded_and_refused_when_nobody_takes_them():
    backlog, sessions = Backlog(), [Session() for _ in range(MAX_BACKLOG + 1)]
    for session in sessions:
        backlog.add(session)
    assert sessions[-1].farewell.data.code == "busy"
    assert all(session.farewell is None for session in sessions[:-1])
    backlog.fail(SignalingRejected("another one took over", code="replaced"))
    with pytest.raises(SignalingRejected):
        await serve(backlog, None)
    assert {session.farewell.data.code for session in sessions[:-1]} == {"not-listening"}


async def test_each_session_gets_its_handler_and_is_closed_after_it():
    backlog, sessions, handled = Backlog(), [Session(), Session()], []

    async def handler(session):
        handled.append(session)
        if len(handled) == len(sessions):
            task_group.cancel_scope.cancel()

    backlog.add(sessions[0])
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(serve, backlog, handler)
        await anyio.wait_all_tasks_blocked()
        backlog.add(sessions[1])
    assert handled == sessions
    assert [session.farewell.type for session in sessions] == ["bye", "bye"]


async def test_a_connection_that_fails_in_its_handler_ends_its_session_alone():
    backlog, session = Backlog(), Session()

    async def handler(_session):
        raise IceFailed("no candidate pair worked")

    backlog.add(session)
    async with anyio.create_task_group() as task_group:
        task_group.start_soon(serve, backlog, handler)
        await anyio.wait_all_tasks_blocked()
        assert session.farewell.type == "bye"
        task_group.cancel_scope.cancel()


async def test_a_bug_in_a_handler_is_not_hidden():
    backlog = Backlog()

    async def handler(_session):
        raise KeyError("bug")

    backlog.add(Session())
    with pytest.raises(ExceptionGroup) as caught:
        await serve(backlog, handler)
    assert caught.group_contains(KeyError, match="bug")


async def test_it_fails_with_what_the_service_says_and_ends_its_handlers():
    backlog, session = Backlog(), Session()

    async def handler(_session):
        backlog.fail(SignalingRejected("another one took over", code="replaced"))
        await anyio.sleep_forever()

    backlog.add(session)
    with pytest.raises(SignalingRejected, match="took over"):
        await serve(backlog, handler)
    assert session.farewell.type == "bye"
