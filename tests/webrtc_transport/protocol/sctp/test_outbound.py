from webrtc_transport.protocol.sctp.outbound import OutboundQueue
from webrtc_transport.protocol.sctp.packet import DATA_HEADER

ROOM = 1148


def take(queue, room=ROOM, tsn=1):
    chunk = queue.take(tsn, room, 10**6, is_first=True)
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
    assert queue.take(1, ROOM, 10**6, is_first=True) is None


def test_a_scrap_of_room_is_left_empty():
    queue = OutboundQueue()
    queue.put(1, 53, bytes(2000))
    assert queue.take(1, 500, 10**6, is_first=False) is None
    assert queue.take(1, 200, 10**6, is_first=True) is None
    assert len(take(queue, 500)[3]) == 484


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
