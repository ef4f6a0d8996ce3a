"""Consent: asked for again and again, told when it changes."""

import itertools

import anyio
import pytest

from tests.webrtc_transport.engine.ice_ends import establish, two
from webrtc_transport.engine.consent import CONSENT_CHECKS, CONSENT_RETRANSMISSION, Consent

pytestmark = pytest.mark.anyio


class Peer:
    """Answers checks as it is told, and then none."""

    def __init__(self, *answers):
        self._answers = itertools.chain(answers, itertools.repeat(False))
        self.checks = 0
        self.told = []
        self.consent = Consent(0.12, self._check, self._tell)

    async def _check(self, timeout):
        assert timeout == 0.12 / CONSENT_CHECKS
        self.checks += 1
        answered = next(self._answers)
        if not answered:
            await anyio.sleep(timeout)
        return answered

    def _tell(self, state):
        self.told.append((state, self.consent.is_missed))


async def test_it_is_told_when_it_changes_and_ends_when_it_expires():
    peer = Peer(True, True, False, True)
    with anyio.fail_after(5):
        await peer.consent.ask_until_it_expires()
    # Of the second miss, nothing new is told but the end.
    assert peer.told == [("missed", True), ("fresh", False), ("missed", True), ("expired", True)]


async def test_a_peer_that_answers_is_asked_on():
    peer = Peer(*[True] * 1000)
    with anyio.move_on_after(0.5):
        await peer.consent.ask_until_it_expires()
    assert peer.checks > CONSENT_CHECKS
    assert not peer.told


async def test_a_check_is_repeated_no_sooner_than_any_request(monkeypatch):
    async with two() as (a, b):
        await establish(a, b)
        sent = []
        monkeypatch.setattr(a.port, "send", lambda data, address: sent.append(data))
        assert not await a.agent._check_consent(CONSENT_RETRANSMISSION / 2)
        assert len(sent) == 1
        assert not await a.agent._check_consent(1.5 * CONSENT_RETRANSMISSION)
        assert len(sent) == 3
        assert sent[1] == sent[2]
