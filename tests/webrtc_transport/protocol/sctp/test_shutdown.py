"""An association ends when everything has arrived."""

import struct

import pytest

from tests.links import Pair, Path, blobs, chunk_types
from webrtc_transport.protocol.sctp.association import Association
from webrtc_transport.protocol.sctp.packet import ChunkType, PacketWriter, encode_chunk
from webrtc_transport.protocol.sctp.settings import AssociationSettings
from webrtc_transport.protocol.sctp.shutdown import SHUTDOWN_GUARD
from webrtc_transport.protocol.sctp.states import State


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_shutdown_waits_for_what_is_queued(loss):
    pair = Pair(Path(loss=loss), Path(loss=loss)).connect()
    messages = blobs(10, 16384)
    for message in messages:
        pair.a.association.send(1, 53, message)
    pair.b.association.send(2, 53, messages[0])
    pair.a.association.shutdown(pair.now)
    pair.run(lambda: pair.a.ended is not None and pair.b.ended is not None)
    assert pair.b.received == {1: messages}
    assert pair.a.received == {2: messages[:1]}
    assert pair.a.ended.is_orderly
    assert pair.b.ended.is_orderly


def test_both_shut_down():
    pair = Pair().connect()
    for end in pair.ends:
        end.association.send(1, 53, b"last")
        end.association.shutdown(pair.now)
    pair.run(lambda: all(end.ended is not None and end.ended.is_orderly for end in pair.ends))
    assert pair.a.received == pair.b.received == {1: [b"last"]}


def test_a_peer_with_much_to_say_is_waited_for():
    pair = Pair(Path(), Path(rate=1e5)).connect()
    messages = blobs(40, 100_000)
    for message in messages:
        pair.b.association.send(1, 53, message)
    pair.a.association.shutdown(pair.now)
    pair.run(lambda: pair.a.ended is not None and pair.b.ended is not None)
    assert pair.now > 30.0
    assert pair.a.received == {1: messages}
    assert pair.a.ended.is_orderly


def test_the_last_word_may_be_lost():
    pair = Pair(Path(drops=lambda packet, number: 14 in chunk_types(packet))).connect()
    pair.a.association.shutdown(pair.now)
    pair.run(lambda: pair.b.ended is not None)
    assert pair.b.ended.is_orderly


def test_nothing_is_taken_after_shutdown():
    pair = Pair().connect()
    pair.a.association.shutdown(pair.now)
    pair.a.association.send(1, 53, b"too late")
    pair.run(lambda: pair.b.ended is not None)
    assert pair.b.received == {}


def test_a_shutdown_leaves_no_timer_behind():
    pair = Pair(Path(delay=0.05), Path(delay=0.05)).connect()
    for message in blobs(20, 16384):
        pair.a.association.send(1, 53, message)
    pair.a.association.shutdown(pair.now)
    pair.run(lambda: pair.a.ended is not None and pair.b.ended is not None, steps=2000)


def test_shutdown_before_the_set_up():
    association = Association(AssociationSettings())
    association.connect(0.0)
    association.shutdown(0.0)
    assert association.state is State.ENDED
    assert association.timer is None


def test_data_after_shutdown_is_answered_with_shutdown_but_not_for_ever():
    pair = Pair().connect()
    association, first = pair.b.association, pair.a.association._sender.initial_tsn
    writer = PacketWriter(5000, 5000, association._inbound.handshake.tag)

    def write(number, now):
        fields = struct.pack("!IHHI", (first + number) & 0xFFFFFFFF, 1, number & 0xFFFF, 53)
        association.receive(writer.build([encode_chunk(ChunkType.DATA, fields + b"x", flags=3)]), now)

    begin = now = pair.now
    association.shutdown(begin)
    association.transmit(begin)
    number = 0
    while association.state is State.SHUTDOWN_SENT:
        assert now - begin < SHUTDOWN_GUARD + 1
        for _ in range(2):
            write(number, now)
            number += 1
        acknowledged = struct.pack("!I", (first + number - 1) & 0xFFFFFFFF)
        if not association.is_ended:
            (packet,) = association.transmit(now)
            assert chunk_types(packet).count(ChunkType.SHUTDOWN) == 1
            assert encode_chunk(ChunkType.SHUTDOWN, acknowledged) in packet
        association.handle_timer(now)
        now += 0.4
    assert now - begin > SHUTDOWN_GUARD
    (packet,) = association.transmit(now)
    assert chunk_types(packet) == [ChunkType.ABORT]
