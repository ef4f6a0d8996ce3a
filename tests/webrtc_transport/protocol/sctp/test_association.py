"""Associations over modelled links, as their owners see them."""

import random
import struct

import pytest

from tests.links import Pair, Path
from webrtc_transport.protocol.sctp.association import Association
from webrtc_transport.protocol.sctp.events import InboundStreamsReset, MessageReceived
from webrtc_transport.protocol.sctp.packet import ChunkType, PacketWriter, encode_chunk
from webrtc_transport.protocol.sctp.receiver import OVERRUN
from webrtc_transport.protocol.sctp.settings import AssociationSettings
from webrtc_transport.protocol.sctp.states import State

KIB = 1024


def blobs(count, size, seed=3):
    rng = random.Random(seed)
    return [rng.randbytes(size) for _ in range(count)]


def kinds(packet):
    """The types of the chunks of a packet."""
    found, position = [], 12
    while position < len(packet):
        kind, _, length = struct.unpack_from("!BBH", packet, position)
        found.append(kind)
        position += length + -length % 4
    return found


def random_with_tsn(tsn, seed=5):
    """A source of random bytes from which the first TSN is this one."""
    rng = random.Random(seed)
    calls = iter([rng.randbytes(32), rng.randbytes(4), tsn.to_bytes(4)])
    return lambda size: next(calls, None) or rng.randbytes(size)


class TestSetUp:
    @pytest.mark.parametrize("both", [True, False])
    def test_ends_meet(self, both):
        pair = Pair().connect(both=both)
        pair.send(pair.a, 1, [b"forth"])
        pair.send(pair.b, 1, [b"back"])
        assert pair.a.established.outbound_streams == 65535

    def test_it_takes_two_round_trips_at_most(self):
        pair = Pair().connect(both=False)
        assert pair.now <= 4 * 0.005 + 1e-9

    @pytest.mark.parametrize("both", [True, False])
    @pytest.mark.parametrize("times", [1, 2])
    @pytest.mark.parametrize("direction", ["forth", "back"])
    @pytest.mark.parametrize("kind", [1, 2, 10, 11])
    def test_each_packet_may_be_lost(self, both, times, direction, kind):
        left = {"count": times}

        def drops(packet, number):
            if kind in kinds(packet) and left["count"]:
                left["count"] -= 1
                return True
            return False

        pair = Pair(**{direction: Path(drops=drops)}).connect(both=both)
        pair.send(pair.a, 1, [b"forth"])
        pair.send(pair.b, 1, [b"back"])

    @pytest.mark.parametrize("mask", range(1, 64))
    def test_any_of_the_first_packets_may_be_lost(self, mask):
        drops = lambda packet, number: number < 6 and bool(mask >> number & 1)  # noqa: E731
        pair = Pair(Path(drops=drops), Path(drops=drops)).connect()
        pair.send(pair.a, 1, [b"forth"])
        pair.send(pair.b, 1, [b"back"])

    def test_init_is_repeated_with_tag_zero(self):
        sent = []
        pair = Pair(back=Path(drops=lambda packet, number: 2 in kinds(packet)))
        pair.observe = lambda end, packet: sent.append(packet) if end is pair.a else None
        pair.a.association.connect(0.0)
        pair.run_for(5.0)
        assert len(sent) > 2
        assert all(kinds(packet) == [1] and packet[4:8] == bytes(4) for packet in sent)

    def test_nobody_answers(self):
        pair = Pair(Path(loss=1.0))
        pair.a.association.connect(0.0)
        pair.run(lambda: pair.a.ended is not None, limit=65.0)
        assert not pair.a.ended.is_orderly
        assert "does not answer (COOKIE_WAIT)" in pair.a.ended.reason

    def test_messages_and_resets_wait_for_the_set_up(self):
        pair = Pair()
        pair.a.association.send(1, 53, b"early")
        pair.a.association.reset_stream(1)
        pair.connect()
        pair.run(lambda: pair.a.confirmed == [1])
        assert pair.b.finished == {1: [[b"early"]]}

    def test_old_packets_of_the_set_up_change_nothing(self):
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

    def test_a_peer_that_restarts_is_not_believed(self):
        pair = Pair().connect()
        stranger = Association(AssociationSettings())
        stranger.connect(pair.now)
        for packet in stranger.transmit(pair.now):
            pair.a.association.receive(packet, pair.now)
        assert pair.a.association.transmit(pair.now) == []
        pair.send(pair.b, 1, [b"still here"])

    def test_data_that_overtakes_the_cookie_ack_establishes(self):
        pair = Pair(back=Path(drops=lambda packet, number: 11 in kinds(packet)))
        pair.b.association.send(1, 53, b"hello")
        # The message travels beside the lost COOKIE ACK; sent again, it says the same.
        pair.connect(both=False)
        pair.run(lambda: pair.a.received == {1: [b"hello"]})

    def test_a_port_that_is_not_ours(self):
        pair = Pair(settings=(AssociationSettings(port=7), AssociationSettings(peer_port=9)))
        pair.a.association.connect(0.0)
        pair.run_for(1.0)
        assert pair.b.established is None

    def test_ports_may_differ(self):
        settings = (AssociationSettings(port=7, peer_port=9), AssociationSettings(port=9, peer_port=7))
        pair = Pair(settings=settings).connect()
        pair.send(pair.a, 1, [b"x"])

    def test_a_stale_cookie_ends_the_set_up(self):
        pair = Pair(Path(drops=lambda packet, number: 10 in kinds(packet)))
        echoes = []
        pair.observe = lambda end, packet: echoes.append(packet) if 10 in kinds(packet) else None
        pair.a.association.connect(0.0)
        pair.run(lambda: bool(echoes))
        pair.now += 61.0
        pair.b.association.receive(echoes[0], pair.now)
        assert pair.b.association.state is State.CLOSED
        pair.flush()
        pair.run(lambda: pair.a.ended is not None, limit=0.1)
        assert "too late" in pair.a.ended.reason


