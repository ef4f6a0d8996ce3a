from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webrtc_transport.protocol.rate_limit import Rate, RateLimiter, TokenBucket, prefix_of


class TestTokenBucket:
    def test_it_starts_full_and_fills_again(self):
        bucket = TokenBucket(Rate(2, 3), now=10)
        assert [bucket.take(10) for _ in range(4)] == [True, True, True, False]
        assert not bucket.take(10.4)
        assert bucket.take(10.5)
        assert not bucket.take(10.5)

    def test_it_never_holds_more_than_the_burst(self):
        bucket = TokenBucket(Rate(2, 3), now=0)
        assert sum(bucket.take(1000) for _ in range(10)) == 3

    def test_looking_takes_nothing(self):
        bucket = TokenBucket(Rate(1, 1), now=0)
        assert bucket.has_token(0)
        assert bucket.has_token(0)
        assert bucket.take(0)
        assert not bucket.has_token(0)

    def test_a_clock_that_goes_back(self):
        bucket = TokenBucket(Rate(1, 1), now=10)
        assert bucket.take(10)
        assert not bucket.take(5)
        assert bucket.take(11)

    @given(st.lists(st.floats(0, 0.5), max_size=100))
    def test_never_more_than_its_rate(self, steps):
        bucket, now, taken = TokenBucket(Rate(5, 4), now=0), 0.0, 0
        for step in steps:
            now += step
            taken += bucket.take(now)
            assert taken <= 4 + 5 * now + 1e-6


def limiter(**changes) -> RateLimiter:
    settings = {"per_prefix": Rate(1, 2), "total": Rate(10, 5), "max_prefixes": 3, "now": 0}
    return RateLimiter(**(settings | changes))


class TestRateLimiter:
    def test_one_source_has_its_share(self):
        limits = limiter()
        assert [limits.allow("192.0.2.1", 0) for _ in range(4)] == [True, True, False, False]
        assert limits.allow("192.0.2.2", 0)
        assert limits.allow("192.0.2.1", 1)

    def test_what_one_is_refused_is_left_to_others(self):
        limits = limiter()
        for _ in range(100):
            limits.allow("192.0.2.1", 0)
        assert sum(limits.allow("192.0.2.2", 0) for _ in range(5)) == 2

    def test_all_together_have_a_bound(self):
        limits = limiter(max_prefixes=1000)
        assert sum(limits.allow(f"192.0.2.{host}", 0) for host in range(100)) == 5

    def test_as_long_as_too_many_come_nobody_may(self):
        limits = limiter(per_prefix=Rate(1000, 1000), counts_refused=True)
        assert sum(limits.allow("192.0.2.1", 0) for _ in range(6)) == 5
        # Ten per second are allowed, and eleven come.
        assert not any(limits.allow("192.0.2.1", number / 11) for number in range(110))
        assert limits.allow("192.0.2.1", 10.1)
        assert not limits.allow("192.0.2.1", 10.1)

    def test_memory_is_bounded_and_untouched_when_the_total_is_used_up(self):
        limits = limiter()
        for host in range(100):
            limits.allow(f"192.0.2.{host}", 0)
        assert len(limits) == 3
        kept = limiter(total=Rate(1, 1))
        assert kept.allow("192.0.2.1", 0)
        assert not kept.allow("192.0.2.2", 0)
        assert len(kept) == 1

    def test_the_least_recently_used_is_forgotten(self):
        limits = limiter(total=Rate(1000, 1000))
        for host in ("192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.2", "192.0.2.3", "192.0.2.1"):
            limits.allow(host, 0)
        limits.allow("192.0.2.4", 0)
        assert not limits.allow("192.0.2.1", 0)
        assert limits.allow("192.0.2.2", 0)


@pytest.mark.parametrize(
    ("host", "prefix"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "20010db800010002::/64"),
        ("fe80::1%eth0", "fe80000000000000::/64"),
    ],
)
def test_prefix(host, prefix):
    assert prefix_of(host) == prefix


@given(st.ip_addresses(v=6), st.ip_addresses(v=6))
def test_one_prefix_is_64_bits(one, other):
    if one.ipv4_mapped is None and other.ipv4_mapped is None:
        assert (prefix_of(str(one)) == prefix_of(str(other))) is (int(one) >> 64 == int(other) >> 64)


def test_when_there_is_a_token_again():
    bucket = TokenBucket(Rate(4, 1), 10.0)
    assert bucket.take(10.0)
    assert not bucket.take(10.2)
    assert bucket.next_at == pytest.approx(10.25)
    assert bucket.take(10.25)
    never = TokenBucket(Rate(0, 0), 10.0)
    assert never.next_at == math.inf


def test_who_is_refused_for_all_is_let_in_as_soon_as_there_is_a_token():
    limiter = RateLimiter(per_prefix=Rate(100, 100), total=Rate(4, 1), max_prefixes=8, now=0.0)
    assert limiter.allow("192.0.2.1", 0.0)
    assert not any(limiter.allow("192.0.2.1", now / 100) for now in range(1, 25))
    assert limiter.allow("192.0.2.1", 0.25)
