"""The dialer's agent: alone, against a lite agent with a network between them, and against a full one like js's."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webrtc_transport.protocol.ice_checks import CLIENT, OTHER, SERVER, Network, check
from webrtc_transport.protocol.ice_agent import CONSENT_INTERVAL
from webrtc_transport.protocol.ice_controlling import (
    CHECK_TIMEOUT,
    ControllingAgent,
)
from webrtc_transport.protocol.ice_events import ChecksFailed, ConsentExpired, PathSelected, PathValidated
from webrtc_transport.protocol.ice_lite import CONSENT_TIMEOUT, LiteAgent
from webrtc_transport.protocol.limits import MAX_PEER_ADDRESSES
from webrtc_transport.protocol.load_shedding import WINDOW
from webrtc_transport.protocol.stun_message import (
    ErrorCode,
    MessageKind,
    StunError,
    StunMessage,
    binding_error,
    binding_success,
)
from webrtc_transport.protocol.ufrag import Flow, new_credentials

CREDENTIALS = new_credentials(Flow.V2)
PASSWORD = CREDENTIALS.server.password.encode()
ELSEWHERE = ("2001:db8::1", 4001)


def dialer(*remote, now: float = 0.0, **settings) -> ControllingAgent:
    return ControllingAgent(CREDENTIALS, remote or (SERVER,), now, **settings)


def take(agent: ControllingAgent) -> list[object]:
    events, agent.events[:] = list(agent.events), []
    return events


def sent(agent: ControllingAgent, address=SERVER) -> list[StunMessage]:
    return [StunMessage(data) for data, to in agent.transmit() if to == address]


def answer(
    agent: ControllingAgent, to: StunMessage, now: float, *, address=SERVER, password=PASSWORD
) -> None:
    data = binding_success(to.transaction_id, CLIENT, password)
    agent.receive(StunMessage(data), len(data), address, now)


def refuse(agent: ControllingAgent, to: StunMessage, code: ErrorCode, now: float, *, password=None) -> None:
    data = binding_error(to.transaction_id, code, password=password)
    agent.receive(StunMessage(data), len(data), SERVER, now)


def ask(agent: ControllingAgent, now: float, address=SERVER, **changes) -> list[StunMessage]:
    data = check(CREDENTIALS, from_server=True, **changes)
    agent.receive(StunMessage(data), len(data), address, now)
    return sent(agent, address)


def connected(**settings) -> ControllingAgent:
    agent = dialer(**settings)
    answer(agent, sent(agent)[0], 0)
    answer(agent, sent(agent)[0], 0)
    assert take(agent) == [PathValidated(SERVER), PathSelected(SERVER)]
    return agent


def check_times(agent: ControllingAgent, until: float, delay: float = 0.0) -> list[float]:
    """When checks are sent that nobody answers, by timers that are late by ``delay``."""
    times = [0.0]
    while agent.timer + delay < until:
        times.append(agent.timer + delay)
        agent.handle_timer(times[-1])
    return times


class TestChecks:
    def test_the_first_is_sent_at_once(self):
        [first] = sent(dialer())
        assert first.username == CREDENTIALS.username
        assert first.is_authentic(PASSWORD)
        assert first.controlling is not None
        assert 0 < first.priority < 2**31
        assert not first.use_candidate

    def test_they_are_repeated_ever_more_slowly(self):
        agent = dialer()
        times = check_times(agent, 2.9)
        assert times == pytest.approx([0, 0.05, *(0.15 + 0.1 * number for number in range(28))])
        assert len(sent(agent)) == len(times)

    def test_answers_to_all_of_the_first_two_seconds_count(self):
        agent = dialer()
        check_times(agent, 1.999)
        first, *_ = sent(agent)
        answer(agent, first, 1.999)
        assert take(agent) == [PathValidated(SERVER)]

    @pytest.mark.parametrize("delay", [0.0, 0.02])
    def test_two_fall_into_each_time_for_which_a_listener_under_attack_hears_them(self, delay):
        times = check_times(dialer(), 3.0, delay)
        for phase in range(100):
            begin = 0.05 + phase * WINDOW / 100
            while begin + WINDOW <= times[-1]:
                assert len([time for time in times if begin <= time < begin + WINDOW]) >= 2
                begin += WINDOW

    def test_several_candidates_are_tried_one_after_the_other(self):
        agent = dialer(SERVER, ELSEWHERE)
        assert [to for _, to in agent.transmit()] == [SERVER]
        agent.handle_timer(0.02)
        assert [to for _, to in agent.transmit()] == [ELSEWHERE]
        assert agent.timer == pytest.approx(0.05)

    def test_an_answer_validates_and_is_followed_by_the_nomination(self):
        agent = dialer()
        [first] = sent(agent)
        assert agent.destination(1) is None
        answer(agent, first, 0.03)
        assert take(agent) == [PathValidated(SERVER)]
        assert agent.accepts(1, SERVER)
        assert agent.destination(1) == SERVER
        assert agent.mapped_address == CLIENT
        [nomination] = sent(agent)
        assert nomination.use_candidate
        answer(agent, nomination, 0.06)
        assert take(agent) == [PathSelected(SERVER)]
        assert agent.selected == SERVER

    def test_the_nomination_is_repeated_too(self):
        agent = dialer()
        answer(agent, sent(agent)[0], 0)
        sent(agent)
        agent.handle_timer(0.05)
        [again] = sent(agent)
        assert again.use_candidate

    def test_an_answer_to_an_older_check_counts(self):
        agent = dialer()
        [first] = sent(agent)
        for moment in (0.05, 0.15):
            agent.handle_timer(moment)
        answer(agent, first, 0.2)
        assert take(agent) == [PathValidated(SERVER)]

    def test_the_first_candidate_that_answers_is_nominated(self):
        agent = dialer(SERVER, ELSEWHERE)
        agent.handle_timer(0.02)
        datagrams = agent.transmit()
        answer(agent, StunMessage(datagrams[1][0]), 0.03, address=ELSEWHERE)
        answer(agent, StunMessage(datagrams[0][0]), 0.03)
        nominations = [(StunMessage(data), to) for data, to in agent.transmit()]
        assert [(message.use_candidate, to) for message, to in nominations] == [(True, ELSEWHERE)]
        answer(agent, nominations[0][0], 0.04, address=ELSEWHERE)
        assert agent.selected == ELSEWHERE

    def test_answers_that_are_none(self):
        agent = dialer()
        [first] = sent(agent)
        answer(agent, first, 0, password=b"x" * 22)
        answer(agent, first, 0, address=ELSEWHERE)
        answer(agent, StunMessage(check(CREDENTIALS)), 0)
        assert take(agent) == []
        answer(agent, first, 0)
        assert take(agent) == [PathValidated(SERVER)]
        answer(agent, first, 0)
        assert take(agent) == []

    @pytest.mark.parametrize("count", [0, MAX_PEER_ADDRESSES + 1])
    def test_how_many_can_be_dialed(self, count):
        with pytest.raises(ValueError, match=f"1 to {MAX_PEER_ADDRESSES}"):
            ControllingAgent(CREDENTIALS, [("192.0.2.1", port) for port in range(count)], 0)


class TestFailure:
    def test_silence(self):
        agent = dialer()
        agent.handle_timer(CHECK_TIMEOUT)
        [event] = take(agent)
        assert event == ChecksFailed(
            "no path worked within 10.0 s; tried 192.0.2.1 port 4001 (no answer to 1 checks)"
        )
        assert agent.is_ended
        assert agent.timer is None

    def test_an_error_is_told_but_ends_nothing(self):
        agent = dialer()
        [first] = sent(agent)
        refuse(agent, first, ErrorCode.UNAUTHENTICATED, 0)
        assert not agent.is_ended
        agent.handle_timer(CHECK_TIMEOUT)
        [event] = take(agent)
        assert "the STUN error 401" in event.reason

    def test_a_nomination_that_nobody_answers(self):
        agent = dialer()
        answer(agent, sent(agent)[0], 0)
        agent.handle_timer(CHECK_TIMEOUT)
        assert "not to its nomination" in take(agent)[-1].reason


class TestFullListener:
    """js's listener: it never answers the first check, and sends controlled ones of its own."""

    def test_its_check_is_answered_and_followed_by_ours(self):
        agent = dialer()
        sent(agent)
        reply, triggered = ask(agent, 0.02)
        assert reply.kind == MessageKind.BINDING_SUCCESS
        assert reply.is_authentic(CREDENTIALS.client.password.encode())
        assert triggered.kind == MessageKind.BINDING_REQUEST
        answer(agent, triggered, 0.04)
        assert take(agent) == [PathValidated(SERVER)]
        [nomination] = sent(agent)
        answer(agent, nomination, 0.06)
        assert take(agent) == [PathSelected(SERVER)]

    def test_from_another_address_one_check_is_sent_for_each_that_came(self):
        agent = dialer()
        sent(agent)
        assert len(ask(agent, 0.02, ELSEWHERE)) == 2
        agent.handle_timer(5)
        assert sent(agent, ELSEWHERE) == []
        _, triggered = ask(agent, 5, ELSEWHERE)
        answer(agent, triggered, 5, address=ELSEWHERE)
        assert take(agent) == [PathValidated(ELSEWHERE)]

    def test_addresses_are_bounded(self):
        agent = dialer()
        answered = sum(len(ask(agent, 0, ("192.0.2.9", port))) > 0 for port in range(50))
        assert answered == MAX_PEER_ADDRESSES - 1

    def test_others_are_refused(self):
        [refusal] = ask(dialer(), 0.02, password=b"x" * 22)[1:]
        assert refusal.error_code == ErrorCode.UNAUTHENTICATED

    def test_once_validated_it_is_only_answered(self):
        [reply] = ask(connected(), 1)
        assert reply.kind == MessageKind.BINDING_SUCCESS


