from webrtc_transport.protocol.sctp.states import SENDING, SETTING_UP, TRANSITIONS, State


def test_every_state_can_end():
    assert set(TRANSITIONS) == set(State)
    assert all(State.ENDED in targets for state, targets in TRANSITIONS.items() if state is not State.ENDED)
    assert not TRANSITIONS[State.ENDED]


def test_every_state_is_reached():
    reached, new = set(), {State.CLOSED}
    while new:
        reached |= new
        new = {target for state in new for target in TRANSITIONS[state]} - reached
    assert reached == set(State)
    assert not SENDING & SETTING_UP
