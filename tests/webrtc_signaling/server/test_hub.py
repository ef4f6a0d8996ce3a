"""The hub in virtual time, with clients that only take notes."""

import itertools
import json

import pytest

from tests.webrtc_signaling.samples import (
    ALICE_ID,
    ANSWER,
    BOB_ID,
    BYE,
    OFFER,
    SESSION,
    candidate,
    envelope,
    error,
    routed_signal,
    said,
)
from webrtc_signaling.codec import Codec, encode_bytes
from webrtc_signaling.messages import Malformed, Numbered, Register
from webrtc_signaling.server.auth import Refused
from webrtc_signaling.server.hub import Hub
from webrtc_signaling.server.settings import ServerSettings
from webrtc_signaling.server.signals import encode, parse
from webrtc_transport.errors import InvalidSignal

DAVE_ID = "12D3KooWDave"
GRACE = 30.0


class Client:
    """A client, and its link. What the hub sends to it is what its channel transmits."""

    def __init__(self, hub, peer, *, instance=None):
        self.hub, self.peer = hub, peer
        self.instance = instance or f"instance-of-{peer}"
        self.registration = None
        self.farewell = None
        self.dropped = False
        self.sent = 0
        self.woken = 0

    def wake(self):
        self.woken += 1

    def close(self, farewell):
        self.farewell = farewell.data.code

    def drop(self):
        self.dropped = True

    def register(self, now=0.0, *, received=None, proven=True):
        message = Register(peer=self.peer, instance=self.instance, received=received)
        self.registration, reply = self.hub.register(message, self, now, proven=proven)
        return reply

    def send(self, signal, to, now=0.0, *, session=SESSION, sender=None, index=0, size=0):
        message = signal
        if not isinstance(signal, Malformed):
            message = routed_signal(
                signal, sender=sender or self.peer, recipient=to, session=session, index=index
            )
            message.text = message.text.ljust(size)
        self.sent += 1
        self.hub.receive(self.registration, Numbered(message, self.sent, 0), now)

    def transmitted(self, now=0.0):
        return [
            item.message for item in self.registration.channel.transmit(now) if isinstance(item, Numbered)
        ]

    def got(self, now=0.0):
        """Signals that it was sent, and codes of errors of the service."""
        return [said(message) for message in self.transmitted(now)]

    def acknowledge_all(self):
        self.registration.channel.transmit(0.0)
        self.acknowledge()

    def acknowledge(self):
        self.registration.channel.acknowledge(self.registration.channel.sent)

    def disconnect(self, now=0.0, *, leaving=False):
        self.hub.disconnected(self.registration, self, now, leaving=leaving)


def make_hub(**settings):
    return Hub(ServerSettings(**{"grace": GRACE, **settings}))


@pytest.fixture
def hub():
    return make_hub()


@pytest.fixture
def alice(hub):
    client = Client(hub, ALICE_ID)
    client.register()
    return client


@pytest.fixture
def bob(hub):
    client = Client(hub, BOB_ID)
    client.register()
    return client


def test_signals_go_from_one_to_the_other(alice, bob):
    alice.send(OFFER, BOB_ID)
    assert bob.woken
    assert bob.transmitted() == [routed_signal(OFFER)]
    bob.send(ANSWER, ALICE_ID)
    assert alice.got() == [ANSWER]
    assert bob.got() == []


def test_what_comes_twice_goes_on_once(alice, bob, hub):
    alice.send(OFFER, BOB_ID)
    hub.receive(alice.registration, Numbered(routed_signal(OFFER), 1, 0), 0.0)
    assert bob.got() == [OFFER]


def test_impossible_numbers_are_an_error_of_the_connection(alice, hub):
    with pytest.raises(InvalidSignal, match="seq"):
        hub.receive(alice.registration, Numbered(routed_signal(OFFER), 2, 0), 0.0)
    with pytest.raises(InvalidSignal, match="ack"):
        hub.receive(alice.registration, Numbered(routed_signal(OFFER), 1, 1), 0.0)


def test_a_forged_sender_is_refused_and_goes_nowhere(alice, bob):
    alice.send(OFFER, BOB_ID, sender=DAVE_ID)
    assert alice.got() == ["forged-from"]
    assert bob.got() == []


