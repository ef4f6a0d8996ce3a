import pytest

from webrtc_transport.engine.stream_ids import MAX_STREAMS, StreamIds
from webrtc_transport.errors import TooManyStreams


def take(ids, count, **limit):
    return [ids.take(**limit) for _ in range(count)]


def test_the_client_has_the_even_ids_and_the_server_the_odd_ones():
    assert take(StreamIds(is_server=False, in_use=()), 4) == [0, 2, 4, 6]
    assert take(StreamIds(is_server=True, in_use=()), 4) == [1, 3, 5, 7]


def test_an_id_that_was_freed_is_not_the_next_one():
    in_use = set()
    ids = StreamIds(is_server=False, in_use=in_use)
    for expected in (0, 2, 4):
        assert ids.take() == expected
        in_use.add(expected)
        in_use.discard(expected)


def test_ids_in_use_are_passed_over():
    assert take(StreamIds(is_server=False, in_use={0, 2, 6}), 3) == [4, 8, 10]


@pytest.mark.parametrize(
    ("is_server", "first", "last"), [(False, 0, MAX_STREAMS - 2), (True, 1, MAX_STREAMS - 1)]
)
def test_after_the_last_id_comes_the_first(is_server, first, last):
    ids = StreamIds(is_server=is_server, in_use=())
    taken = take(ids, MAX_STREAMS // 2)
    assert (taken[0], taken[-1], len(set(taken))) == (first, last, MAX_STREAMS // 2)
    assert ids.take() == first


@pytest.mark.parametrize(
    ("is_server", "limit", "ids"),
    [
        (False, 1, [0]),
        (False, 5, [0, 2, 4]),
        (False, 6, [0, 2, 4]),
        (True, 2, [1]),
        (True, 5, [1, 3]),
        (True, 6, [1, 3, 5]),
    ],
)
def test_a_peer_with_few_streams(is_server, limit, ids):
    in_use = set()
    source = StreamIds(is_server=is_server, in_use=in_use)
    for _ in range(2):
        assert take(source, len(ids), limit=limit) == ids
    in_use.update(ids)
    with pytest.raises(TooManyStreams, match=f"all {len(ids)} stream ids"):
        source.take(limit=limit)
    in_use.remove(ids[-1])
    assert source.take(limit=limit) == ids[-1]


def test_a_limit_over_the_last_id():
    ids = StreamIds(is_server=False, in_use=())
    ids._next = MAX_STREAMS - 2
    assert take(ids, 2, limit=MAX_STREAMS + 1) == [MAX_STREAMS - 2, 0]


def test_a_peer_without_a_stream_for_us():
    with pytest.raises(TooManyStreams, match="all 0"):
        StreamIds(is_server=True, in_use=()).take(limit=1)


def test_a_limit_that_shrinks():
    ids = StreamIds(is_server=False, in_use=())
    take(ids, 10)
    assert ids.take(limit=4) == 0


def test_each_end_has_its_own():
    for is_server in (False, True):
        ids = StreamIds(is_server=is_server, in_use=())
        assert [ids.is_own(stream_id) for stream_id in (0, 1)] == [not is_server, is_server]
