from __future__ import annotations

import pytest

from webrtc_transport.protocol.ice_agent import IceAgent
from webrtc_transport.protocol.ice_controlling import ControllingAgent
from webrtc_transport.protocol.ice_lite import LiteAgent
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