def test_an_unknown_peer_is_not_found(alice):
    alice.send(OFFER, DAVE_ID)
    [failure] = alice.transmitted()
    assert (failure.peer, failure.session, failure.data.code) == (DAVE_ID, SESSION, "peer-not-found")


def test_nobody_reaches_itself(alice):
    alice.send(OFFER, ALICE_ID)
    assert alice.got() == ["peer-not-found"]


def test_a_malformed_signal_ends_its_session_for_both(alice, bob):
    alice.send(OFFER, BOB_ID)
    alice.send(OFFER, BOB_ID, session="another-session-0")
    alice.send(Malformed(sender=ALICE_ID, recipient=BOB_ID, session=SESSION, index=1, reason="data"), BOB_ID)
    assert alice.got() == ["invalid-message"]
    assert bob.got() == [OFFER, OFFER, "peer-gone"]
    assert len(alice.registration.sessions) == len(bob.registration.sessions) == 1


def test_a_malformed_first_signal_troubles_nobody_else(alice, bob):
    alice.send(Malformed(sender=ALICE_ID, recipient=BOB_ID, session=SESSION, index=0, reason="data"), BOB_ID)
    assert alice.got() == ["invalid-message"]
    assert bob.got() == []


# --- reconnecting -----------------------------------------------------------------------------------------------------


def test_who_is_away_gets_its_signals_when_it_is_back(alice, bob):
    bob.disconnect(0.0)
    alice.send(OFFER, BOB_ID, 10.0)
    reply = bob.register(20.0, received=0)
    assert reply.resumed
    assert bob.got() == [OFFER]
    assert alice.got() == []


def test_after_a_resumption_both_know_how_far_they_were(alice, bob):
    for number in range(3):
        alice.send(candidate(number), BOB_ID, index=number)
    bob.transmitted()
    bob.send(ANSWER, ALICE_ID)
    bob.send(candidate(9), ALICE_ID, index=1)
    alice.transmitted()
    alice.registration.channel.acknowledge(1)
    bob.disconnect(0.0)
    reply = bob.register(1.0, received=2)
    # The second one has not been taken yet.
    assert (reply.resumed, reply.received) == (True, 1)
    assert bob.got() == [candidate(2)]


def test_who_is_away_too_long_is_forgotten_and_its_peers_are_told(hub, alice, bob):
    alice.send(OFFER, BOB_ID)
    bob.disconnect(0.0)
    hub.expire(GRACE - 0.01)
    assert len(hub) == 2
    hub.expire(GRACE)
    assert len(hub) == 1
    assert alice.got() == ["undeliverable"]
    assert not alice.registration.sessions
    assert not bob.register(GRACE + 1, received=0).resumed
    assert bob.got() == []


def test_who_comes_back_in_time_does_not_expire(hub, alice, bob):
    bob.disconnect(0.0)
    bob.register(10.0, received=0)
    hub.expire(1000.0)
    assert len(hub) == 2
    bob.disconnect(1000.0)
    hub.expire(1000.0 + GRACE - 0.01)
    assert len(hub) == 2


def test_registrations_expire_in_the_order_in_which_they_went(hub, alice, bob):
    alice.disconnect(0.0)
    bob.disconnect(1.0)
    alice.register(2.0, received=0)
    alice.disconnect(3.0)
    hub.expire(GRACE + 1)
    assert list(hub.roster._registrations) == [ALICE_ID]


def test_who_says_goodbye_is_forgotten_at_once(hub, alice, bob):
    alice.send(OFFER, BOB_ID)
    bob.acknowledge_all()
    bob.disconnect(0.0, leaving=True)
    assert alice.got() == ["peer-gone"]
    assert len(hub) == 1


