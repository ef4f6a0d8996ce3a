from webrtc_signaling.server.admission import Admission, Rates, TokenBucket


def test_a_bucket_allows_a_burst_and_then_the_rate():
    bucket = TokenBucket(rate=10, burst=3)
    assert [bucket.take(100.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(100.05)
    assert bucket.take(100.15)
    assert not bucket.take(100.15)


def test_a_bucket_is_never_fuller_than_its_burst():
    bucket = TokenBucket(rate=10, burst=2)
    bucket.take(0)
    assert [bucket.take(1e9) for _ in range(3)] == [True, True, False]


def test_a_clock_that_stands_still_gives_nothing():
    bucket = TokenBucket(rate=10, burst=1)
    assert bucket.take(5.0)
    assert not bucket.take(5.0)


def test_connections_are_counted_in_total_and_by_address():
    admission = Admission(max_total=3, max_per_address=2)
    admission.enter("a")
    admission.enter("a")
    assert admission.is_full_for("a")
    assert not admission.is_full_for("b")
    admission.enter("b")
    assert admission.is_full
    assert admission.total == 3
    admission.leave("a")
    assert not admission.is_full
    assert not admission.is_full_for("a")


def test_an_address_that_left_leaves_nothing_behind():
    admission = Admission(max_total=3, max_per_address=2)
    admission.enter("a")
    admission.leave("a")
    assert not admission.is_full_for("a")
    assert not admission._by_address


def test_each_key_has_a_bucket_of_its_own():
    rates = Rates(1, 2)
    assert [rates.take("a", 0) for _ in range(3)] == [True, True, False]
    assert rates.take("b", 0)
    assert rates.take("a", 1)


def test_keys_whose_bucket_is_full_again_are_forgotten():
    rates = Rates(1, 2)
    for key in "abc":
        rates.take(key, 0)
    assert len(rates) == 3
    rates.take("d", 1)
    assert len(rates) == 1


def test_no_more_keys_are_remembered_than_allowed():
    rates = Rates(1, 1, max_keys=2)
    for number in range(100):
        rates.take(str(number), 0)
    assert len(rates) == 2
    assert not rates.take("99", 0)


def test_connections_come_only_so_fast():
    admission = Admission(max_total=10, max_per_address=10, rates=Rates(1, 1))
    assert [admission.is_too_fast("a", 0) for _ in range(2)] == [False, True]
    assert not admission.is_too_fast("b", 0)
    assert not Admission(max_total=1, max_per_address=1).is_too_fast("a", 0)
