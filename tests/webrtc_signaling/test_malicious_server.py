"""What a malicious rendezvous server can do to two peers: refuse service, and nothing else.

Each attack is on Alice's dials to Bob, by real transports. Carol dials him through the same server, which leaves her
alone, and has to get through.
"""

import contextlib
import itertools
import re
import time

import anyio
import pytest

from tests.logs import LOGGER
from tests.pairs import config
from tests.webrtc_signaling.backends import TIMEOUT
from tests.webrtc_signaling.malicious import malicious_server
from webrtc_signaling import session_book
from webrtc_transport import Identity, WebRTCTransport
from webrtc_transport.errors import ConnectTimeout, InvalidProof, InvalidSignal, SignalingRejected
from webrtc_transport.protocol.proof import sign_description

pytestmark = pytest.mark.anyio

PATIENCE = 0.7
"""Seconds for a dial that nobody answers."""
ALICE, BOB, CAROL, MALLORY = (Identity.generate() for _ in range(4))
ALICE_ID, BOB_ID, CAROL_ID = str(ALICE.peer_id), str(BOB.peer_id), str(CAROL.peer_id)
FINGERPRINT = "a=fingerprint:sha-256 "
OTHER_FINGERPRINT = FINGERPRINT + ":".join(["AB"] * 32)


class Scene:
    """The three peers, and what the server made of their signals."""

    def __init__(self, alice, bob, carol, listener):
        self.alice, self.bob, self.carol, self.listener = alice, bob, carol, listener

    async def dial(self, dialer=None):
        """Connect to Bob, and look at who is at each end."""
        dialer = dialer or self.alice
        async with await dialer.dial(self.listener.addresses[0]) as ours:
            async with await self.listener.accept() as theirs:
                assert (ours.remote_peer, theirs.remote_peer) == (BOB.peer_id, dialer.peer_id)


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request):
    return request.param


@contextlib.asynccontextmanager
async def scene(tamper, *, patience=TIMEOUT):
    """The attack, and then Carol's dial. ``tamper`` gets the signals between Alice and others.

    :param patience: of Alice's dials, in seconds
    """

    def only_alices(message):
        return tamper(message) if ALICE_ID in (message["from"], message["to"]) else [message]

    with anyio.fail_after(TIMEOUT):
        async with malicious_server(only_alices) as server, contextlib.AsyncExitStack() as stack:
            alice, bob, carol = [
                await stack.enter_async_context(
                    WebRTCTransport(
                        identity, signaling=[server.url], config=config(dial_timeout=dial_timeout)
                    )
                )
                for identity, dial_timeout in ((ALICE, patience), (BOB, TIMEOUT), (CAROL, TIMEOUT))
            ]
            listener = await bob.listen("/webrtc")
            await carol.listen("/webrtc")
            actors = Scene(alice, bob, carol, listener)
            yield actors
            await actors.dial(carol)


def swapped(message):
    """With the fingerprint of somebody else in its description."""
    data = message["data"]
    head, _, rest = data["sdp"].partition(FINGERPRINT)
    sdp = head + OTHER_FINGERPRINT + "\r\n" + rest.partition("\r\n")[2]
    assert sdp != data["sdp"]
    return message | {"data": data | {"sdp": sdp}}


def signed_by_mallory(message):
    """Swapped, and signed with another key."""
    changed = swapped(message)
    receiver = BOB if message["type"] == "offer" else ALICE
    proof = sign_description(
        MALLORY,
        kind=message["type"],
        session_id=message["session"],
        receiver=receiver.peer_id,
        sdp=changed["data"]["sdp"],
        now_ms=time.time_ns() // 1_000_000,
    )
    return changed | {"proof": proof.model_dump(mode="json")}


def without_proof(message):
    return {name: value for name, value in swapped(message).items() if name != "proof"}


FORGERIES = {
    swapped: "the signature of the {kind} is wrong",
    signed_by_mallory: "the {kind} is signed by {mallory}, but it claims to come from {sender}",
    without_proof: "the {kind} isn't signed, and what carried it doesn't prove who {sender} is",
}


def only(kind, change):
    """Tamper with descriptions of one kind."""
    return lambda message: [change(message) if message["type"] == kind else message]


def each_in_turn(changes):
    """Another change for each description."""
    following = iter(changes)

    def change(message):
        return next(following)(message)

    return change


async def test_swapped_offers(caplog):
    caplog.set_level("INFO", LOGGER)
    async with scene(only("offer", each_in_turn(FORGERIES))) as actors:
        for reason in FORGERIES.values():
            expected = reason.format(kind="offer", mallory=MALLORY.peer_id, sender=ALICE_ID)
            with pytest.raises(SignalingRejected, match=expected) as caught:
                await actors.dial()
            assert caught.value.code == "invalid-proof"
            assert f"no connection with {ALICE_ID}: {expected}" in caplog.text


async def test_swapped_answers(caplog):
    caplog.set_level("INFO", LOGGER)
    async with scene(only("answer", each_in_turn(FORGERIES))) as actors:
        for reason in FORGERIES.values():
            expected = reason.format(kind="answer", mallory=MALLORY.peer_id, sender=BOB_ID)
            caplog.clear()
            with pytest.raises(InvalidProof, match=expected):
                await actors.dial()
            # Alice tells Bob, so that he needn't wait.
            while f"no connection with {ALICE_ID}: " not in caplog.text:
                await anyio.sleep(0.01)
            assert expected in caplog.text


class Recorder:
    """Keeps a signal of one kind, and plays it again."""

    def __init__(self, kind):
        self._kind = kind
        self.kept = None

    def keep(self, message):
        if self.kept is None and message["type"] == self._kind:
            self.kept = message


