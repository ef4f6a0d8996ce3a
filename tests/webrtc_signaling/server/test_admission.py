from webrtc_signaling.server.admission import Admission, TokenBucket


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
