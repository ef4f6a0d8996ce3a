import anyio
import pytest

from tests.webrtc_signaling.samples import ALICE, ALICE_ID, ANSWER, BYE, OFFER, SESSION, candidate, error
from webrtc_signaling.session import BufferedSession, session_error
from webrtc_transport.errors import PeerUnreachable, SignalingRejected, SignalingUnavailable

pytestmark = pytest.mark.anyio


class Session(BufferedSession):
    def __init__(self):
        super().__init__(ALICE.peer_id, SESSION, authenticated=False)
        self.sent = []
        self.farewells = []

    async def _send(self, signal):
        self.sent.append(signal)

    def _forget(self, farewell):
        self.farewells.append(farewell)


@pytest.fixture
def session():
    return Session()


async def test_signals_wait_until_they_are_received(session):
    for number in range(3):
        session.feed(candidate(number))
    session.feed(BYE)
    session.feed(candidate(3))
    for number in range(3):
        assert await session.receive() == candidate(number)
    for _ in range(2):
        with pytest.raises(anyio.EndOfStream):
            await session.receive()


async def test_a_cancelled_receive_loses_nothing(session):
    session.feed(OFFER)
    with anyio.CancelScope() as scope:
        scope.cancel()
        await session.receive()
    assert await session.receive() == OFFER


async def test_a_signal_wakes_who_waits_for_it(session):
    async with anyio.create_task_group() as task_group:

        async def receive():
            assert await session.receive() == ANSWER

        task_group.start_soon(receive)
        await anyio.wait_all_tasks_blocked()
        session.feed(ANSWER)


async def test_the_first_reason_to_end_counts(session):
    session.end(SignalingUnavailable("gone"))
    session.feed(error("busy"))
    session.feed(BYE)
    for attempt in (session.receive, lambda: session.send(ANSWER)):
        with pytest.raises(SignalingUnavailable, match="gone"):
            await attempt()


async def test_bye_is_said_once_and_only_if_the_peer_has_not_ended_it(session):
    await session.aclose()
    await session.aclose()
    assert session.farewells == [BYE]
    for end in (lambda s: s.feed(BYE), lambda s: s.end(SignalingUnavailable("gone"))):
        ended = Session()
        end(ended)
        await ended.aclose()
        assert ended.farewells == [None]


async def test_a_bye_by_hand_is_the_only_one(session):
    await session.send(BYE)
    await session.aclose()
    assert session.sent == [BYE]
    assert session.farewells == [None]


async def test_a_refusal_takes_the_place_of_the_bye(session):
    session.refuse("busy", "no room")
    await session.aclose()
    assert session.farewells == [error("busy", "no room")]


async def test_closing_is_safe_when_cancelled(session):
    with anyio.CancelScope() as scope:
        scope.cancel()
        await session.aclose()
    assert session.farewells == [BYE]


@pytest.mark.parametrize(
    ("code", "kind", "cure"),
    [
        ("peer-not-found", PeerUnreachable, "check the peer id"),
        ("peer-gone", PeerUnreachable, "dial again"),
        ("undeliverable", PeerUnreachable, "dial again"),
        ("not-listening", PeerUnreachable, "listen('/webrtc')"),
        ("busy", SignalingRejected, ""),
        ("anything-else", SignalingRejected, ""),
    ],
)
def test_codes_become_errors_that_name_the_peer_and_the_cure(code, kind, cure):
    reason = session_error(ALICE.peer_id, error(code, "an\x1b[31m\nexplanation").data)
    assert type(reason) is kind
    assert ALICE_ID in str(reason)
    assert code in str(reason)
    assert cure in str(reason)
    assert str(reason).isprintable()


def test_a_rejection_keeps_its_code():
    assert session_error(ALICE.peer_id, error("busy").data).code == "busy"
