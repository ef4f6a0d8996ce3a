import pytest

from tests.webrtc_signaling.samples import ALICE_ID, BOB_ID, OFFER, SESSION, candidate, routed_signal
from webrtc_signaling.messages import SessionFailure, error_data
from webrtc_signaling.server.journal import Journal
from webrtc_signaling.server.registration import SessionKey
from webrtc_signaling.server.roster import Roster, failure
from webrtc_signaling.server.settings import ServerSettings

DAVE_ID = "12D3KooWDave"


class Link:
    def __init__(self):
        self.farewell = None
        self.dropped = False

    def wake(self):
        pass

    def close(self, farewell):
        self.farewell = farewell.data.code

    def drop(self):
        self.dropped = True


@pytest.fixture
def roster():
    return Roster(ServerSettings(grace=30), Journal())


def linked(roster, peer, *, remote=False):
    registration = roster.add(peer, remote=remote)
    registration.instance = f"instance-of-{peer}"[:64]
    roster.set_link(registration, Link())
    return registration


def codes(registration):
    return [message.data.code for message in registration.channel.unacknowledged]


def test_clients_of_other_servers_are_counted_apart(roster):
    linked(roster, ALICE_ID)
    bob = linked(roster, BOB_ID, remote=True)
    assert (len(roster), roster.clients) == (2, 1)
    roster.take_over(bob)
    assert (len(roster), roster.clients) == (2, 2)
    roster.hand_over(bob)
    assert (len(roster), roster.clients) == (2, 1)
    roster.end(bob, "is not needed")
    assert (len(roster), roster.clients) == (1, 1)


def test_who_is_away_is_counted_where_it_is_a_client(roster):
    alice, bob = linked(roster, ALICE_ID), linked(roster, BOB_ID, remote=True)
    assert roster.away == 0
    roster.set_away(bob, 0)
    assert (roster.clients, roster.away) == (1, 0)
    roster.set_away(alice, 0)
    assert (roster.clients, roster.away) == (1, 1)


def test_who_ends_is_told_of_to_those_with_a_session(roster):
    alice, bob = linked(roster, ALICE_ID), linked(roster, BOB_ID)
    roster.begin_session(alice, bob, SESSION, 0.0)
    link = bob.link
    roster.end(bob, "was replaced", failure("replaced", "by another"))
    assert link.farewell == "replaced"
    assert codes(alice) == ["peer-gone"]
    assert alice.started == 0


def test_a_code_may_be_given_instead(roster):
    alice, bob = linked(roster, ALICE_ID), linked(roster, BOB_ID)
    roster.begin_session(alice, bob, SESSION, 0.0)
    bob.channel.push(routed_signal(OFFER), 10)
    roster.end(bob, "is not registered here", code="peer-not-found")
    assert codes(alice) == ["peer-not-found"]


def test_whoever_waits_for_what_is_given_up_is_released(roster):
    bob = linked(roster, BOB_ID)
    taken = []
    bob.channel.push(routed_signal(OFFER), 10, on_taken=lambda: taken.append(1))
    roster.end(bob, "has left")
    assert taken == [1]


def test_what_a_client_has_not_taken_goes_with_it_but_what_others_still_have(roster):
    alice, bob, dave = linked(roster, ALICE_ID), linked(roster, BOB_ID), linked(roster, DAVE_ID, remote=True)
    roster.begin_session(alice, bob, SESSION, 0.0)
    roster.begin_session(dave, bob, SESSION, 0.0)
    failed = SessionFailure(peer=ALICE_ID, session=SESSION, data=error_data("peer-gone", ""))
    for message in (routed_signal(OFFER), routed_signal(OFFER, sender=DAVE_ID), failed):
        bob.channel.push(message, 10)
    link = bob.link
    roster.hand_over(bob)
    assert link.dropped
    assert bob.channel.unacknowledged == [routed_signal(OFFER), failed]
    assert list(bob.sessions) == [SessionKey(ALICE_ID, SESSION)]
    assert not dave.sessions


def test_who_is_away_is_ended_in_order_and_who_is_back_is_not(roster):
    for number, peer in enumerate((ALICE_ID, BOB_ID, DAVE_ID)):
        roster.set_away(linked(roster, peer), number)
    roster.set_link(roster.get(BOB_ID), Link())
    roster.expire(31.5)
    assert {registration.peer for registration in roster} == {BOB_ID, DAVE_ID}


def test_who_takes_nothing_ends_and_others_after_it():
    roster = Roster(ServerSettings(max_queued_messages=16), Journal())
    alice = linked(roster, ALICE_ID)
    link = alice.link
    for number in range(16):
        alice.channel.push(routed_signal(candidate(number), recipient=ALICE_ID, sender=BOB_ID), 1)
    roster.tell(alice, SessionKey(BOB_ID, SESSION), "peer-gone", "it has left")
    roster.end_overrun()
    assert link.farewell == "slow-consumer"
    assert len(roster) == 0
