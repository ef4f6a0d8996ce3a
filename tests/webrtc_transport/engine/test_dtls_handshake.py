"""The handshake in virtual time: which flights are sent when."""

from itertools import pairwise

import pytest

from tests.compliance.engine_ends import CERTIFICATES
from tests.webrtc_transport.engine.virtual_driver import VirtualDriver
from webrtc_transport.engine.dtls import DtlsConnection, make_context
from webrtc_transport.engine.dtls_handshake import FIRST_RETRANSMISSION, DtlsHandshake
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
                self.driver.call_soon(self._deliver, end, datagram)

    @staticmethod
    def _deliver(end, datagram):
        if end.dtls.is_connected:
            end.handshake._send(end.dtls.repeat_flight())
        else:
            end.handshake.receive(datagram)

    def run(self):
        for end in (self.server, self.client):
            end.start()
        return self.driver.run(lambda: self.client.told and self.server.told)


def test_without_loss_no_timer_fires_and_none_is_left():
    pair = Pair()
    assert pair.run() == 0
    assert pair.client.told == pair.server.told == ["done"]
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
