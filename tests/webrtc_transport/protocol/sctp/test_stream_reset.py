import struct

import pytest

from tests.links import Pair, chunk_types
from webrtc_transport.protocol.sctp.packet import COMMON_HEADER, SACK_HEADER, ChunkType, PacketError
from webrtc_transport.protocol.sctp.rto import RtoEstimator
from webrtc_transport.protocol.sctp.settings import BASE_PACKET_SIZE
from webrtc_transport.protocol.sctp.stream_reset import (
    MAX_DEFERRED,
    MAX_POSTPONEMENT,
    MAX_STREAMS_PER_REQUEST,
    MAX_TRIES,
    REQUEST_INTERVAL,
    Result,
    StreamResetter,
)


class Resetter(StreamResetter):
    """One with a peer's TSN that can be set."""

    def __init__(self):
        self.arrived = self.acknowledged = 0
        super().__init__(
            *(0xFFFFFFFF, 500, RtoEstimator()),
            lambda tsn: tsn <= self.arrived,
            lambda tsn: tsn <= self.acknowledged,
        )

    def ask(self, number, last_tsn, *streams, kind=13):
        body = struct.pack("!III", number, 0, last_tsn) + struct.pack(f"!{len(streams)}H", *streams)
        return self.results(struct.pack("!HH", kind, 4 + len(body)) + body + bytes(-len(body) % 4))

    def results(self, value, now=0.0):
        return [struct.unpack("!II", answer[8:16]) for answer in self.receive(memoryview(value), now)]

    def respond(self, number, result, now=0.0):
        assert self.results(struct.pack("!HHII", 16, 12, number, result), now) == []


@pytest.fixture
def resetter():
    return Resetter()


def parse(chunk):
    number, _, last_tsn = struct.unpack_from("!III", chunk, 8)
    length = struct.unpack_from("!H", chunk, 6)[0]
    return number, last_tsn, [stream_id for (stream_id,) in struct.iter_unpack("!H", chunk[20 : 4 + length])]


class TestUnsupported:
    """The peer's INIT does not list RE-CONFIG among what it knows."""

    @pytest.fixture
    def pair(self, monkeypatch):
        monkeypatch.setattr("webrtc_transport.protocol.sctp.handshake._EXTENSIONS", frozenset({192}))
        return Pair().connect()

    def test_closing_a_channel_ends_the_association_at_once_and_by_name(self, pair):
        sent = []
        pair.observe = lambda end, packet: sent.extend(chunk_types(packet))
        pair.send(pair.a, 1, [b"data"])
        begin = pair.now
        pair.a.association.reset_stream(1)
        pair.flush()
        assert pair.a.ended is not None
        pair.run(lambda: pair.b.ended is not None)
        assert pair.now - begin < 0.1
        assert "does not know how (its SCTP has no RE-CONFIG, RFC 6525)" in pair.a.ended.reason
        assert not pair.a.ended.is_orderly
        assert pair.a.ended.reason in pair.b.ended.reason
        assert ChunkType.RE_CONFIG not in sent

    def test_what_needs_no_reset_goes_on(self, pair):
        pair.send(pair.a, 1, [b"data"] * 10)
        pair.send(pair.b, 1, [b"data"] * 10)
        pair.run_for(60.0)
        assert pair.a.ended is None


