"""What Redis's answers become. A real one gets the questions in ``test_redis_backplane.py``."""

import pytest

from tests.webrtc_signaling.samples import ALICE_ID
from webrtc_signaling.server.backplane import Location
from webrtc_signaling.server.redis_commands import PEER, claim, locate, release
from webrtc_transport.errors import InvalidSignal

OURS, THEIRS = "server-of-this-test", "another-server-here"


class Notes:
    """Takes notes of what it is asked or told."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        return lambda *arguments, **named: self.calls.append((name, *arguments, *named.values()))


def entry(server, stamp=7):
    return f"{stamp}|1|{server}|instance-0123456789".encode()


def told(command, answer):
    notes = Notes()
    command[1](notes, answer)
    return notes.calls


def asked(command):
    notes = Notes()
    command[0](notes)
    [(name, _script, keys, key, *arguments)] = notes.calls
    assert (name, keys) == ("eval", 1)
    return key, arguments


def our_claim(stamp=None):
    return claim(OURS, ALICE_ID, "instance-0123456789", proven=True, stamp=stamp, ttl=60)


def location(server):
    return Location(server, "instance-0123456789", proven=True, stamp=7)


@pytest.mark.parametrize(("stamp", "since"), [(None, ""), (5, "5")])
def test_a_claim_says_who_is_where_since_when_and_for_how_long(stamp, since):
    key, arguments = asked(our_claim(stamp))
    assert key == f"{PEER}{ALICE_ID}"
    assert arguments[:5] == [OURS, "instance-0123456789", "1", since, "60000"]


def test_the_answer_to_a_claim_is_where_the_client_is_now():
    assert told(our_claim(), entry(OURS)) == [("on_claimed", ALICE_ID, 7)]
    assert told(our_claim(), entry(THEIRS)) == [("on_location", ALICE_ID, location(THEIRS))]


def test_a_release_names_the_server_and_its_answer_says_nothing():
    assert asked(release(OURS, ALICE_ID)) == (f"{PEER}{ALICE_ID}", [OURS])
    assert told(release(OURS, ALICE_ID), 1) == []


@pytest.mark.parametrize("is_trusted", [True, False])
def test_that_a_client_is_nowhere_counts_only_if_redis_can_know(is_trusted):
    question = locate(ALICE_ID, lambda: is_trusted)
    assert told(question, [entry(THEIRS), 1]) == [("on_located", ALICE_ID, location(THEIRS), True)]
    assert told(question, None) == ([("on_located", ALICE_ID, None, False)] if is_trusted else [])


@pytest.mark.parametrize("answer", [b"", b"nonsense", 7, [], [None, 1]])
def test_what_makes_no_sense_is_refused(answer):
    for question in (our_claim(), locate(ALICE_ID, lambda: True)):
        with pytest.raises(InvalidSignal):
            told(question, answer)
