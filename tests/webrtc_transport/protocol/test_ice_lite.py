"""What the listener's agent makes of its peer's checks."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webrtc_transport.protocol.ice_checks import CLIENT, OTHER, check, unknown_attribute
from webrtc_transport.protocol.ice_events import ChecksFailed, ConsentExpired, PathSelected, PathValidated
from webrtc_transport.protocol.ice_lite import CONSENT_TIMEOUT, NOMINATION_TIMEOUT, LiteAgent
from webrtc_transport.protocol.limits import AMPLIFICATION_LIMIT, MAX_PEER_ADDRESSES
from webrtc_transport.protocol.stun_message import (
    ErrorCode,
    MessageKind,
    StunError,
    StunMessage,
    binding_success,
    encode_message,
)
from webrtc_transport.protocol.ufrag import Flow, new_credentials

CREDENTIALS = new_credentials(Flow.V1)
PASSWORD = CREDENTIALS.server.password.encode()


def receive(agent: LiteAgent, now: float = 0.0, address=CLIENT, **changes) -> list[StunMessage]:
    data = check(CREDENTIALS, **changes)
    agent.receive(StunMessage(data), len(data), address, now)
    return [StunMessage(answer) for answer, to in agent.transmit() if to == address]


def take(agent: LiteAgent) -> list[object]:
    events, agent.events[:] = list(agent.events), []
    return events


@pytest.fixture
def agent() -> LiteAgent:
    return LiteAgent(CREDENTIALS, 0)


@pytest.fixture
def connected(agent) -> LiteAgent:
    receive(agent, use_candidate=True)
    agent.confirm(CLIENT, 0)
    take(agent)
    return agent


class TestChecks:
    def test_a_check_validates_its_path(self, agent):
        [answer] = receive(agent)
        assert answer.kind == MessageKind.BINDING_SUCCESS
        assert answer.mapped_address == CLIENT
        assert take(agent) == [PathValidated(CLIENT)]
        assert agent.selected is None
        assert agent.transmit() == []

    def test_a_nomination_selects_it(self, agent):
        receive(agent)
        receive(agent, use_candidate=True)
        receive(agent, use_candidate=True)
        assert take(agent) == [PathValidated(CLIENT), PathSelected(CLIENT)]
        assert agent.selected == CLIENT

    @pytest.mark.parametrize("flow", Flow)
    def test_both_flows(self, flow):
        credentials = new_credentials(flow)
        agent = LiteAgent(credentials, 0)
        data = check(credentials, use_candidate=True)
        agent.receive(StunMessage(data), len(data), CLIENT, 0)
        assert agent.selected == CLIENT

    def test_a_peer_that_wants_to_be_controlled_is_told_to_control(self, agent):
        [answer] = receive(agent, controlling=False, tie_breaker=2**64 - 1)
        assert answer.error_code == ErrorCode.ROLE_CONFLICT
        assert answer.is_authentic(PASSWORD)
        assert take(agent) == []

    @pytest.mark.parametrize(
        "data",
        [
            check(CREDENTIALS, password=b"x" * 22),
            check(CREDENTIALS, username=b"x:y"),
            unknown_attribute(CREDENTIALS),
            encode_message(1, os.urandom(12), []),
            encode_message(MessageKind.BINDING_INDICATION, os.urandom(12), []),
            binding_success(os.urandom(12), CLIENT, PASSWORD),
        ],
    )
    def test_what_is_no_check_of_our_peer_changes_nothing(self, agent, data):
        agent.receive(StunMessage(data), len(data), CLIENT, 0)
        assert take(agent) == []
        assert not agent.accepts(100, CLIENT)
        assert agent.destination(1) is None


class TestEarlyDtls:
    def test_it_is_taken_from_a_validated_path_and_answered_there(self, agent):
        assert not agent.accepts(200, CLIENT)
        receive(agent)
        assert agent.accepts(200, CLIENT)
        assert agent.destination(300) == CLIENT
        assert not agent.accepts(200, OTHER)

    def test_before_the_nomination_the_latest_path_is_answered(self, agent):
        receive(agent)
        receive(agent, address=OTHER)
        assert agent.destination(100) == OTHER
        receive(agent, use_candidate=True)
        receive(agent, address=OTHER)
        assert agent.destination(10) == CLIENT


class TestAmplification:
    def test_an_unproven_path_gets_three_times_what_it_sent(self, agent):
        data = check(CREDENTIALS)
        agent.receive(StunMessage(data), len(data), CLIENT, 0)
        answered = sum(len(answer) for answer, _ in agent.transmit())
        left = AMPLIFICATION_LIMIT * len(data) - answered
        assert agent.destination(left + 1) is None
        assert agent.destination(left) == CLIENT
        assert agent.destination(1) is None
        assert agent.accepts(100, CLIENT)
        assert agent.destination(301) is None
        assert agent.destination(300) == CLIENT

    def test_a_proven_path_gets_what_there_is(self, connected):
        assert all(connected.destination(1200) == CLIENT for _ in range(1000))

    def test_where_the_peer_moves_is_unproven_again(self, connected):
        receive(connected, 1, OTHER, use_candidate=True)
        assert connected.destination(1200) is None
        connected.confirm(OTHER, 1)
        assert connected.destination(1200) == OTHER

    @given(st.lists(st.tuples(st.sampled_from(["check", "data", "send", "bad"]), st.integers(1, 1500))))
    def test_whatever_happens(self, steps):
        agent = LiteAgent(CREDENTIALS, 0)
        received = sent = 0
        for step, size in steps:
            if step == "send":
                sent += size * (agent.destination(size) is not None)
            elif step == "data":
                agent.accepts(size, CLIENT)
                received += size
            else:
                data = check(CREDENTIALS, **({} if step == "check" else {"password": b"x" * 22}))
                agent.receive(StunMessage(data), len(data), CLIENT, 0)
                received += len(data)
            sent += sum(len(answer) for answer, _ in agent.transmit())
            assert sent <= AMPLIFICATION_LIMIT * received


class TestMoving:
    def test_a_nomination_from_another_port_is_followed_at_once(self, connected):
        receive(connected, 1, OTHER, use_candidate=True)
        assert take(connected) == [PathValidated(OTHER), PathSelected(OTHER)]

    def test_one_of_less_priority_only_if_the_selected_path_is_silent(self, connected):
        receive(connected, 0.5, OTHER, use_candidate=True, priority=1)
        assert connected.selected == CLIENT
        receive(connected, 1.5, OTHER, use_candidate=True, priority=1)
        assert connected.selected == OTHER

    def test_data_show_where_the_peer_is(self, connected):
        receive(connected, 1, OTHER)
        assert connected.selected == CLIENT
        connected.confirm(OTHER, 1)
        assert connected.selected == OTHER
        assert connected.destination(1200) == OTHER

    def test_checks_alone_show_it_when_there_are_no_others(self, connected):
        receive(connected, 2, OTHER)
        assert connected.selected == CLIENT
        receive(connected, 4, OTHER)
        assert connected.selected == OTHER

    def test_a_path_that_is_kept_open_beside_is_not_followed(self, connected):
        for second in range(2, 40, 2):
            receive(connected, second, OTHER)
            receive(connected, second + 1)
        assert connected.selected == CLIENT

    def test_nobody_else_can_move_it(self, connected):
        receive(connected, 5, OTHER, use_candidate=True, password=b"x" * 22)
        connected.confirm(OTHER, 5)
        assert connected.selected == CLIENT
        assert take(connected) == []

    def test_paths_are_bounded_and_the_selected_one_stays(self, connected):
        for port in range(1, 50):
            receive(connected, 0.5, ("203.0.113.1", port), priority=1)
        assert connected.accepts(1, CLIENT)
        assert not connected.accepts(1, ("203.0.113.1", 1))
        kept = sum(connected.accepts(1, ("203.0.113.1", port)) for port in range(1, 50))
        assert kept == MAX_PEER_ADDRESSES - 1


class TestTime:
    def test_without_a_nomination_it_fails(self, agent):
        receive(agent, 1)
        take(agent)
        assert agent.timer == NOMINATION_TIMEOUT
        agent.handle_timer(NOMINATION_TIMEOUT - 0.01)
        assert not agent.is_ended
        agent.handle_timer(NOMINATION_TIMEOUT)
        [event] = take(agent)
        assert isinstance(event, ChecksFailed)
        assert (
            event.reason
            == "the peer checked from 198.51.100.7 port 50000 and nominated nothing within 10.0 s"
        )
        assert agent.is_ended
        assert agent.timer is None

    def test_without_a_check_too(self, agent):
        agent.handle_timer(NOMINATION_TIMEOUT)
        assert take(agent) == [ChecksFailed("no authentic check came within 10.0 s")]

    def test_consent_expires_by_silence(self, connected):
        receive(connected, 5)
        assert connected.timer == 5 + CONSENT_TIMEOUT
        connected.confirm(CLIENT, 7)
        assert connected.timer == 7 + CONSENT_TIMEOUT
        receive(connected, 8, password=b"x" * 22)
        connected.accepts(100, CLIENT)
        assert connected.timer == 7 + CONSENT_TIMEOUT
        connected.handle_timer(7 + CONSENT_TIMEOUT)
        assert take(connected) == [ConsentExpired(CONSENT_TIMEOUT)]

    def test_after_the_end_there_is_nothing(self, connected):
        connected.handle_timer(1000)
        take(connected)
        assert receive(connected, 1001, use_candidate=True) == []
        connected.confirm(CLIENT, 1001)
        connected.handle_timer(2000)
        assert take(connected) == []
        assert not connected.accepts(1, CLIENT)
        assert connected.destination(1) is None


@given(
    st.lists(
        st.tuples(st.binary(max_size=100) | st.just(check(CREDENTIALS)), st.integers(0, 20)), max_size=30
    )
)
def test_any_datagrams(datagrams):
    agent = LiteAgent(CREDENTIALS, 0)
    for now, (data, port) in enumerate(datagrams):
        try:
            message = StunMessage(data)
        except StunError:
            continue
        agent.receive(message, len(data), ("192.0.2.1", port), now)
        agent.handle_timer(now)
        assert all(to[1] == port for _, to in agent.transmit())
