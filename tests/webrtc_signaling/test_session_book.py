import pytest

from tests.webrtc_signaling.samples import (
    ALICE_ID,
    ANSWER,
    BOB,
    BOB_ID,
    BYE,
    OFFER,
    SESSION,
    candidate,
    envelope,
    error,
)
from webrtc_signaling.limits import MAX_OPEN_SESSIONS, MAX_SESSION_DESCRIPTIONS, MAX_SESSION_SIGNALS
from webrtc_signaling.messages import Malformed, SessionFailure, error_data
from webrtc_signaling.session_book import SessionBook, SessionEvents, SessionKey
from webrtc_transport.errors import (
    InvalidSignal,
    PeerUnreachable,
    SignalingRejected,
    SignalingUnavailable,
)

KEY = SessionKey(BOB_ID, SESSION)


class Alice(SessionEvents):
    """Our side, with a service that keeps what it gets."""

    def __init__(self, *, listening=True):
        self.pushed, self.told, self.room = [], [], 10_000
        self.book = SessionBook(ALICE_ID, self, self.push)
        self.book.listening = listening

    def push(self, sent):
        if len(self.pushed) >= self.room:
            raise SignalingUnavailable("full")
        self.pushed.append(sent)

    def on_session(self, key, peer):
        self.told.append((key, peer))

    def on_signal(self, key, signal):
        self.told.append((key, signal))

    def on_failed(self, key, error):
        self.told.append((key, error))

    def get(self, signal, index=0, session=SESSION):
        self.book.receive(inbound(signal, index, session))

    @property
    def codes(self):
        return [sent.signal.data.code for sent in self.pushed if sent.signal.type == "error"]


def inbound(signal, index=0, session=SESSION):
    return envelope(signal, sender=BOB_ID, recipient=ALICE_ID, index=index, session=session)


def outbound(signal, index):
    return envelope(signal, index=index)


@pytest.fixture
def alice():
    return Alice()


def test_what_is_sent_is_numbered_from_end_to_end(alice):
    alice.book.open(KEY, BOB.peer_id)
    for signal in (OFFER, candidate(1)):
        alice.book.send(KEY, signal)
    alice.book.close(KEY, BYE)
    assert alice.pushed == [outbound(OFFER, 0), outbound(candidate(1), 1), outbound(BYE, 2)]
    assert not len(alice.book)


def test_what_could_not_be_queued_takes_no_number(alice):
    alice.book.open(KEY, BOB.peer_id)
    alice.room = 0
    with pytest.raises(SignalingUnavailable):
        alice.book.send(KEY, OFFER)
    alice.room = 1
    alice.book.send(KEY, ANSWER)
    assert alice.pushed == [outbound(ANSWER, 0)]


def test_an_offer_opens_a_session(alice):
    alice.get(OFFER)
    alice.get(candidate(1), 1)
    assert alice.told == [(KEY, BOB.peer_id), (KEY, OFFER), (KEY, candidate(1))]


def test_a_signal_counts_once(alice):
    for _ in range(2):
        alice.get(OFFER)
        alice.get(candidate(1), 1)
    assert alice.told == [(KEY, BOB.peer_id), (KEY, OFFER), (KEY, candidate(1))]
    assert not alice.pushed


def test_a_missing_signal_ends_the_session_on_both_sides(alice):
    alice.get(OFFER)
    alice.get(candidate(2), 2)
    key, reason = alice.told[-1]
    assert key == KEY
    assert isinstance(reason, InvalidSignal)
    assert "signal 1 is missing" in str(reason)
    assert alice.codes == ["invalid-signal"]
    assert not len(alice.book)


def test_a_malformed_signal_ends_its_session_alone(alice):
    alice.get(OFFER)
    alice.get(OFFER, session="another-session-0")
    alice.book.receive(
        Malformed(sender=BOB_ID, recipient=ALICE_ID, session=SESSION, index=1, reason="data: wrong")
    )
    assert isinstance(alice.told[-1][1], InvalidSignal)
    assert alice.codes == ["invalid-signal"]
    assert len(alice.book) == 1


@pytest.mark.parametrize("signal", [BYE, error("busy")])
def test_the_last_signal_ends_the_session(alice, signal):
    alice.get(OFFER)
    alice.get(signal, 1)
    assert alice.told[-1] == (KEY, signal)
    with pytest.raises(SignalingRejected, match="over"):
        alice.book.send(KEY, ANSWER)
    alice.book.close(KEY, BYE)
    alice.get(signal, 1)
    assert not alice.pushed


def test_an_error_counts_even_out_of_order(alice):
    alice.get(OFFER)
    alice.get(error("unknown-session"), 0)
    assert alice.told[-1] == (KEY, error("unknown-session"))


@pytest.mark.parametrize(("signal", "index"), [(ANSWER, 0), (candidate(1), 3), (OFFER, 1)])
def test_a_signal_of_an_unknown_session_is_refused(alice, signal, index):
    alice.get(signal, index)
    assert alice.codes == ["unknown-session"]
    assert not alice.told


@pytest.mark.parametrize("signal", [BYE, error("busy")])
def test_the_end_of_an_unknown_session_is_nothing_to_talk_about(alice, signal):
    alice.get(signal)
    assert not alice.pushed
    assert not alice.told