@pytest.mark.parametrize(("acknowledged", "lost"), [(0, "3 signals"), (2, "1 signal")])
def test_signals_that_were_taken_and_not_delivered_are_told_of_with_the_reason(
    alice, bob, acknowledged, lost
):
    for number in range(3):
        alice.send(candidate(number), BOB_ID, index=number)
    alice.send(OFFER, BOB_ID, session="another-session-0")
    bob.transmitted()
    bob.registration.channel.acknowledge(acknowledged)
    bob.disconnect(0.0, leaving=True)
    first, second = alice.transmitted()
    assert (first.peer, first.session, first.data.code) == (BOB_ID, SESSION, "undeliverable")
    assert first.data.message == f"{BOB_ID} has left, and may have missed {lost}"
    assert (second.session, second.data.code) == ("another-session-0", "undeliverable")


def test_whose_signals_were_all_taken_only_hears_that_the_peer_is_gone(hub, alice, bob):
    dave = Client(hub, DAVE_ID)
    dave.register()
    alice.send(OFFER, BOB_ID)
    bob.acknowledge_all()
    dave.send(OFFER, BOB_ID)
    bob.disconnect(0.0)
    hub.expire(GRACE)
    assert alice.got() == ["peer-gone"]
    assert dave.got() == ["undeliverable"]


def test_a_new_connection_takes_the_channel_from_the_old_one(alice, bob, hub):
    second = Client(hub, BOB_ID)
    reply = second.register(received=0)
    assert reply.resumed
    assert bob.dropped
    assert bob.farewell is None
    bob.disconnect(0.0)
    hub.expire(1000.0)
    alice.send(OFFER, BOB_ID)
    assert second.woken
    assert second.got() == [OFFER]


def test_another_instance_replaces_the_one_that_is_there(alice, bob, hub):
    alice.send(OFFER, BOB_ID)
    second = Client(hub, BOB_ID, instance="another-instance-0")
    assert not second.register().resumed
    assert bob.farewell == "replaced"
    assert second.got() == []
    assert alice.got() == ["undeliverable"]
    bob.disconnect(0.0, leaving=True)
    alice.send(OFFER, BOB_ID, session="another-session-0")
    assert second.got() == [OFFER]


def test_who_claims_an_impossible_number_starts_anew(alice, bob):
    bob.disconnect(0.0)
    assert not bob.register(1.0, received=99).resumed
    alice.send(OFFER, BOB_ID)
    assert bob.got() == [OFFER]


def test_the_unproven_do_not_replace_the_proven(hub, bob):
    other = Client(hub, BOB_ID, instance="another-instance-0")
    with pytest.raises(Refused, match="proof"):
        other.register(proven=False)
    bob.disconnect(0.0)
    with pytest.raises(Refused):
        other.register(1.0, proven=False)
    assert bob.farewell is None
    assert bob.register(2.0, received=0).resumed


def test_the_proven_replace_the_unproven(hub):
    impostor = Client(hub, BOB_ID)
    assert not impostor.register(proven=False).proven
    owner = Client(hub, BOB_ID, instance="another-instance-0")
    assert owner.register().proven
    assert impostor.farewell == "replaced"


@pytest.mark.parametrize("insecure", [False, True])
def test_an_insecure_server_says_so_to_everybody(insecure):
    reply = Client(make_hub(insecure=insecure), ALICE_ID).register()
    assert (reply.notice is not None) == insecure


# --- after a restart of the server ------------------------------------------------------------------------------------


def test_after_a_restart_signals_wait_for_peers_that_are_not_back_yet(hub):
    alice, bob = Client(hub, ALICE_ID), Client(hub, BOB_ID)
    assert not alice.register(0.0, received=7).resumed
    alice.send(OFFER, BOB_ID, 1.0)
    alice.send(candidate(1), BOB_ID, 1.0, index=1)
    assert alice.got() == []
    assert not bob.register(2.0, received=9).resumed
    assert bob.got() == [OFFER, candidate(1)]
    bob.send(ANSWER, ALICE_ID, 2.0)
    assert alice.got() == [ANSWER]


def test_what_waits_for_peers_that_do_not_come_back_is_undeliverable(hub):
    alice = Client(hub, ALICE_ID)
    alice.register(0.0, received=7)
    alice.send(OFFER, BOB_ID, 1.0)
    hub.expire(1.0 + GRACE)
    assert alice.got() == ["undeliverable"]
    assert len(hub) == 1


