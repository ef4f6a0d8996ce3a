import pytest

from tests.links import Pair, Path, blobs, chunk_types
from webrtc_transport.protocol.sctp.congestion import NewReno
from webrtc_transport.protocol.sctp.packet import ChunkType, encode_chunk
from webrtc_transport.protocol.sctp.receiver import Receiver
from webrtc_transport.protocol.sctp.sender import Sender
from webrtc_transport.protocol.sctp.settings import AssociationSettings
from webrtc_transport.protocol.sctp.transmitter import BURST, MAX_CONTROL_CHUNKS, Transmitter

ANSWER = encode_chunk(ChunkType.HEARTBEAT_ACK, bytes(400))


@pytest.fixture
def receiver():
    return Receiver(1, 1024 * 1024, 65536, 16)


@pytest.fixture
def transmitter():
    transmitter = Transmitter(AssociationSettings(), Sender(1, NewReno(1160), 10**6), bytes)
    transmitter.address(7)
    return transmitter


def test_control_chunks_share_packets(transmitter, receiver):
    for _ in range(5):
        transmitter.answer(ANSWER)
    packets = transmitter.transmit(receiver, 0.0, is_sending=True)
    assert [chunk_types(packet) for packet in packets] == [[5, 5], [5, 5], [5]]


def test_only_so_many_questions_are_answered(transmitter, receiver):
    for _ in range(100):
        transmitter.answer(ANSWER)
        transmitter.answer_with_tag(3, ANSWER)
    packets = transmitter.transmit(receiver, 0.0, is_sending=True)
    assert sum(len(chunk_types(packet)) for packet in packets) == 2 * MAX_CONTROL_CHUNKS


def test_who_is_not_known_gets_no_answers(receiver):
    transmitter = Transmitter(AssociationSettings(), Sender(1, NewReno(1160), 10**6), bytes)
    transmitter.answer(ANSWER)
    assert transmitter.transmit(receiver, 0.0, is_sending=True) == []


def test_cookie_ack_acknowledgement_and_data_go_together(transmitter, receiver):
    transmitter._sender.peer_window = 100_000
    transmitter._sender.queue.put(1, 53, b"x")
    receiver.receive(1, 3, 1, 0, 53, b"y")
    receiver.end_packet(0.0)
    transmitter.answer(encode_chunk(ChunkType.HEARTBEAT_ACK))
    transmitter.acknowledge_cookie()
    transmitter.acknowledge_cookie()
    (packet,) = transmitter.transmit(receiver, 0.0, is_sending=True)
    assert chunk_types(packet) == [11, 5, 3, 0]


def test_data_waits_until_it_may_be_sent(transmitter, receiver):
    transmitter._sender.peer_window = 100_000
    transmitter._sender.queue.put(1, 53, b"x")
    assert transmitter.transmit(receiver, 0.0, is_sending=False) == []


def test_a_burst_is_no_longer_than_a_socket_buffer():
    pair = Pair(Path(rate=1e8), Path()).connect()
    sizes = []
    transmit = pair.a.association.transmit
    pair.a.association.transmit = lambda now: sizes.append(packets := transmit(now)) or packets
    pair.send(pair.a, 1, blobs(200, 16384))
    assert max(map(len, sizes)) <= BURST
