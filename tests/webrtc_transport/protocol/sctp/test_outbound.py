import pytest

from webrtc_transport.protocol.sctp.outbound import OutboundQueue
from webrtc_transport.protocol.sctp.packet import DATA_HEADER

ROOM = 1148


def take(queue, room=ROOM, tsn=1):
    chunk, count = queue.take(tsn, room, 10**6)
    assert count == 1
    _, flags, length, _, stream_id, ssn, _ = DATA_HEADER.unpack_from(chunk)
    return stream_id, ssn, flags, chunk[16:length]


def test_streams_take_turns_by_message():
    queue = OutboundQueue()
    for stream_id in (1, 2):
        for number in range(2):
            queue.put(stream_id, 53, b"%d" % number * 1500)
    order = [take(queue)[:3] for _ in range(8)]
    assert order == [
        (1, 0, 2),
        (1, 0, 1),
        (2, 0, 2),
        (2, 0, 1),
        (1, 1, 2),
        (1, 1, 1),
        (2, 1, 2),
        (2, 1, 1),
    ]
    assert queue.size == 0
    assert queue.take(1, ROOM, 10**6) == (b"", 0)


def test_a_scrap_of_room_is_left_empty():
    queue = OutboundQueue()
    queue.put(1, 53, bytes(2000))
    assert queue.take(1, 200, 10**6) == (b"", 0)
    assert len(take(queue, 500)[3]) == 484


def test_a_scrap_behind_another_message_too():
    queue = OutboundQueue()
    queue.put(1, 53, bytes(100))
    queue.put(1, 53, bytes(2000))
    assert take(queue)[3] == bytes(100)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 100])
def test_messages_share_a_packet(size):
    queue = OutboundQueue()
    messages = [bytes([number]) * size for number in range(5)]
    for number, message in enumerate(messages):
        queue.put(number % 2, 53, message)
    chunks, count = queue.take(2**32 - 2, ROOM, 10**6)
    assert count == 5
    found, position = [], 0
    while position < len(chunks):
        _, flags, length, tsn, stream_id, ssn, _ = DATA_HEADER.unpack_from(chunks, position)
        assert flags == 3
        found.append((tsn, stream_id, ssn, chunks[position + 16 : position + length]))
        position += length + -length % 4
    tsns = [2**32 - 2, 2**32 - 1, 0, 1, 2]
    # Streams take turns.
    order = [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2)]
    expected = [messages[0], messages[1], messages[2], messages[3], messages[4]]
    assert found == [(tsn, *ids, data) for tsn, ids, data in zip(tsns, order, expected, strict=True)]
    assert queue.taken == {0: 3 * size, 1: 2 * size}


def test_no_more_than_the_peer_has_room_for():
    queue = OutboundQueue()
    for _ in range(5):
        queue.put(1, 53, bytes(100))
    assert queue.take(1, ROOM, 250)[1] == 2
    assert queue.take(1, ROOM, 99)[1] == 0


def test_a_stream_that_ends_is_told_of_when_it_is_empty():
    queue = OutboundQueue()
    queue.put(1, 53, b"x")
    queue.end(1)
    assert queue.ended == []
    take(queue)
    assert queue.ended == [1]


def test_what_follows_waits_for_the_next_life():
    queue = OutboundQueue()
    queue.put(1, 53, b"x")
    take(queue)
    queue.end(1)
    queue.put(1, 53, b"y")
    assert not queue.has_next
    queue.restart(1)
    assert take(queue) == (1, 0, 3, b"y")
    queue.restart(1)
    assert not queue._streams


def test_also_what_follows_while_the_last_of_this_life_is_queued():
    queue = OutboundQueue()
    queue.put(1, 53, b"old")
    queue.end(1)
    for message in (b"new", b"newer"):
        queue.put(1, 53, message)
    assert take(queue) == (1, 0, 3, b"old")
    assert queue.ended == [1]
    assert not queue.has_next
    assert queue.size == len(b"newnewer")
    queue.restart(1)
    assert [take(queue, 24), take(queue, 24)] == [(1, 0, 3, b"new"), (1, 1, 3, b"newer")]
    assert queue.size == 0