class TestRoles:
    def test_a_rival_with_a_smaller_tie_breaker_has_to_give_in(self):
        agent = dialer(random=lambda size: b"\xff" * size)
        sent(agent)
        [refusal] = ask(agent, 0, controlling=True, tie_breaker=5)
        assert refusal.error_code == ErrorCode.ROLE_CONFLICT
        assert refusal.is_authentic(CREDENTIALS.client.password.encode())

    def test_to_one_with_a_larger_we_give_in_and_follow_its_nomination(self):
        agent = dialer(random=lambda size: bytes(size - 1) + os.urandom(1))
        sent(agent)
        _, triggered = ask(agent, 0, controlling=True, tie_breaker=2**63, use_candidate=True)
        assert triggered.controlled is not None
        answer(agent, triggered, 0)
        assert take(agent) == [PathValidated(SERVER), PathSelected(SERVER)]

    def test_a_nomination_after_the_validation_is_followed_as_well(self):
        agent = dialer(random=lambda size: bytes(size - 1) + os.urandom(1))
        sent(agent)
        _, triggered = ask(agent, 0, controlling=True, tie_breaker=2**63)
        answer(agent, triggered, 0)
        assert take(agent) == [PathValidated(SERVER)]
        ask(agent, 0, controlling=True, tie_breaker=2**63, use_candidate=True)
        assert take(agent) == [PathSelected(SERVER)]

    def test_487_makes_us_take_the_other_role_at_once(self):
        agent = dialer()
        [first] = sent(agent)
        refuse(agent, first, ErrorCode.ROLE_CONFLICT, 0, password=PASSWORD)
        [again] = sent(agent)
        assert again.controlled not in (None, first.controlling)
        answer(agent, first, 0)
        assert take(agent) == []

    def test_487_by_anybody_does_not(self):
        agent = dialer()
        [first] = sent(agent)
        refuse(agent, first, ErrorCode.ROLE_CONFLICT, 0)
        assert sent(agent) == []

    def test_two_that_want_to_be_controlled(self):
        agent = dialer(random=lambda size: bytes(size - 1) + os.urandom(1))
        ask(agent, 0, controlling=True, tie_breaker=2**63)
        sent(agent)
        # Now both say that they are controlled, and the larger tie-breaker controls.
        [refusal] = ask(agent, 0, controlling=False, tie_breaker=2**63)
        assert refusal.error_code == ErrorCode.ROLE_CONFLICT
        agent = dialer(random=lambda size: b"\x7f" * size)
        ask(agent, 0, controlling=True, tie_breaker=2**64 - 1)
        _, triggered = ask(agent, 0, controlling=False, tie_breaker=1)
        assert triggered.controlling is not None


