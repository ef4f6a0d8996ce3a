"""Associations over modelled links, as their owners see them."""

import random

import pytest

from tests.links import Pair, Path, blobs, chunk_types
from webrtc_transport.protocol.sctp.events import InboundStreamsReset, MessageReceived
from webrtc_transport.protocol.sctp.packet import ChunkType
from webrtc_transport.protocol.sctp.receiver import COST_LIMIT, FREE_SHARE, MESSAGE_COST, OVERRUN
from webrtc_transport.protocol.sctp.settings import AssociationSettings

KIB = 1024


def random_with_tsn(tsn, seed=5):
    """A source of random bytes from which the first TSN is this one."""
    rng = random.Random(seed)
    calls = iter([tsn.to_bytes(4)])
    return lambda size: next(calls, None) or rng.randbytes(size)


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
        pair.observe = lambda end, packet: sent.append((pair.now, chunk_types(packet)))
        begin = pair.now
        pair.run_for(1.0)
        assert [kind for _, kind in sent] == [[3]]
        assert sent[0][0] - begin == pytest.approx(0.02)

    def test_answers_carry_the_acknowledgement(self):
        pair = Pair().connect()
        pair.send(pair.a, 1, [b"x"])
        sent = []
        pair.observe = lambda end, packet: sent.append(chunk_types(packet))
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

    @pytest.mark.parametrize("size", [1, 100, 2 * KIB])
    @pytest.mark.parametrize("loss", [0.0, 0.05])
    def test_a_window_of_a_few_packets_too(self, loss, size):
        settings = AssociationSettings(window=4 * KIB, max_message_size=2 * KIB)
        pair = Pair(Path(loss=loss), Path(loss=loss), settings=(settings, settings)).connect()
        pair.send(pair.a, 1, blobs(200, size))

    def test_small_messages_out_of_order_do_not_shut_it(self):
        settings = AssociationSettings(window=64 * KIB, max_message_size=32 * KIB)
        pair = Pair(Path(loss=0.05, jitter=0.01), settings=(settings, settings)).connect()
        pair.send(pair.a, 1, blobs(5000, 40))

    @pytest.mark.parametrize("size", [1, 30, 300])
    def test_a_slow_reader_of_small_messages(self, size):
        settings = AssociationSettings(window=64 * KIB, max_message_size=16 * KIB)
        pair = Pair(settings=(settings, settings)).connect()
        pair.b.reads = False
        messages = blobs(4000, size)
        for message in messages:
            pair.a.association.send(1, 53, message)
        pair.run_for(10.0)
        most = max(64 * KIB * COST_LIMIT // MESSAGE_COST, 64 * KIB // FREE_SHARE // size)
        assert len(pair.b.received[1]) <= most + 1
        for _ in range(600):
            pair.run_for(0.1)
            pair.b.association.consume(min(200 * size, pair.b.unread), pair.now)
        assert pair.b.received[1] == messages

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
            if ChunkType.RE_CONFIG in chunk_types(packet) and left["count"]:
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

    @pytest.mark.parametrize("path", [{}, {"loss": 0.1}, {"jitter": 0.02, "duplication": 0.1}], ids=str)
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_both_use_the_same_ids_again_and_again(self, path, seed):
        pair = Pair(Path(**path), Path(**path), seed=seed).connect()
        lives = [[b"%d of %d" % (life, stream_id)] * 3 for stream_id in (0, 1) for life in range(8)]
        for end in pair.ends:
            for number, messages in enumerate(lives):
                for message in messages:
                    end.association.send(number // 8, 53, message)
                end.association.reset_stream(number // 8)
                if number % 3:
                    pair.flush()
                pair.run(lambda end=end, number=number: len(end.confirmed) > number)
        for end in pair.ends:
            assert end.finished == {0: lives[:8], 1: lives[8:]}

    def test_both_end_and_reuse_a_stream_in_the_same_moment(self):
        pair = Pair(Path(loss=0.1), Path(loss=0.1)).connect()
        for life in range(20):
            for end in pair.ends:
                end.association.send(5, 53, b"%d" % life)
                end.association.reset_stream(5)
            pair.run(lambda life=life: all(len(end.confirmed) == life + 1 for end in pair.ends))
        for end in pair.ends:
            assert end.finished == {5: [[b"%d" % life] for life in range(20)]}

    def test_a_request_that_overtakes_data_is_deferred(self):
        def drops(packet, number):
            return 0 in chunk_types(packet) and pair.now < 0.3

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
        assert not pair.b.association._inbound.receiver._streams
        assert not pair.a.association._sender.queue._streams

    def test_a_peer_that_never_answers_requests(self):
        pair = Pair(Path(drops=lambda packet, number: ChunkType.RE_CONFIG in chunk_types(packet))).connect()
        pair.a.association.reset_stream(1)
        pair.run(lambda: pair.a.ended is not None, limit=80.0)
        assert "streams end" in pair.a.ended.reason


class TestEnd:
    def test_abort_tells_why(self):
        pair = Pair().connect()
        pair.a.association.abort("gone fishing")
        pair.run(lambda: pair.b.ended is not None)
        assert pair.b.ended.reason == "the peer aborted the association: gone fishing"
        assert not pair.b.ended.is_orderly
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


class TestPauses:
    @pytest.mark.parametrize("pause", [0.3, 1.3, 60.0])
    def test_the_window_shrinks_with_each_timeout_in_which_nothing_is_sent(self, pause):
        pair = Pair(Path(delay=0.05), Path(delay=0.05)).connect()
        pair.send(pair.a, 1, [bytes(16384)] * 100)
        sender = pair.a.association._sender
        pair.run(lambda: sender.is_idle)
        before, timeout, first = (
            sender.congestion.window,
            sender.rto.timeout,
            10 * sender.congestion.packet_size,
        )
        assert before > 8 * first
        pair.run_for(pause)
        pair.a.association.send(1, 53, bytes(16384))
        pair.flush()
        expected = max(before >> int(pause / timeout), first)
        assert sender.congestion.window == expected
        # Only once, however many packets follow.
        pair.run(lambda: sender.is_idle)
        assert sender.congestion.window >= expected

    def test_a_stream_of_messages_is_no_pause(self):
        pair = Pair(Path(delay=0.05), Path(delay=0.05)).connect()
        pair.send(pair.a, 1, [bytes(16384)] * 100)
        sender = pair.a.association._sender
        before = sender.congestion.window
        for _ in range(50):
            pair.send(pair.a, 1, [bytes(1000)])
            pair.run_for(0.2)
        assert sender.congestion.window >= before