class TestTransfer:
    @pytest.mark.parametrize("size", [1, 3, 4, 1131, 1132, 1133, 16384, 65536, 262144])
    def test_messages_of_any_size(self, size):
        pair = Pair().connect()
        pair.send(pair.a, 7, blobs(3, size))

    def test_messages_of_300_kib(self):
        settings = AssociationSettings(max_message_size=300 * KIB)
        pair = Pair(settings=(settings, settings)).connect()
        pair.send(pair.a, 7, blobs(4, 300 * KIB))

    @pytest.mark.parametrize(
        "path",
        [
            {"loss": 0.01},
            {"loss": 0.05},
            {"loss": 0.2},
            {"jitter": 0.02},
            {"duplication": 0.2},
            {"corruption": 0.05},
            {"loss": 0.05, "jitter": 0.02, "duplication": 0.05, "corruption": 0.02},
            {"blackouts": [(0.1, 3.0), (4.0, 8.0)]},
            {"rate": 1e6, "queue": 20_000},
            {"rate": 1e5, "queue": 5_000},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("seed", [1, 2])
    def test_both_ways_over_a_bad_link(self, path, seed):
        pair = Pair(Path(**path), Path(**path), seed=seed).connect()
        for stream_id in range(4):
            for message in blobs(10, 1500 * (stream_id + 1), stream_id):
                pair.b.association.send(stream_id, 53, message)
        pair.send(pair.a, 1, blobs(20, 16384))
        pair.run(lambda: sum(map(len, pair.a.received.values())) == 40)
        for stream_id in range(4):
            assert pair.a.received[stream_id] == blobs(10, 1500 * (stream_id + 1), stream_id)

    def test_no_packet_is_larger_than_the_path_carries(self):
        config = AssociationSettings(max_packet_size=1160)
        path = {"loss": 0.1, "jitter": 0.01, "duplication": 0.1}
        pair = Pair(Path(**path), Path(**path), settings=(config, config)).connect()
        sizes = []
        pair.observe = lambda end, packet: sizes.append(len(packet))
        for message in blobs(40, 16384):
            pair.b.association.send(1, 53, message)
        pair.send(pair.a, 1, blobs(40, 16384))
        assert max(sizes) <= 1160

    @pytest.mark.parametrize("tsn", [0, 1, 2**31 - 3, 2**31, 2**32 - 20, 2**32 - 1])
    def test_tsns_wrap_around(self, tsn):
        path = Path(loss=0.05, jitter=0.01)
        pair = Pair(path, Path(), randoms=(random_with_tsn(tsn), random_with_tsn(tsn, 6))).connect()
        pair.send(pair.a, 1, blobs(10, 16384))

    def test_ssns_wrap_around(self):
        pair = Pair(Path(loss=0.01)).connect()
        pair.send(pair.a, 1, [b"%d" % number for number in range(70_000)], limit=3000.0)

    def test_every_byte_is_told_of(self):
        pair = Pair(Path(loss=0.1)).connect()
        pair.send(pair.a, 1, blobs(5, 10_000))
        assert pair.a.sent == {1: 50_000}

    def test_streams_take_turns(self):
        pair = Pair(Path(rate=1e6)).connect()
        for stream_id in range(8):
            for message in blobs(8, 8192):
                pair.a.association.send(stream_id, 53, message)
        pair.run(lambda: len(pair.b.received) == 8)
        assert max(map(len, pair.b.received.values())) <= 2

    def test_a_lone_packet_waits_for_company_before_it_is_acknowledged(self):
        pair = Pair().connect()
        pair.send(pair.a, 1, [b"x"])
        sent = []
        pair.observe = lambda end, packet: sent.append((pair.now, kinds(packet)))
        begin = pair.now
        pair.run_for(1.0)
        assert [kind for _, kind in sent] == [[3]]
        assert sent[0][0] - begin == pytest.approx(0.02)

    def test_answers_carry_the_acknowledgement(self):
        pair = Pair().connect()
        pair.send(pair.a, 1, [b"x"])
        sent = []
        pair.observe = lambda end, packet: sent.append(kinds(packet))
        pair.send(pair.b, 1, [b"y"])
        assert sent == [[3, 0]]


class TestWindow:
    def test_a_reader_that_does_not_read_holds_its_sender(self):
        settings = AssociationSettings(window=64 * KIB, max_message_size=16 * KIB)
        pair = Pair(settings=(settings, settings)).connect()
        pair.b.reads = False
        messages = blobs(40, 16 * KIB)
        for message in messages:
            pair.a.association.send(1, 53, message)
        pair.run_for(5.0)
        held = pair.b.unread
        assert 48 * KIB <= held <= 64 * KIB + 20 * 1160
        pair.run_for(600.0)
        # An hour later nothing is lost, nobody has given up, and no more has been taken.
        assert pair.a.ended is None
        assert pair.b.unread <= 64 * KIB + OVERRUN
        pair.b.read_all(pair.now)
        pair.b.reads = True
        begin = pair.now
        pair.run(lambda: len(pair.b.received.get(1, [])) == 40)
        assert pair.b.received[1] == messages
        assert pair.now - begin < 12.0

    def test_a_window_that_opens_is_told_of_at_once(self):
        settings = AssociationSettings(window=64 * KIB, max_message_size=16 * KIB)
        pair = Pair(settings=(settings, settings)).connect()
        pair.b.reads = False
        for message in blobs(8, 16 * KIB):
            pair.a.association.send(1, 53, message)
        pair.run_for(0.3)
        pair.b.read_all(pair.now)
        pair.b.reads = True
        begin = pair.now
        pair.run(lambda: len(pair.b.received[1]) == 8)
        assert pair.now - begin < 0.2

    def test_its_opening_may_be_lost(self):
        settings = AssociationSettings(window=64 * KIB, max_message_size=16 * KIB)
        pair = Pair(settings=(settings, settings)).connect()
        pair.b.reads = False
        for message in blobs(8, 16 * KIB):
            pair.a.association.send(1, 53, message)
        pair.run_for(3.0)
        pair.b.path.blackouts.append((pair.now, pair.now + 1.0))
        pair.b.read_all(pair.now)
        pair.b.reads = True
        pair.run(lambda: len(pair.b.received[1]) == 8, limit=15.0)

    @pytest.mark.parametrize("loss", [0.0, 0.05])
    def test_a_window_of_two_messages_moves_data(self, loss):
        settings = AssociationSettings(window=64 * KIB, max_message_size=32 * KIB)
        pair = Pair(Path(loss=loss), settings=(settings, settings)).connect()
        pair.send(pair.a, 1, blobs(50, 32 * KIB))

    def test_small_messages_out_of_order_do_not_shut_it(self):
        settings = AssociationSettings(window=64 * KIB, max_message_size=32 * KIB)
        pair = Pair(Path(loss=0.05, jitter=0.01), settings=(settings, settings)).connect()
        pair.send(pair.a, 1, blobs(5000, 40))

    def test_a_slow_reader(self):
        settings = AssociationSettings(window=64 * KIB, max_message_size=16 * KIB)
        pair = Pair(Path(loss=0.01), settings=(settings, settings)).connect()
        pair.b.reads = False
        messages = blobs(100, 10_000)
        for message in messages:
            pair.a.association.send(1, 53, message)
        for _ in range(3000):
            pair.run_for(0.01)
            pair.b.association.consume(min(5000, pair.b.unread), pair.now)
            assert pair.b.unread <= 64 * KIB + OVERRUN
        assert pair.b.received[1] == messages


class TestReset:
    def test_a_stream_ends_after_its_data(self):
        pair = Pair(Path(loss=0.2), Path(loss=0.2)).connect()
        messages = blobs(5, 10_000)
        for message in messages:
            pair.a.association.send(3, 53, message)
        pair.a.association.reset_stream(3)
        pair.run(lambda: pair.a.confirmed == [3])
        assert pair.b.finished == {3: [messages]}
        last = max(number for number, event in enumerate(pair.b.log) if isinstance(event, MessageReceived))
        assert pair.b.log.index(InboundStreamsReset((3,))) > last

    def test_what_is_sent_after_the_end_belongs_to_the_next_life(self):
        pair = Pair(Path(jitter=0.01)).connect()
        pair.a.association.send(3, 53, b"one")
        pair.a.association.reset_stream(3)
        pair.flush()
        pair.a.association.send(3, 53, b"two")
        pair.run(lambda: pair.b.received.get(3) == [b"two"])
        assert pair.b.finished == {3: [[b"one"]]}
        assert pair.a.confirmed == [3]

    @pytest.mark.parametrize("kind_of_loss", ["forth", "back"])
    @pytest.mark.parametrize("times", [1, 2, 5])
    def test_requests_and_responses_may_be_lost(self, kind_of_loss, times):
        left = {"count": times}

        def drops(packet, number):
            if ChunkType.RE_CONFIG in kinds(packet) and left["count"]:
                left["count"] -= 1
                return True
            return False

        pair = Pair(**{kind_of_loss: Path(drops=drops)}).connect()
        for life in range(3):
            pair.a.association.send(1, 53, b"%d" % life)
            pair.a.association.reset_stream(1)
            pair.run(lambda life=life: len(pair.a.confirmed) == life + 1)
        assert pair.b.finished == {1: [[b"0"], [b"1"], [b"2"]]}

    @pytest.mark.parametrize("streams", [([1], [1]), ([1], [2]), ([1, 2, 3], [3, 4])])
    def test_both_at_once(self, streams):
        pair = Pair(Path(loss=0.1), Path(loss=0.1)).connect()
        for end, ids in zip(pair.ends, streams, strict=True):
            for stream_id in ids:
                end.association.send(stream_id, 53, b"last words")
                end.association.reset_stream(stream_id)
        pair.run(lambda: [sorted(end.confirmed) for end in pair.ends] == list(streams))
        assert {key: [[b"last words"]] for key in streams[0]} == pair.b.finished
        assert {key: [[b"last words"]] for key in streams[1]} == pair.a.finished

    def test_a_request_that_overtakes_data_is_deferred(self):
        def drops(packet, number):
            return 0 in kinds(packet) and pair.now < 0.3

        pair = Pair(Path(drops=drops)).connect()
        pair.a.association.send(1, 53, b"late")
        pair.flush()
        pair.a.association.reset_stream(1)
        pair.run(lambda: pair.a.confirmed == [1])
        assert pair.b.finished == {1: [[b"late"]]}

    def test_more_streams_than_fit_into_one_request(self):
        pair = Pair(Path(loss=0.05), Path(loss=0.05)).connect()
        for stream_id in range(1000):
            pair.a.association.send(stream_id, 53, b"%d" % stream_id)
            pair.a.association.reset_stream(stream_id)
        pair.run(lambda: len(pair.a.confirmed) == 1000)
        assert pair.b.finished == {stream_id: [[b"%d" % stream_id]] for stream_id in range(1000)}

    def test_asking_twice_resets_once(self):
        pair = Pair().connect()
        pair.a.association.send(1, 53, b"x")
        pair.a.association.reset_stream(1)
        pair.a.association.reset_stream(1)
        pair.flush()
        pair.a.association.reset_stream(1)
        pair.run_for(2.0)
        assert pair.a.confirmed == [1]

    def test_all_channels_over_time(self):
        pair = Pair().connect()
        for begin in range(0, 65534, 4096):
            ids = range(begin, min(65534, begin + 4096))
            for stream_id in ids:
                pair.a.association.send(stream_id, 53, b"x")
                pair.a.association.reset_stream(stream_id)
            pair.run(lambda end=ids[-1] + 1: len(pair.a.confirmed) == end, limit=1000.0)
        assert len(pair.b.finished) == 65534
        assert not pair.b.association._receiver._streams
        assert not pair.a.association._sender.queue._streams

    def test_a_peer_that_never_answers_requests(self):
        pair = Pair(Path(drops=lambda packet, number: ChunkType.RE_CONFIG in kinds(packet))).connect()
        pair.a.association.reset_stream(1)
        pair.run(lambda: pair.a.ended is not None, limit=80.0)
        assert "streams end" in pair.a.ended.reason


class TestEnd:
    @pytest.mark.parametrize("loss", [0.0, 0.2])
    def test_shutdown_waits_for_what_is_queued(self, loss):
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

    def test_both_shut_down(self):
        pair = Pair().connect()
        for end in pair.ends:
            end.association.send(1, 53, b"last")
            end.association.shutdown(pair.now)
        pair.run(lambda: all(end.ended is not None and end.ended.is_orderly for end in pair.ends))
        assert pair.a.received == pair.b.received == {1: [b"last"]}

    def test_a_peer_with_much_to_say_is_waited_for(self):
        pair = Pair(Path(), Path(rate=1e5)).connect()
        messages = blobs(40, 100_000)
        for message in messages:
            pair.b.association.send(1, 53, message)
        pair.a.association.shutdown(pair.now)
        pair.run(lambda: pair.a.ended is not None and pair.b.ended is not None)
        assert pair.now > 30.0
        assert pair.a.received == {1: messages}
        assert pair.a.ended.is_orderly

    def test_the_last_word_may_be_lost(self):
        pair = Pair(Path(drops=lambda packet, number: 14 in kinds(packet))).connect()
        pair.a.association.shutdown(pair.now)
        pair.run(lambda: pair.b.ended is not None)
        assert pair.b.ended.is_orderly

    def test_nothing_is_taken_after_shutdown(self):
        pair = Pair().connect()
        pair.a.association.shutdown(pair.now)
        pair.a.association.send(1, 53, b"too late")
        pair.run(lambda: pair.b.ended is not None)
        assert pair.b.received == {}

    def test_a_shutdown_leaves_no_timer_behind(self):
        pair = Pair(Path(delay=0.05), Path(delay=0.05)).connect()
        for message in blobs(20, 16384):
            pair.a.association.send(1, 53, message)
        pair.a.association.shutdown(pair.now)
        pair.run(lambda: pair.a.ended is not None and pair.b.ended is not None, steps=2000)

    def test_shutdown_before_the_set_up(self):
        association = Association(AssociationSettings())
        association.connect(0.0)
        association.shutdown(0.0)
        assert association.state is State.ENDED
        assert association.timer is None

    def test_abort_tells_why(self):
        pair = Pair().connect()
        pair.a.association.abort("gone fishing")
        pair.run(lambda: pair.b.ended is not None)
        assert pair.b.ended.reason == "the peer aborted the association: gone fishing"
        assert pair.b.ended.is_orderly
        assert pair.a.ended.is_orderly

    def test_messages_in_front_of_an_abort_arrive(self):
        pair = Pair().connect()
        pair.a.association.send(1, 53, b"x")
        pair.flush()
        pair.a.association.abort()
        pair.run(lambda: pair.b.ended is not None)
        assert pair.b.received == {1: [b"x"]}

    def test_an_idle_association_lives(self):
        pair = Pair().connect()
        pair.run_for(3600.0)
        assert pair.a.ended is None
        pair.send(pair.a, 1, [b"x"])

    @pytest.mark.parametrize("is_sending", [True, False])
    def test_a_silent_peer_is_noticed(self, is_sending):
        pair = Pair().connect()
        pair.a.path.loss = pair.b.path.loss = 1.0
        if is_sending:
            pair.a.association.send(1, 53, b"x")
        begin = pair.now
        pair.run(lambda: pair.a.ended is not None)
        assert not pair.a.ended.is_orderly
        assert pair.now - begin <= 75.0

    def test_a_pause_of_half_a_minute_is_survived(self):
        pair = Pair().connect()
        pair.send(pair.a, 1, [b"x"])
        for path in (pair.a.path, pair.b.path):
            path.blackouts.append((pair.now, pair.now + 30.0))
        pair.send(pair.a, 1, blobs(3, 16384), limit=45.0)


class TestExtensions:
    def write(self, pair, *chunks):
        """Have a packet with these chunks arrive at b."""
        association = pair.b.association
        packet = PacketWriter(5000, 5000, association._tag).build(chunks)
        association.receive(packet, pair.now)

    def data(self, pair, offset, payload, *, flags=3, ssn=0, stream_id=1):
        tsn = (pair.a.association._tsn + offset) & 0xFFFFFFFF
        body = struct.pack("!IHHI", tsn, stream_id, ssn, 53) + payload
        return encode_chunk(ChunkType.DATA, body, flags=flags)

    def test_unordered_messages_are_not_held_up(self):
        pair = Pair().connect()
        self.write(pair, self.data(pair, 1, b"second", flags=7))
        pair.flush()
        assert pair.b.received == {1: [b"second"]}
        self.write(pair, self.data(pair, 2, b"third", ssn=1))
        self.write(pair, self.data(pair, 0, b"first", ssn=0))
        pair.flush()
        assert pair.b.received == {1: [b"second", b"first", b"third"]}

    def test_forward_tsn_skips_what_was_given_up(self):
        pair = Pair().connect()
        self.write(pair, self.data(pair, 2, b"third", ssn=2))
        tsn = pair.a.association._tsn + 1
        self.write(pair, encode_chunk(ChunkType.FORWARD_TSN, struct.pack("!IHH", tsn & 0xFFFFFFFF, 1, 1)))
        pair.flush()
        assert pair.b.received == {1: [b"third"]}

    def test_forward_tsn_on_a_stream_that_never_was(self):
        pair = Pair().connect()
        tsn = pair.a.association._tsn
        self.write(pair, encode_chunk(ChunkType.FORWARD_TSN, struct.pack("!IHH", tsn, 9, 0)))
        self.write(pair, self.data(pair, 1, b"next", ssn=1, stream_id=9))
        pair.flush()
        assert pair.b.received == {9: [b"next"]}

    def test_data_behind_a_malformed_chunk_is_as_if_lost(self):
        pair = Pair().connect()
        whole = self.data(pair, 0, b"first")
        self.write(pair, whole, struct.pack("!BBH", 3, 0, 2), self.data(pair, 1, b"second", ssn=1))
        pair.flush()
        assert pair.b.received == {1: [b"first"]}

    def test_unknown_chunks(self):
        pair = Pair().connect()
        sent = []
        pair.observe = lambda end, packet: sent.append(kinds(packet))
        self.write(pair, encode_chunk(0x3F, b"stop"), self.data(pair, 0, b"not read"))
        self.write(pair, encode_chunk(0xBF, b"skip"), self.data(pair, 0, b"read"))
        self.write(pair, encode_chunk(0xFF, b"skip and report"))
        pair.flush()
        assert pair.b.received == {1: [b"read"]}
        assert ChunkType.ERROR in sent[0]

    def test_a_heartbeat_is_answered_as_it_is(self):
        pair = Pair().connect()
        sent = []
        pair.observe = lambda end, packet: sent.append(packet)
        self.write(pair, encode_chunk(ChunkType.HEARTBEAT, b"\0\1\0\7abc"))
        pair.flush()
        assert encode_chunk(ChunkType.HEARTBEAT_ACK, b"\0\1\0\7abc") in sent[0]

    def test_the_round_trip_of_a_heartbeat_counts(self):
        pair = Pair().connect()
        pair.run_for(31.0)
        assert pair.a.association.smoothed_rtt == pytest.approx(0.01)