class TestConsent:
    def test_it_is_asked_for_every_few_seconds(self):
        agent = connected()
        intervals, now = [], 0.0
        for _ in range(50):
            timer = agent.timer
            intervals.append(timer - now)
            now = timer
            agent.handle_timer(now)
            [question] = sent(agent)
            assert question.use_candidate
            answer(agent, question, now)
        assert min(intervals) >= 0.8 * CONSENT_INTERVAL - 1e-6
        assert max(intervals) <= 1.2 * CONSENT_INTERVAL + 1e-6
        assert max(intervals) - min(intervals) > 0.1
        assert take(agent) == []

    def test_what_is_not_answered_is_asked_again_soon(self):
        agent = connected()
        now = agent.timer
        agent.handle_timer(now)
        for _ in range(5):
            assert agent.timer == now + 0.5
            now = agent.timer
            agent.handle_timer(now)
        answer(agent, sent(agent)[-1], now)
        assert agent.timer >= now + 0.8 * CONSENT_INTERVAL

    def test_on_a_long_path_it_is_asked_again_after_two_round_trips(self):
        agent = connected()
        sent_at = agent.timer
        agent.handle_timer(sent_at)
        now = sent_at + 0.4
        answer(agent, sent(agent)[-1], now)
        now = agent.timer
        agent.handle_timer(now)
        assert agent.timer == pytest.approx(now + 0.8)
        # Who asks for it gets none sooner either.
        sent(agent)
        agent.ask_consent(now + 0.7)
        assert not sent(agent)

    def test_it_expires(self):
        agent = connected()
        while not agent.is_ended:
            agent.handle_timer(agent.timer)
        assert take(agent) == [ConsentExpired(CONSENT_TIMEOUT)]
        assert agent.destination(1) is None
        assert not agent.accepts(1, SERVER)

    def test_a_shorter_timeout_has_checks_enough(self):
        agent = connected(consent_timeout=4)
        checks = 0
        while not agent.is_ended:
            agent.handle_timer(agent.timer)
            checks += len(sent(agent))
        assert checks >= 3

    def test_it_is_asked_for_at_once_on_demand_but_not_for_ever(self):
        agent = connected()
        agent.ask_consent(1)
        agent.ask_consent(1.1)
        assert len(sent(agent)) == 1
        agent.ask_consent(1.6)
        assert len(sent(agent)) == 1

    def test_before_there_is_a_path_there_is_nobody_to_ask(self):
        agent = dialer()
        sent(agent)
        agent.ask_consent(0.01)
        assert sent(agent) == []