@pytest.mark.parametrize("memory", ["fresh", "none"])
async def test_an_offer_that_is_replayed(memory, monkeypatch, caplog):
    """As it was: to who remembers the session, and to who has forgotten it."""
    caplog.set_level("INFO", LOGGER)
    if memory == "none":
        monkeypatch.setattr(session_book, "MAX_ENDED_SESSIONS", 0)
    offers, replayed = Recorder("offer"), []

    def tamper(message):
        offers.keep(message)
        # Whoever ends the session: Bob knows.
        if message["type"] == "bye" and not replayed:
            replayed.append(offers.kept)
            return [message, offers.kept]
        return [message]

    async with scene(tamper) as actors:
        await actors.dial()
        while not replayed:
            await anyio.sleep(0.01)
    refused = f"no connection with {ALICE_ID}: the offer is a replay: its session id was used before"
    # Bob drops a signal that he has before he looks at its proof.
    assert caplog.text.count(refused) == (1 if memory == "none" else 0)


async def test_an_offer_that_is_replayed_in_another_session(caplog):
    caplog.set_level("INFO", LOGGER)
    offers = Recorder("offer")

    def tamper(message):
        offers.keep(message)
        if message["type"] == "bye":
            return [message, offers.kept | {"session": "session-0123456789"}]
        return [message]

    async with scene(tamper) as actors:
        await actors.dial()
        while f"no connection with {ALICE_ID}: the signature of the offer is wrong" not in caplog.text:
            await anyio.sleep(0.01)


async def test_an_old_answer_in_a_new_session():
    answers = Recorder("answer")

    def tamper(message):
        if message["type"] != "answer":
            return [message]
        answers.keep(message)
        return [message | {name: answers.kept[name] for name in ("data", "proof")}]

    async with scene(tamper) as actors:
        await actors.dial()
        with pytest.raises(InvalidProof, match="the signature of the answer is wrong"):
            await actors.dial()


async def test_an_offer_in_the_name_of_another_peer(caplog):
    caplog.set_level("INFO", LOGGER)
    tamper = only("offer", lambda message: message | {"from": CAROL_ID})
    async with scene(tamper, patience=PATIENCE) as actors:
        with pytest.raises(ConnectTimeout, match=f"not connected after {PATIENCE} s, in phase 'signaling'"):
            await actors.dial()
        expected = f"the offer is signed by {ALICE_ID}, but it claims to come from {CAROL_ID}"
        assert f"no connection with {CAROL_ID}: {expected}" in caplog.text


async def test_an_offer_to_another_peer(caplog):
    caplog.set_level("INFO", LOGGER)

    def tamper(message):
        if message["type"] == "offer":
            return [message | {"to": CAROL_ID}]
        # What Carol says to it comes in Bob's name.
        return [message | {"from": BOB_ID}]

    async with scene(tamper) as actors:
        with pytest.raises(SignalingRejected, match="the signature of the offer is wrong") as caught:
            await actors.dial()
        assert caught.value.code == "invalid-proof"
        assert f"no connection with {ALICE_ID}: the signature of the offer is wrong" in caplog.text


async def test_an_answer_in_the_name_of_another_peer():
    async with scene(only("answer", lambda message: message | {"from": CAROL_ID})) as actors:
        # Carol can't answer what she wasn't asked, and Bob's candidates are not the begin of anything.
        with pytest.raises(InvalidSignal, match="signal 0 is missing"):
            await actors.dial()


def numbered(change):
    """Number what is left of a session by each sender anew, so that nothing seems to be missing."""
    indexes = {}

    def tamper(message):
        key = (message["from"], message["session"])
        return [
            each | {"index": next(indexes.setdefault(key, itertools.count()))} for each in change(message)
        ]

    return tamper


def drop(message):
    return [] if message["type"] == "candidate" else [message]


def drop_the_first(message):
    return [] if message["type"] == "candidate" and message["index"] == 1 else [message]


def duplicate(message):
    return [message, message] if message["type"] == "candidate" else [message]


def reordered(*senders):
    """Each candidate of these comes after their next signal."""
    waiting = {}

    def tamper(message):
        sender = message["from"]
        if sender in senders and message["type"] == "candidate" and sender not in waiting:
            waiting[sender] = message
            return []
        later = waiting.pop(sender, None)
        return [message] if later is None else [message, later]

    return tamper


async def test_candidates_that_are_repeated():
    async with scene(duplicate) as actors:
        await actors.dial()


async def test_candidates_in_another_order():
    async with scene(numbered(reordered(ALICE_ID))) as actors:
        await actors.dial()


async def test_signals_that_come_too_early_are_told():
    # Of both: else a check of the other end may be enough for a connection before.
    async with scene(reordered(ALICE_ID, BOB_ID)) as actors:
        with pytest.raises((InvalidSignal, SignalingRejected), match="signal 1 is missing"):
            await actors.dial()


async def test_so_are_those_that_are_missing(caplog):
    caplog.set_level("INFO", LOGGER)
    async with scene(drop_the_first) as actors:
        with pytest.raises((InvalidSignal, SignalingRejected), match="signal 1 is missing"):
            await actors.dial()
        while not re.search(f"no connection with {ALICE_ID}: .*signal 1 is missing", caplog.text):
            await anyio.sleep(0.01)


async def test_without_candidates_there_is_no_path():
    async with scene(numbered(drop), patience=PATIENCE) as actors:
        with pytest.raises(ConnectTimeout, match=f"not connected after {PATIENCE} s"):
            await actors.dial()