def test_nobody_opens_a_session_while_we_do_not_listen():
    alice = Alice(listening=False)
    alice.get(OFFER)
    assert alice.codes == ["not-listening"]
    assert not alice.told


def test_sessions_are_bounded(alice):
    for number in range(MAX_OPEN_SESSIONS):
        alice.get(OFFER, session=f"session-{number:016}")
    alice.get(OFFER)
    assert alice.codes == ["busy"]
    with pytest.raises(SignalingRejected, match="open"):
        alice.book.open(KEY, BOB.peer_id)


def test_signals_of_a_session_are_bounded_with_room_for_its_end(alice):
    alice.book.open(KEY, BOB.peer_id)
    for number in range(MAX_SESSION_SIGNALS - 1):
        alice.book.send(KEY, candidate(number))
    with pytest.raises(SignalingRejected, match="at most"):
        alice.book.send(KEY, candidate(0))
    alice.book.send(KEY, BYE)
    assert alice.pushed[-1].index == MAX_SESSION_SIGNALS - 1


def test_descriptions_of_a_session_are_bounded(alice):
    for index in range(MAX_SESSION_DESCRIPTIONS):
        alice.get(OFFER, index)
    assert alice.told[-1] == (KEY, OFFER)
    alice.get(ANSWER, MAX_SESSION_DESCRIPTIONS)
    assert isinstance(alice.told[-1][1], InvalidSignal)
    assert alice.codes == ["invalid-signal"]


def test_an_invented_sender_is_the_fault_of_the_service(alice):
    with pytest.raises(InvalidSignal, match="from"):
        alice.book.receive(envelope(OFFER, sender="1111", recipient=ALICE_ID))


def test_what_the_service_says_ends_the_session(alice):
    alice.book.open(KEY, BOB.peer_id)
    failure = SessionFailure(peer=BOB_ID, session=SESSION, data=error_data("peer-not-found", "who?"))
    for _ in range(2):
        alice.book.receive_failure(failure)
    [(key, reason)] = alice.told
    assert key == KEY
    assert isinstance(reason, PeerUnreachable)


def test_a_service_that_forgot_gets_everything_again(alice):
    other = SessionKey(BOB_ID, "another-session-0")
    for key in (KEY, other):
        alice.book.open(key, BOB.peer_id)
        alice.book.send(key, OFFER)
    alice.book.send(KEY, candidate(1))
    alice.book.close(other, None)
    alice.pushed.clear()
    alice.book.replay([outbound(OFFER, 0)])
    assert alice.pushed == [outbound(OFFER, 0), outbound(candidate(1), 1)]


def test_a_service_that_forgot_hears_of_ends_again(alice):
    alice.book.open(KEY, BOB.peer_id)
    alice.book.send(KEY, OFFER)
    alice.book.close(KEY, BYE)
    alice.pushed.clear()
    alice.book.replay([outbound(BYE, 1)])
    assert alice.pushed == [outbound(BYE, 1)]


def test_what_the_service_takes_no_more_fails_alone(alice):
    other = SessionKey(BOB_ID, "another-session-0")
    for key in (KEY, other):
        alice.book.open(key, BOB.peer_id)
        alice.book.send(key, OFFER)
    alice.room = len(alice.pushed) + 1
    alice.book.replay([])
    [(key, reason)] = alice.told
    assert key == other
    assert isinstance(reason, SignalingUnavailable)
    assert len(alice.book) == 1


def test_a_farewell_that_can_not_be_sent_hinders_nothing(alice):
    alice.get(OFFER)
    alice.room = 0
    alice.book.close(KEY, BYE)
    alice.get(ANSWER, session="unknown-session-0")
    assert not len(alice.book)


def test_when_the_service_is_gone_every_session_hears_of_it(alice):
    alice.get(OFFER)
    gone = SignalingUnavailable("gone")
    alice.book.fail_all(gone)
    assert alice.told[-1] == (KEY, gone)
    assert not len(alice.book)


# --- what is repeated after the end -----------------------------------------------------------------------------------


@pytest.mark.parametrize("end", [BYE, error("busy")])
def test_a_session_that_is_over_is_not_opened_again_by_what_was_received_before(alice, end):
    for _ in range(2):
        alice.get(OFFER)
        alice.get(candidate(1), 1)
        alice.get(end, 2)
    assert [told for _, told in alice.told] == [BOB.peer_id, OFFER, candidate(1), end]
    assert alice.pushed == []


def test_what_comes_on_after_the_end_is_told_that_it_is_over(alice):
    alice.get(OFFER)
    alice.book.close(KEY, BYE)
    alice.get(candidate(1), 1)
    assert alice.codes == ["unknown-session"]


def test_of_sessions_that_are_over_the_latest_are_known(alice, monkeypatch):
    monkeypatch.setattr("webrtc_signaling.session_book.MAX_ENDED_SESSIONS", 2)
    for number in range(3):
        alice.get(OFFER, session=f"session-{number:016}")
        alice.get(BYE, 1, session=f"session-{number:016}")
    alice.told.clear()
    for number in (2, 1):
        alice.get(OFFER, session=f"session-{number:016}")
    assert alice.told == []
    alice.get(OFFER, session=f"session-{0:016}")
    assert len(alice.told) == 2
