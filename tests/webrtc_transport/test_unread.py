"""The bytes of a stream that wait to be read."""

from webrtc_transport.unread import SMALL_CHUNK, UnreadBytes


def test_small_chunks_are_put_together_and_large_ones_are_not():
    unread = UnreadBytes()
    for _ in range(SMALL_CHUNK):
        unread.put(b"ab")
    assert list(map(len, unread.chunks)) == [SMALL_CHUNK, SMALL_CHUNK]
    assert unread.size == 2 * SMALL_CHUNK
    assert unread.take(SMALL_CHUNK) == b"ab" * (SMALL_CHUNK // 2)


def test_what_is_too_much_for_one_read_is_left_for_the_next():
    unread = UnreadBytes()
    unread.put(b"abcde")
    assert (unread.take(2), unread.take(2), unread.take(2)) == (b"ab", b"cd", b"e")
    assert (unread.reads, unread.size, bool(unread.chunks)) == (3, 0, False)


def test_what_is_thrown_away_is_counted_and_no_read():
    unread = UnreadBytes()
    unread.put(b"abc")
    unread.put(bytes(SMALL_CHUNK))
    assert unread.discard() == SMALL_CHUNK + 3
    assert (unread.discard(), unread.reads) == (0, 0)
