"""The handshake in virtual time: which flights are sent when."""

import random
from itertools import pairwise

import pytest

from tests.compliance.engine_ends import CERTIFICATES
from tests.links import Path
from tests.webrtc_transport.engine.virtual_driver import VirtualDriver
from webrtc_transport.engine.dtls import DtlsConnection, is_finished, make_context, split_records
from webrtc_transport.engine.dtls_handshake import (
    FIRST_RETRANSMISSION,
    MAX_RETRANSMISSION,
    MIN_PAUSE,
    DtlsHandshake,
)
from webrtc_transport.protocol.sdp import Fingerprint


class End:
    def __init__(self, driver, send, *, is_server, fingerprint=None):
        own, other = CERTIFICATES[not is_server], CERTIFICATES[is_server]
        digest = fingerprint or other.fingerprint("sha-256")
        self.told, self.is_server, self.flights = [], is_server, []
        self.dtls = DtlsConnection(
            make_context(own), is_server=is_server, fingerprints=[Fingerprint("sha-256", digest)]
        )

        def send_flight(flight):
            self.flights.append((driver.time, flight))
            send(flight)

        self.handshake = DtlsHandshake(
            driver, self.dtls, send_flight, lambda: self.told.append("done"), self.told.append
        )

    def start(self):
        self.handshake.start(is_server=self.is_server)


class Pair:
    def __init__(self, loses=lambda number: False, **options):
        self.driver = VirtualDriver()
        self.loses = loses
        self.count = 0
        self.client = End(
            self.driver, lambda flight: self._carry(flight, self.server), is_server=False, **options
        )
        self.server = End(self.driver, lambda flight: self._carry(flight, self.client), is_server=True)

    def _carry(self, flight, end):
        self.count += 1
        if not self.loses(self.count):
            for datagram in flight:
                self.driver.call_soon(self.deliver, end, datagram)

    @staticmethod
    def deliver(end, datagram):
        if not end.dtls.is_connected:
            end.handshake.receive(datagram)
            return
        for record in split_records(datagram):
            assert end.dtls.receive(record) == b""
            if is_finished(record):
                end.handshake.finished_again()

    def run(self):
        for end in (self.server, self.client):
            end.start()
        return self.driver.run(lambda: self.client.told and self.server.told)


def test_without_loss_no_timer_fires_and_none_is_left():
    pair = Pair()
    assert pair.run() == 0
    assert pair.client.told == pair.server.told == ["done"]
    # The server's last flight may have been lost. As soon as the client is heard, it wasn't.
    assert pair.driver.pending == 1
    pair.server.handshake.stop()
    assert pair.driver.pending == 0


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_lost_flight_is_sent_again_after_a_tenth_of_a_second(lost):
    pair = Pair(loses=lambda number: number == lost)
    assert pair.run() == pytest.approx(FIRST_RETRANSMISSION)
    assert pair.client.told == pair.server.told == ["done"]


def test_the_pauses_double():
    pair = Pair(loses=lambda number: number <= 4)
    assert pair.run() == pytest.approx((1 + 2 + 4 + 8) * FIRST_RETRANSMISSION)
    times = [time for time, _ in pair.client.flights[:5]]
    assert [b - a for a, b in pairwise(times)] == pytest.approx([0.1, 0.2, 0.4, 0.8])


def test_the_pauses_grow_to_a_second_and_start_again_with_the_next_flight():
    pair = Pair(loses=lambda number: number <= 6)
    pair.run()
    assert 3.0 < pair.client.flights[6][0] - pair.client.flights[0][0] <= 1.5 + 2 * MAX_RETRANSMISSION
    lost = Pair(loses=lambda number: 3 <= number <= 6 or number == 10)
    lost.run()
    pauses = [b - a for (a, _), (b, _) in pairwise(lost.server.flights)]
    assert max(pauses) <= MAX_RETRANSMISSION
    assert pauses[-1] <= FIRST_RETRANSMISSION * 1.001


def test_a_server_repeats_its_last_flight_unasked_until_the_client_is_heard():
    pair = Pair(loses=lambda number: number >= 4)
    for end in (pair.server, pair.client):
        end.start()
    pair.driver.run(lambda: len(pair.server.flights) == 5)
    times = [time for time, _ in pair.server.flights[1:]]
    assert [b - a for a, b in pairwise(times)] == pytest.approx([0.1, 0.2, 0.4])
    assert len({tuple(flight) for _, flight in pair.server.flights[1:]}) == 1
    pair.server.handshake.stop()
    sent = len(pair.server.flights)
    for datagram in pair.client.dtls.repeat_flight():
        pair.deliver(pair.server, datagram)
    assert len(pair.server.flights) == sent


def test_who_asks_often_is_answered_seldom_and_a_client_never():
    pair = Pair()
    pair.run()
    (asking,) = pair.client.dtls.repeat_flight()
    counts = [len(pair.server.flights), len(pair.client.flights)]
    for _ in range(100):
        pair.deliver(pair.server, asking)
    assert len(pair.server.flights) == counts[0]
    pair.driver.time += 1.001 * MIN_PAUSE
    for _ in range(100):
        pair.deliver(pair.server, asking)
    assert len(pair.server.flights) == counts[0] + 1
    for datagram in pair.server.dtls.repeat_flight():
        pair.deliver(pair.client, datagram)
    assert len(pair.client.flights) == counts[1]


class RoughPair(Pair):
    """Each record is a datagram of its own: they get lost, come twice and overtake each other."""

    def __init__(self, seed, **path):
        super().__init__()
        self._rng = random.Random(seed)
        self._path = Path(**path)

    def _carry(self, flight, end):
        for datagram in flight:
            for record in split_records(datagram):
                for at, carried in self._path.arrivals(record, self.driver.time, self._rng):
                    self.driver.call_at(at, lambda carried=carried: self.deliver(end, carried))


@pytest.mark.parametrize("loss", [0.0, 0.05, 0.3])
def test_records_that_overtake_each_other_cost_no_time(loss):
    took = []
    for seed in range(100):
        pair = RoughPair(seed, delay=0.005, jitter=0.003, loss=loss, duplication=0.05)
        took.append(pair.run())
        assert pair.client.told == pair.server.told == ["done"]
    assert max(took) < {0.0: 4 * 0.0081, 0.05: 1.0, 0.3: 5.0}[loss], sorted(took)[-5:]


def test_a_wrong_certificate_is_told_once_and_ends_it():
    pair = Pair(fingerprint=bytes(32))
    for end in (pair.server, pair.client):
        end.start()
    pair.driver.run(lambda: pair.client.told)
    assert [str(error) for error in pair.client.told] == [
        "the peer's certificate does not match its description"
    ]
    pair.client.handshake.receive(b"\x16more")
    assert len(pair.client.told) == 1


def test_after_stop_nothing_is_sent():
    pair = Pair(loses=lambda number: True)
    pair.client.start()
    pair.client.handshake.stop()
    pair.client.handshake.receive(b"\x16late")
    assert pair.driver.pending == 0
    assert len(pair.client.flights) == 1
