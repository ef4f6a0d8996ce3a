"""Two ends meet, whatever gets lost."""

import pytest

from tests.links import Pair, Path, blobs, chunk_types
from webrtc_transport.protocol.sctp.association import Association
from webrtc_transport.protocol.sctp.settings import AssociationSettings
from webrtc_transport.protocol.sctp.states import State


@pytest.mark.parametrize("both", [True, False])
def test_ends_meet(both):
    pair = Pair().connect(both=both)
    pair.send(pair.a, 1, [b"forth"])
    pair.send(pair.b, 1, [b"back"])
    assert pair.a.established.outbound_streams == 65535


def test_it_takes_two_round_trips_at_most():
    pair = Pair().connect(both=False)
    assert pair.now <= 4 * 0.005 + 1e-9


@pytest.mark.parametrize("both", [True, False])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("direction", ["forth", "back"])
@pytest.mark.parametrize("kind", [1, 2, 10, 11])
def test_each_packet_may_be_lost(both, times, direction, kind):
    left = {"count": times}

    def drops(packet, number):
        if kind in chunk_types(packet) and left["count"]:
            left["count"] -= 1
            return True
        return False

    pair = Pair(**{direction: Path(drops=drops)}).connect(both=both)
    pair.send(pair.a, 1, [b"forth"])
    pair.send(pair.b, 1, [b"back"])


@pytest.mark.parametrize("mask", range(1, 64))
def test_any_of_the_first_packets_may_be_lost(mask):
    drops = lambda packet, number: number < 6 and bool(mask >> number & 1)  # noqa: E731
    pair = Pair(Path(drops=drops), Path(drops=drops)).connect()
    pair.send(pair.a, 1, [b"forth"])
    pair.send(pair.b, 1, [b"back"])


def test_init_is_repeated_with_tag_zero():
    sent = []
    pair = Pair(back=Path(drops=lambda packet, number: 2 in chunk_types(packet)))
    pair.observe = lambda end, packet: sent.append(packet) if end is pair.a else None
    pair.a.association.connect(0.0)
    pair.run_for(5.0)
    assert len(sent) > 2
    assert all(chunk_types(packet) == [1] and packet[4:8] == bytes(4) for packet in sent)


def test_nobody_answers():
    pair = Pair(Path(loss=1.0))
    pair.a.association.connect(0.0)
    pair.run(lambda: pair.a.ended is not None, limit=65.0)
    assert not pair.a.ended.is_orderly
    assert "does not answer (COOKIE_WAIT)" in pair.a.ended.reason


def test_messages_and_resets_wait_for_the_set_up():
    pair = Pair()
    pair.a.association.send(1, 53, b"early")
    pair.a.association.reset_stream(1)
    pair.connect()
    pair.run(lambda: pair.a.confirmed == [1])
    assert pair.b.finished == {1: [[b"early"]]}


def test_old_packets_of_the_set_up_change_nothing():
    pair = Pair()
    old = []
    pair.observe = lambda end, packet: old.append((end, packet))
    pair.connect()
    pair.observe = lambda end, packet: None
    pair.send(pair.a, 1, blobs(4, 5000))
    for end, packet in old * 2:
        pair.other(end).association.receive(packet, pair.now)
    pair.send(pair.a, 1, blobs(4, 5000))
    pair.send(pair.b, 1, blobs(4, 5000))


def test_a_peer_that_restarts_is_not_believed():
    pair = Pair().connect()
    stranger = Association(AssociationSettings())
    stranger.connect(pair.now)
    for packet in stranger.transmit(pair.now):
        pair.a.association.receive(packet, pair.now)
    assert pair.a.association.transmit(pair.now) == []
    pair.send(pair.b, 1, [b"still here"])


def test_data_that_overtakes_the_cookie_ack_establishes():
    pair = Pair(back=Path(drops=lambda packet, number: 11 in chunk_types(packet)))
    pair.b.association.send(1, 53, b"hello")
    # The message travels beside the lost COOKIE ACK; sent again, it says the same.
    pair.connect(both=False)
    pair.run(lambda: pair.a.received == {1: [b"hello"]})


def test_a_port_that_is_not_ours():
    pair = Pair(settings=(AssociationSettings(port=7), AssociationSettings(peer_port=9)))
    pair.a.association.connect(0.0)
    pair.run_for(1.0)
    assert pair.b.established is None


def test_ports_may_differ():
    settings = (AssociationSettings(port=7, peer_port=9), AssociationSettings(port=9, peer_port=7))
    pair = Pair(settings=settings).connect()
    pair.send(pair.a, 1, [b"x"])


def test_a_stale_cookie_ends_the_set_up():
    pair = Pair(Path(drops=lambda packet, number: 10 in chunk_types(packet)))
    echoes = []
    pair.observe = lambda end, packet: echoes.append(packet) if 10 in chunk_types(packet) else None
    pair.a.association.connect(0.0)
    pair.run(lambda: bool(echoes))
    pair.now += 61.0
    pair.b.association.receive(echoes[0], pair.now)
    assert pair.b.association.state is State.CLOSED
    pair.flush()
    pair.run(lambda: pair.a.ended is not None, limit=0.1)
    assert "too late" in pair.a.ended.reason