def test_only_who_was_here_before_may_wait_and_only_for_the_grace_time(hub, alice):
    returned = Client(hub, DAVE_ID)
    returned.register(0.0, received=0)
    for client, now in ((alice, 0.0), (returned, GRACE)):
        client.send(OFFER, BOB_ID, now)
        assert client.got() == ["peer-not-found"]
    assert len(hub) == 2


# --- limits -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{"max_queued_messages": 16}, {"max_queued_bytes": 131072}])
def test_a_peer_whose_queue_is_full_is_busy(settings):
    hub = make_hub(**settings)
    alice, bob = Client(hub, ALICE_ID), Client(hub, BOB_ID)
    alice.register()
    bob.register()
    for number in range(17):
        alice.send(candidate(number), BOB_ID, index=number, size=8192)
    assert alice.got() == ["peer-busy"]
    assert bob.got() == [candidate(number) for number in range(16)]
    bob.acknowledge()
    alice.send(OFFER, BOB_ID, session="another-session-0")
    assert bob.got() == [OFFER]


def test_who_takes_nothing_of_what_it_is_told_has_to_go():
    hub = make_hub(max_queued_messages=16)
    alice, bob = Client(hub, ALICE_ID), Client(hub, BOB_ID)
    alice.register()
    bob.register()
    bob.send(OFFER, ALICE_ID)
    for number in range(17):
        alice.send(OFFER, DAVE_ID, session=f"session-{number:016}")
    assert alice.farewell == "slow-consumer"
    assert bob.got() == ["undeliverable"]
    assert len(hub) == 1


def test_when_one_goes_for_slowness_others_may_follow():
    hub = make_hub(max_queued_messages=16)
    clients = [Client(hub, f"12D3KooW{letter}") for letter in "ABCDE"]
    for client in clients:
        client.register()
    for one, other in itertools.pairwise(clients):
        one.send(OFFER, other.peer)
        for number in range(15):
            one.registration.channel.push(routed_signal(candidate(number)), 1)
    clients[0].registration.channel.push(routed_signal(BYE), 1)
    clients[0].send(OFFER, DAVE_ID, session="another-session-0")
    assert [client.farewell for client in clients] == ["slow-consumer"] * 4 + [None]
    assert len(hub) == 1


def test_sessions_that_clients_of_other_servers_began_are_counted_there(hub, alice, bob):
    alice.send(OFFER, BOB_ID)
    assert hub.sessions == 1
    alice.registration.is_remote = True
    assert hub.sessions == 0


def test_a_client_starts_a_bounded_number_of_sessions():
    hub = make_hub(max_sessions=2, session_idle=100)
    alice, bob = Client(hub, ALICE_ID), Client(hub, BOB_ID)
    alice.register()
    bob.register()
    for number in range(3):
        alice.send(OFFER, BOB_ID, session=f"session-{number:016}")
    assert alice.got() == ["too-many-sessions"]
    # Those that others start with it don't count.
    for number in range(2):
        bob.send(OFFER, ALICE_ID, session=f"session-b{number:016}")
    assert alice.got() == [OFFER, OFFER]
    # An end makes room, by whichever side.
    alice.send(BYE, BOB_ID, session=f"session-{0:016}", index=1)
    bob.send(error("busy"), ALICE_ID, session=f"session-{1:016}")
    assert alice.got() == [error("busy")]
    for number in range(3, 5):
        alice.send(OFFER, BOB_ID, 50.0, session=f"session-{number:016}")
    assert alice.got() == []
    # So does time.
    alice.send(candidate(1), BOB_ID, 120.0, session=f"session-{3:016}", index=1)
    alice.send(OFFER, BOB_ID, 160.0, session=f"session-{5:016}")
    assert alice.got() == []
    alice.send(OFFER, BOB_ID, 160.0, session=f"session-{6:016}")
    assert alice.got() == ["too-many-sessions"]