class TestOurs:
    def test_a_request_is_repeated_until_it_is_answered(self, resetter):
        resetter.request([1, 2])
        (chunk,) = resetter.output(77, 0.0)
        assert parse(chunk) == (0xFFFFFFFF, 77, [1, 2])
        assert resetter.output(78, 0.5) == []
        resetter.handle_timer(1.0)
        assert resetter.output(79, 1.0) == [chunk]
        assert resetter.timer == 3.0
        resetter.respond(0xFFFFFFFF, Result.PERFORMED)
        assert resetter.outbound_reset == [1, 2]
        assert resetter.timer is None

    def test_one_at_a_time_with_numbers_that_wrap_around(self, resetter):
        resetter.request([1])
        resetter.output(0, 0.0)
        resetter.request([2])
        assert resetter.output(0, 0.0) == []
        resetter.respond(0xFFFFFFFF, Result.NOTHING_TO_DO)
        (chunk,) = resetter.output(0, REQUEST_INTERVAL)
        assert parse(chunk)[0] == 0
        resetter.respond(0, Result.PERFORMED)
        assert resetter.outbound_reset == [1, 2]

    def test_streams_that_end_soon_after_others_share_a_request(self, resetter):
        resetter.request([1])
        resetter.output(0, 1.0)
        resetter.respond(0xFFFFFFFF, Result.PERFORMED)
        for stream_id in (2, 3):
            resetter.request([stream_id])
            assert resetter.output(0, 1.0) == []
        due = 1.0 + REQUEST_INTERVAL
        assert resetter.timer == due
        resetter.handle_timer(due)
        (chunk,) = resetter.output(5, due)
        assert parse(chunk) == (0, 5, [2, 3])
        assert resetter.timer > due
        # It is repeated as the first was.
        resetter.handle_timer(resetter.timer)
        assert resetter.output(9, due + 2.0) == [chunk]

    def test_a_full_request_waits_for_no_others(self, resetter):
        resetter.request([0])
        resetter.output(0, 1.0)
        resetter.respond(0xFFFFFFFF, Result.PERFORMED)
        resetter.request(list(range(1, MAX_STREAMS_PER_REQUEST + 1)))
        (chunk,) = resetter.output(0, 1.0)
        assert len(parse(chunk)[2]) == MAX_STREAMS_PER_REQUEST

    def test_many_streams_are_several_requests(self, resetter):
        resetter.request(list(range(2 * MAX_STREAMS_PER_REQUEST)))
        (chunk,) = resetter.output(0, 0.0)
        assert parse(chunk)[2] == list(range(MAX_STREAMS_PER_REQUEST))
        assert len(chunk) + SACK_HEADER.size <= BASE_PACKET_SIZE - COMMON_HEADER.size

    def test_stale_responses_mean_nothing(self, resetter):
        resetter.respond(0xFFFFFFFF, Result.PERFORMED)
        resetter.request([1])
        resetter.output(0, 0.0)
        resetter.respond(0xFFFFFFFE, Result.PERFORMED)
        resetter.respond(0, Result.DENIED)
        assert resetter.outbound_reset == []
        assert resetter.failure is None

    @pytest.mark.parametrize("result", [Result.IN_PROGRESS, Result.ALREADY_IN_PROGRESS])
    def test_a_peer_that_waits_for_data_is_asked_again_for_ever(self, resetter, result):
        resetter.request([1])
        now = 0.0
        for _ in range(3 * MAX_TRIES):
            assert len(resetter.output(7, now)) == 1
            resetter.respond(0xFFFFFFFF, result, now)
            assert resetter.output(7, now) == []
            now = resetter.timer
            resetter.handle_timer(now)
        assert now < MAX_POSTPONEMENT
        resetter.respond(0xFFFFFFFF, result, 10 * MAX_POSTPONEMENT)
        assert resetter.failure is None

    def test_one_that_has_all_data_and_was_asked_again_has_done_it(self, resetter):
        # What usrsctp says of a number stays what it said first.
        resetter.request([1])
        resetter.output(7, 0.0)
        resetter.respond(0xFFFFFFFF, Result.IN_PROGRESS, 0.0)
        resetter.acknowledged = 7
        resetter.handle_timer(resetter.timer)
        assert len(resetter.output(8, 1.0)) == 1
        resetter.respond(0xFFFFFFFF, Result.IN_PROGRESS, 1.1)
        assert resetter.outbound_reset == [1]
        assert resetter.timer is None
        resetter.request([2])
        resetter.acknowledged = 8
        (chunk,) = resetter.output(8, 2.0)
        assert parse(chunk) == (0, 8, [2])
        # It had all before it was asked, and says that of something else.
        resetter.respond(0, Result.IN_PROGRESS, 2.1)
        assert resetter.outbound_reset == [1]

    @pytest.mark.parametrize("early", [1, 2, 5])
    def test_answers_from_before_it_had_all_data_may_be_on_their_way_for_long(self, resetter, early):
        resetter.request([1])
        for _ in range(early):
            assert len(resetter.output(7, resetter.timer or 0.0)) == 1
            resetter.handle_timer(resetter.timer)
        resetter.acknowledged = 7
        assert len(resetter.output(7, resetter.timer or 100.0)) == 1
        for _ in range(early):
            resetter.respond(0xFFFFFFFF, Result.IN_PROGRESS, 100.1)
            assert resetter.outbound_reset == []
        resetter.respond(0xFFFFFFFF, Result.IN_PROGRESS, 100.2)
        assert resetter.outbound_reset == [1]

    def test_one_that_has_all_data_is_not_asked_for_ever(self, resetter):
        result = Result.ALREADY_IN_PROGRESS
        now = 0.0
        for tsn in (7, 9):
            resetter.acknowledged = tsn - 1
            resetter.request([1])
            resetter.output(tsn, now)
            number = resetter._number
            resetter.respond(number, result, now)
            resetter.acknowledged = tsn
            for later in (0.0, MAX_POSTPONEMENT - 1):
                resetter.respond(number, result, now + later)
                assert resetter.failure is None
            now += MAX_POSTPONEMENT
            if tsn == 7:
                resetter.respond(number, Result.PERFORMED, now)
        resetter.respond(number, result, now)
        assert "carry out" in resetter.failure

    @pytest.mark.parametrize("result", [Result.DENIED, Result.WRONG_SSN, Result.BAD_SEQUENCE_NUMBER, 99])
    def test_refusals(self, resetter, result):
        resetter.request([1])
        resetter.output(0, 0.0)
        resetter.respond(0xFFFFFFFF, result)
        assert "refuses" in resetter.failure

    def test_no_answer(self, resetter):
        resetter.request([1])
        sent = 0
        while resetter.failure is None:
            sent += len(resetter.output(0, resetter.timer or 0.0))
            resetter.handle_timer(resetter.timer)
        assert sent == MAX_TRIES


