"""Floods of newcomers, each from somewhere else, and a genuine one among them."""

from __future__ import annotations

import random

import pytest

from webrtc_transport.protocol.admission import PER_PREFIX, TOTAL, Admission
from webrtc_transport.protocol.rate_limit import Rate
from webrtc_transport.protocol.ufrag import Flow, new_credentials

USERNAME = new_credentials(Flow.V2).username
FLOOD = 50_000
"""Spoofed checks per second."""


def spoofed(generator: random.Random, *, hosts: int) -> tuple[bytes, tuple[str, int]]:
    host = generator.randrange(hosts)
    address = f"10.{host >> 16 & 255}.{host >> 8 & 255}.{host & 255}", generator.randrange(1024, 65536)
    return b"libp2p+webrtc+v1/%016x" % generator.getrandbits(64), address


def test_without_a_flood_everybody_is_let_in_at_once():
    admission = Admission(0)
    assert all(admission.admit(USERNAME, (f"192.0.2.{host}", 4001), host / 100) for host in range(200))


def test_a_source_has_its_share_and_the_others_have_theirs():
    admission = Admission(0)
    admitted = sum(admission.admit(b"%d" % port, ("192.0.2.1", port), 0) for port in range(1000))
    assert admitted == PER_PREFIX.burst
    assert admission.admit(USERNAME, ("192.0.2.2", 4001), 0)


@pytest.mark.parametrize("hosts", [1, 100, 2**24])
def test_a_newcomer_gets_in_during_a_flood(hosts):
    generator = random.Random(7)
    admission = Admission(0)
    # As the dialer sends its checks, from the second second of the flood on.
    checks = [1.0, 1.05, 1.15, 1.35, 1.75, 2.25, 2.75]
    newcomer = ("192.0.2.1" if hosts > 1 else "10.0.0.0", 40000)
    admitted_at = None
    admitted = 0
    for number in range(3 * FLOOD):
        now = number / FLOOD
        if checks and now >= checks[0]:
            del checks[0]
            if admitted_at is None and admission.admit(USERNAME, newcomer, now):
                admitted_at = now
        admitted += admission.admit(*spoofed(generator, hosts=hosts), now)
    assert admitted_at is not None
    assert admitted_at <= 1.4
    # What the flood makes us do is bounded, however much of it there is: after the burst, only what comes again.
    at_first = TOTAL.burst * (1 + TOTAL.per_second / FLOOD) + 1
    assert admitted <= at_first + (3 * TOTAL.per_second if hosts == 1 else 0)


def test_a_repeated_check_is_bounded_too():
    rate = Rate(1, 1)
    admission = Admission(0, per_prefix=rate, total=rate)
    assert admission.admit(b"first", ("192.0.2.9", 1), 0)
    outcomes = [admission.admit(USERNAME, ("192.0.2.1", 1), 0) for _ in range(4)]
    assert outcomes == [False, True, False, False]


def test_repeated_means_from_the_same_address_with_the_same_username():
    rate = Rate(1, 1)
    admission = Admission(0, per_prefix=rate, total=rate)
    assert admission.admit(b"first", ("192.0.2.9", 1), 0)
    assert not admission.admit(USERNAME, ("192.0.2.1", 1), 0)
    assert not admission.admit(USERNAME, ("192.0.2.1", 2), 0)
    assert not admission.admit(USERNAME + b"x", ("192.0.2.1", 1), 0)
    assert admission.admit(USERNAME, ("192.0.2.1", 1), 0)
