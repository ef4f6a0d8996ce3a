"""The bytes of a stream that wait to be read."""

import pytest

from webrtc_transport.receive_queue import SMALL_CHUNK, ReceiveQueue


@pytest.fixture
def queue():
    return ReceiveQueue()


def test_what_arrived_is_read_in_order_and_in_parts(queue):
    queue.append(bytes(SMALL_CHUNK))
    queue.append(b"hello")
    assert queue.size == SMALL_CHUNK + 5
    assert queue.take(65536) == bytes(SMALL_CHUNK)
    assert queue.take(4) == b"hell"
    assert queue.take(4) == b"o"
    assert queue.reads == 3
    assert queue.size == 0
    assert not queue.chunks


def test_small_chunks_are_put_together_and_large_ones_are_left_alone(queue):
    for _ in range(SMALL_CHUNK + 1):
        queue.append(b"x")
    assert [len(chunk) for chunk in queue.chunks] == [SMALL_CHUNK, 1]
    large = bytes(SMALL_CHUNK)
    queue.append(large)
    assert queue.chunks[-1] is large


def test_what_is_thrown_away_is_counted_and_no_read(queue):
    queue.append(b"12345")
    assert queue.clear() == 5
    assert queue.size == queue.reads == queue.clear() == 0