class TestThePeers:
    def test_data_is_waited_for(self, resetter):
        assert resetter.ask(500, 7, 1, 2) == [(500, Result.IN_PROGRESS)]
        assert resetter.ask(500, 7, 1, 2) == [(500, Result.IN_PROGRESS)]
        resetter.arrived = 7
        resetter.check_deferred()
        assert resetter.inbound_reset == [1, 2]
        assert resetter.ask(500, 7, 1, 2) == [(500, Result.PERFORMED)]
        assert resetter.inbound_reset == [1, 2]

    def test_one_may_come_back_under_a_new_number(self, resetter):
        resetter.ask(500, 7, 1, 2)
        assert resetter.ask(501, 7, 1, 2) == [(501, Result.IN_PROGRESS)]
        resetter.arrived = 7
        assert resetter.ask(502, 7, 1, 2) == [(502, Result.PERFORMED)]
        assert resetter.inbound_reset == [1, 2]

    def test_more_than_can_wait_are_put_off(self, resetter):
        for number in range(4):
            streams = range(1000 * number, 1000 * (number + 1))
            assert resetter.ask(500 + number, 7, *streams) == [(500 + number, Result.IN_PROGRESS)]
        more = range(4000, 5000)
        assert resetter.ask(504, 7, *more) == [(504, Result.ALREADY_IN_PROGRESS)]
        assert len(resetter.deferred) <= MAX_DEFERRED
        resetter.arrived = 7
        resetter.check_deferred()
        assert resetter.ask(504, 7, *more) == [(504, Result.PERFORMED)]
        assert resetter.inbound_reset == list(range(5000))

    @pytest.mark.parametrize("number", [498, 501, 0, 0xFFFFFFFF])
    def test_numbers_out_of_order(self, resetter, number):
        assert resetter.ask(number, 0, 1) == [(number, Result.BAD_SEQUENCE_NUMBER)]
        assert resetter.inbound_reset == []

    @pytest.mark.parametrize("kind", [14, 15, 17, 18])
    def test_other_requests_are_denied_and_counted(self, resetter, kind):
        assert resetter.ask(500, 0, 1, kind=kind) == [(500, Result.DENIED)]
        assert resetter.ask(501, 0, 1) == [(501, Result.PERFORMED)]

    def test_all_streams_at_once_is_denied(self, resetter):
        assert resetter.ask(500, 0) == [(500, Result.DENIED)]

    def test_two_parameters_in_one_chunk(self, resetter):
        resetter.request([9])
        resetter.output(0, 0.0)
        value = struct.pack("!HHII", 16, 12, 0xFFFFFFFF, 1) + struct.pack("!HHIIIHH", 13, 20, 500, 0, 0, 4, 5)
        assert resetter.results(value) == [(500, Result.PERFORMED)]
        assert resetter.outbound_reset == [9]
        assert resetter.inbound_reset == [4, 5]

    @pytest.mark.parametrize("value", ["000d000400", "000d0006aaaa0000", "00100008aaaaaaaa", "000dffff"])
    def test_malformed(self, resetter, value):
        with pytest.raises(PacketError):
            resetter.receive(memoryview(bytes.fromhex(value)), 0.0)
