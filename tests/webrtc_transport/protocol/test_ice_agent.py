from __future__ import annotations

import pytest

from tests.webrtc_transport.protocol.ice_checks import CLIENT
from tests.webrtc_transport.protocol.ice_checks import check as ice_check
from webrtc_transport.protocol.ice_agent import IceAgent
from webrtc_transport.protocol.ice_controlling import ControllingAgent
from webrtc_transport.protocol.ice_lite import LiteAgent
from webrtc_transport.protocol.stun_message import StunMessage
from webrtc_transport.protocol.ufrag import Flow, new_credentials


@pytest.mark.parametrize("flow", Flow)
def test_both_agents_begin_with_nothing_to_tell_and_nowhere_to_send(flow):
    credentials = new_credentials(flow)
    server = ("192.0.2.1", 4001)
    for agent in (LiteAgent(credentials, 5), ControllingAgent(credentials, [server], 5)):
        assert isinstance(agent, IceAgent)
        assert (agent.events, agent.is_ended, agent.selected) == ([], False, None)
        assert agent.destination(1) is None
        assert not agent.accepts(1, server)
        assert agent.timer is not None
        agent.confirm(server, 5)
        assert agent.events == []


@pytest.mark.parametrize(("timeout", "patience"), [(30, 12.5), (4, 2.5)])
def test_a_peer_is_silent_when_it_has_missed_two_signs_of_life(timeout, patience):
    credentials = new_credentials(Flow.V1)
    server = ("192.0.2.1", 4001)
    listener = LiteAgent(credentials, 5, consent_timeout=timeout)
    dialer = ControllingAgent(credentials, [server], 5, consent_timeout=timeout)
    assert listener.silent_at == dialer.silent_at == 5 + patience
    [(check, _)] = dialer.transmit()
    listener.receive(StunMessage(check), len(check), CLIENT, 6)
    assert listener.silent_at == 6 + patience
    [(answer, _)] = listener.transmit()
    dialer.receive(StunMessage(answer), len(answer), server, 7)
    assert dialer.silent_at == 7 + patience
    # Data is a sign of life, too.
    listener.confirm(CLIENT, 8)
    dialer.confirm(server, 8)
    assert listener.silent_at == dialer.silent_at == 8 + patience
    # What isn't authentic is none.
    stranger = new_credentials(Flow.V1)
    forged = ice_check(stranger)
    for agent in (listener, dialer):
        agent.receive(StunMessage(forged), len(forged), CLIENT, 9)
        assert agent.silent_at == 8 + patience