class TestBothEnds:
    def network(self, **settings) -> Network:
        listener = LiteAgent(CREDENTIALS, 0)
        return Network(dialer(), listener, **settings)

    @pytest.mark.parametrize("delay", [0.0, 0.005, 0.025, 0.3])
    def test_validated_after_one_round_trip_and_selected_after_two(self, delay):
        network = self.network(delay=delay)
        network.run(5)
        moments = {(who, type(event)): moment for moment, who, event in network.events}
        assert moments[("listener", PathValidated)] == pytest.approx(delay)
        assert moments[("dialer", PathValidated)] == pytest.approx(2 * delay)
        assert moments[("listener", PathSelected)] == pytest.approx(3 * delay)
        assert moments[("dialer", PathSelected)] == pytest.approx(4 * delay)

    @given(st.sets(st.tuples(st.sampled_from(["up", "down"]), st.integers(0, 8))))
    def test_losses_are_made_good(self, lost):
        network = self.network(is_lost=lambda direction, number: (direction, number) in lost)
        network.run(8)
        assert PathSelected(SERVER) in network.of("dialer")
        assert PathSelected(CLIENT) in network.of("listener")

    def test_they_stay_together(self):
        network = self.network()
        network.run(600)
        assert not network.dialer.is_ended
        assert not network.listener.is_ended

    def test_when_the_way_is_cut_both_notice(self):
        network_is_cut = False
        network = self.network(is_lost=lambda *_: network_is_cut)
        network.run(20)
        network_is_cut = True
        network.run(20 + CONSENT_TIMEOUT + 0.5)
        for end in ("dialer", "listener"):
            last = network.of(end)[-1]
            assert isinstance(last, ConsentExpired)
            assert last.silence == pytest.approx(CONSENT_TIMEOUT)

    def test_a_nat_that_changes_the_port_is_followed_with_the_next_check(self):
        network = self.network()
        network.run(2)
        network.client_address = OTHER
        network.dialer.ask_consent(2)
        network.run(2.1)
        assert network.listener.selected == OTHER
        assert network.dialer.mapped_address == OTHER
        network.run(100)
        assert not network.dialer.is_ended


@given(
    st.lists(
        st.tuples(st.binary(max_size=100) | st.just(check(CREDENTIALS, from_server=True)), st.booleans())
    )
)
def test_any_datagrams(datagrams):
    agent = dialer()
    for now, (data, known) in enumerate(datagrams):
        try:
            message = StunMessage(data)
        except StunError:
            continue
        agent.receive(message, len(data), SERVER if known else OTHER, now)
        agent.handle_timer(now)
    assert not any(isinstance(event, PathValidated) for event in agent.events)