def test_registrations_are_bounded_and_who_is_away_goes_first():
    hub = make_hub(max_clients=2)
    alice, bob, dave = (Client(hub, peer) for peer in (ALICE_ID, BOB_ID, DAVE_ID))
    alice.register()
    bob.register()
    alice.disconnect(0.0)
    dave.register(1.0)
    assert set(hub.roster._registrations) == {BOB_ID, DAVE_ID}
    # Nor is there room for one that may come back.
    returned = Client(hub, DAVE_ID)
    returned.register(2.0, received=99)
    returned.send(OFFER, ALICE_ID, 2.0)
    assert returned.got() == ["peer-not-found"]


def test_sessions_leave_nothing_behind(alice, bob):
    for end in (BYE, error("busy")):
        alice.send(OFFER, BOB_ID)
        bob.send(end, ALICE_ID)
        bob.send(end, ALICE_ID)
        assert not alice.registration.sessions
        assert not bob.registration.sessions
        assert alice.registration.started == bob.registration.started == 0


def test_the_end_of_the_server_is_announced(hub, alice, bob):
    bob.disconnect(0.0)
    hub.shut_down()
    assert alice.farewell == "shutting-down"
    assert bob.farewell is None


def test_what_waits_for_all_together_is_bounded_and_who_lets_most_wait_has_to_go():
    mib = 1024 * 1024
    hub = make_hub(max_total_queued_bytes=mib, max_queued_bytes=mib)
    sender, *others = clients = [Client(hub, f"peer{name}") for name in "abcd"]
    for client in clients:
        client.register()
    for number, client in enumerate(others):
        sender.send(OFFER, client.peer, session=f"{number:016}", size=mib // 4 * (number + 1) - 1)
        # The last of them is over the bound by itself.
        assert hub.roster._queued.size <= mib
    assert [client.farewell for client in clients] == [None, None, None, "slow-consumer"]
    assert sender.got() == ["undeliverable"]
    assert [message.type for message in others[0].transmitted()] == ["offer"]


def test_what_counts_is_what_is_kept(hub, alice, bob):
    """A control character is a byte in msgpack and six in JSON; and what nobody knows is passed on to nobody."""
    control = OFFER.model_copy(update={"data": OFFER.data.model_copy(update={"sdp": "\x01" * 1000})})
    sent = encode_bytes(Numbered(envelope(control), 1, 0), Codec.MSGPACK)
    assert len(sent) < 2000
    hub.receive(alice.registration, parse(sent, Codec.MSGPACK, is_text=False), 0.0)
    assert 6000 < hub.roster._queued.size < 7000
    more = json.loads(encode(Numbered(routed_signal(BYE), 2, 0), Codec.JSON)) | {"more": "x" * 1000}
    before = hub.roster._queued.size
    hub.receive(alice.registration, parse(json.dumps(more).encode(), Codec.JSON, is_text=True), 0.0)
    assert hub.roster._queued.size < before + 500


def test_what_was_taken_or_is_given_up_counts_no_more(hub, alice, bob):
    for number in range(3):
        alice.send(OFFER, BOB_ID, session=f"{number:016}", size=1000)
    assert hub.roster._queued.size == 3000
    bob.transmitted()
    bob.registration.channel.acknowledge(2)
    assert hub.roster._queued.size == 1000
    channel = bob.registration.channel
    bob.disconnect(leaving=True)
    alice.acknowledge_all()
    assert hub.roster._queued.size == 0
    channel.acknowledge(3)
    assert hub.roster._queued.size == 0


def test_a_client_that_may_start_no_session_makes_nobody_be_waited_for():
    hub = make_hub(max_sessions=1)
    alice = Client(hub, ALICE_ID)
    alice.register(received=0)
    alice.send(OFFER, BOB_ID)
    assert len(hub) == 2
    for number in range(10):
        alice.send(OFFER, f"{DAVE_ID}{'abcdefghij'[number]}", session=f"{number:016}")
    assert len(hub) == 2


def test_a_client_makes_a_bounded_number_of_peers_be_waited_for():
    hub = make_hub(max_sessions=3)
    alice = Client(hub, ALICE_ID)
    alice.register(received=0)
    for number in range(10):
        # Of sessions that are over: these take no room.
        alice.send(BYE, f"{DAVE_ID}{'abcdefghij'[number]}", session=f"{number:016}", index=1)
    assert len(hub) == 1 + 3
