"""DTLS by memory BIOs: two ends, and what goes wrong between them. OpenSSL keeps its own clock in the handshake."""

import contextlib
from datetime import UTC, datetime
from itertools import permutations

import pytest
from OpenSSL import SSL

from webrtc_transport.engine.dtls import (
    FLIGHT_MTU,
    RECORD_OVERHEAD,
    DtlsClosed,
    DtlsConnection,
    DtlsError,
    is_finished,
    is_handshake,
    make_context,
    split_records,
)
from webrtc_transport.protocol.certificate import Certificate
from webrtc_transport.protocol.sdp import Fingerprint

ALERT = 21
"""A type of record (RFC 6347, section 4.1)."""

CERTIFICATES = [Certificate.generate(now=datetime.now(UTC)) for _ in range(2)]
CONTEXTS = [make_context(certificate) for certificate in CERTIFICATES]


def fingerprint(certificate, algorithm="sha-256"):
    return Fingerprint(algorithm, certificate.fingerprint(algorithm))


def ends(*, client_expects=None, server_expects=None):
    client = DtlsConnection(
        CONTEXTS[0], is_server=False, fingerprints=client_expects or [fingerprint(CERTIFICATES[1])]
    )
    server = DtlsConnection(
        CONTEXTS[1], is_server=True, fingerprints=server_expects or [fingerprint(CERTIFICATES[0])]
    )
    return client, server


def shake_hands(client, server):
    """Pass flights to and fro until both are connected, or nothing is said any more."""
    deliver(client.handshake(), client, server)


def deliver(flight, sender, receiver):
    """Pass on a flight, and those that follow it."""
    while flight:
        assert all(len(datagram) <= FLIGHT_MTU for datagram in flight)
        answer = []
        for datagram in flight:
            if not receiver.is_connected:
                receiver.feed(datagram)
                answer += receiver.handshake()
        sender, receiver, flight = receiver, sender, answer


@pytest.fixture
def connected():
    client, server = ends()
    shake_hands(client, server)
    assert client.is_connected
    assert server.is_connected
    return client, server


def test_both_ends_exchange_data(connected):
    client, server = connected
    assert server.receive(client.send(b"ping")) == b"ping"
    assert client.receive(server.send(b"pong")) == b"pong"


def test_what_a_record_adds(connected):
    client, _ = connected
    assert len(client.send(bytes(1000))) == 1000 + RECORD_OVERHEAD


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-384", "sha-512"])
def test_any_of_the_fingerprints_proves_the_certificate(algorithm):
    wrong = Fingerprint("sha-256", bytes(32))
    client, server = ends(client_expects=[wrong, fingerprint(CERTIFICATES[1], algorithm)])
    shake_hands(client, server)
    assert client.is_connected


@pytest.mark.parametrize("side", ["client_expects", "server_expects"])
def test_another_certificate_is_refused(side):
    client, server = ends(**{side: [Fingerprint("sha-256", bytes(32))]})
    with pytest.raises(DtlsError, match="does not match its description"):
        shake_hands(client, server)


def test_a_lost_flight_is_sent_again_as_it_was():
    client, server = ends()
    client.handshake()
    for datagram in client.repeat_flight():
        server.feed(datagram)
    flight = server.handshake()
    assert flight
    assert server.repeat_flight() == flight


@pytest.mark.parametrize(
    "datagram",
    [b"\x17", bytes(100), b"\x17\xfe\xfd" + bytes(50), b"\x16\xfe\xfd" + bytes(10) + b"\xff" * 20],
)
def test_garbage_is_ignored(connected, datagram):
    client, server = connected
    assert server.receive(datagram) == b""
    assert server.receive(client.send(b"still here")) == b"still here"


def test_a_repeated_or_forged_record_is_ignored(connected):
    client, server = connected
    datagram = client.send(b"once")
    assert server.receive(datagram) == b"once"
    assert server.receive(datagram) == b""
    forged = bytearray(client.send(b"never"))
    forged[-1] ^= 1
    assert server.receive(bytes(forged)) == b""
    assert server.receive(client.send(b"after")) == b"after"


def test_a_close_is_told(connected):
    client, server = connected
    with pytest.raises(DtlsClosed):
        for datagram in client.close():
            server.receive(datagram)


def test_closing_in_the_middle_of_a_handshake():
    client, _ = ends()
    client.handshake()
    client.close()


def test_a_handshake_of_garbage_fails_by_name():
    client, _ = ends()
    client.handshake()
    alert = b"\x15\xfe\xfd" + bytes(8) + b"\x00\x02" + b"\x02\x28"
    client.feed(alert)
    with pytest.raises(DtlsError, match="alert"):
        client.handshake()


def test_handshake_records_are_known_by_their_first_byte(connected):
    client, _ = connected
    assert not is_handshake(client.send(b"data"))
    fresh, _ = ends()
    assert all(map(is_handshake, fresh.handshake()))


@pytest.mark.parametrize("algorithm", ["sha-256", "sha-512"])
def test_whose_certificate_is_unknown_beforehand_is_told_afterwards(algorithm):
    client = DtlsConnection(CONTEXTS[0], is_server=False, fingerprints=[fingerprint(CERTIFICATES[1])])
    server = DtlsConnection(CONTEXTS[1], is_server=True, fingerprints=None)
    shake_hands(client, server)
    assert server.is_connected
    assert server.peer_fingerprint(algorithm) == fingerprint(CERTIFICATES[0], algorithm)
    assert client.peer_fingerprint(algorithm) == fingerprint(CERTIFICATES[1], algorithm)


def test_a_datagram_of_several_records_is_split(connected):
    client, server = connected
    records = [client.send(data) for data in (b"one", b"two", b"three")]
    assert split_records(b"".join(records)) == records
    assert [server.receive(record) for record in split_records(b"".join(records))] == [
        b"one",
        b"two",
        b"three",
    ]
    assert split_records(records[0]) == records[:1]
    for cut in (b"\x17", records[0][:20], records[0] + b"tail"):
        assert b"".join(split_records(cut)) == cut


def test_a_datagram_of_the_shortest_records_is_split_without_end(connected):
    assert len(split_records(bytes(4096))) == -(-4096 // 13)


# --- records that get lost or overtake each other --------------------------------------------------------------------

FLIGHTS = ["the client's hello", "the server's", "the client's", "the server's last"]


def one_by_one(flight):
    """As a peer repeats a flight: each record in a datagram of its own."""
    return [record for datagram in flight for record in split_records(datagram)]


def arrivals(flight):
    """Every way in which a flight may arrive: in any order, with any one record lost until it is all repeated."""
    records = one_by_one(flight)
    yield from map(list, permutations(records))
    for lost in records:
        rest = [record for record in records if record is not lost]
        for order in permutations(rest):
            yield [*order, *records]
            yield [*order, *reversed(records)]


def flights_until(number):
    """Two ends, and the flight of this number, which is still under way."""
    ends_ = client, server = ends()
    flight = client.handshake()
    for sent in range(number):
        receiver = ends_[1 - sent % 2]
        for datagram in flight:
            receiver.feed(datagram)
        flight = receiver.handshake()
    return client, server, flight


@pytest.mark.parametrize("number", range(4), ids=FLIGHTS)
def test_records_arrive_in_any_order(number):
    *_, example = flights_until(number)
    count = len(list(arrivals(example)))
    for way in range(count):
        client, server, flight = flights_until(number)
        sender, receiver = (server, client) if number % 2 else (client, server)
        deliver(list(arrivals(flight))[way], sender, receiver)
        assert client.is_connected, way
        assert server.is_connected, way
        assert server.receive(client.send(b"ping")) == b"ping"
        assert client.receive(server.send(b"pong")) == b"pong"


def test_what_comes_before_the_handshake_is_done_is_not_lost_and_delays_nothing():
    client, server, flight = flights_until(3)
    for number in range(3):
        client.feed(server.send(b"early %d" % number))
        assert client.handshake() == []
    for datagram in flight:
        client.feed(datagram)
    client.handshake()
    assert list(client.early_contents()) == [b"early 0", b"early 1", b"early 2"]
    assert list(client.early_contents()) == []
    assert client.receive(server.send(b"later")) == b"later"


def test_a_close_that_comes_before_the_handshake_is_done_is_told():
    client, server, flight = flights_until(3)
    for datagram in (server.send(b"last words"), *server.close(), *flight):
        client.feed(datagram)
        client.handshake()
    contents = client.early_contents()
    assert next(contents) == b"last words"
    with pytest.raises(DtlsClosed):
        next(contents)


def test_a_forged_change_cipher_spec_does_no_harm():
    for number in range(4):
        client, server, flight = flights_until(number)
        sender, receiver = (server, client) if number % 2 else (client, server)
        forged = b"\x14\xfe\xfd" + bytes(7) + b"\x63" + b"\x00\x01\x01"
        for _ in range(100):
            receiver.feed(forged)
            assert receiver.handshake() == []
        deliver(flight, sender, receiver)
        assert client.is_connected
        assert server.is_connected


def test_a_finished_is_known_by_its_epoch():
    *_, flight = flights_until(2)
    assert [is_finished(record) for record in one_by_one(flight)] == [False] * 4 + [True]


def test_a_record_too_large_is_dropped_and_moves_nothing(connected):
    client, server = connected
    assert server.receive(client.send(bytes(9000))) == b""
    assert server.receive(client.send(b"next")) == b"next"


@pytest.mark.parametrize("is_server", [True, False])
def test_a_peer_that_wants_to_renegotiate_is_refused_and_the_connection_goes_on(monkeypatch, is_server):
    with monkeypatch.context() as patch:
        patch.setattr(SSL, "OP_NO_RENEGOTIATION", SSL.OP_NO_TICKET)
        theirs = DtlsConnection(make_context(CERTIFICATES[1]), is_server=is_server, fingerprints=None)
    ours = DtlsConnection(CONTEXTS[0], is_server=not is_server, fingerprints=[fingerprint(CERTIFICATES[1])])
    shake_hands(*((ours, theirs) if is_server else (theirs, ours)))
    assert theirs._ssl.renegotiate()
    # A server's request doesn't wait for an answer; a client's hello does.
    with contextlib.suppress(SSL.WantReadError):
        theirs._ssl.do_handshake()
    (request,) = theirs.last_words()
    assert ours.receive(request) == b""
    # Refused by an alert (RFC 5246, section 7.2.2: no_renegotiation), and nothing else: no new handshake is begun.
    assert [datagram[0] for datagram in ours.last_words()] == [ALERT]
    assert ours.is_connected
    assert list(theirs.early_contents()) == []
    assert len(ours.send(b"goes on")) == 7 + RECORD_OVERHEAD
    for number in range(100):
        ours.receive(bytes(request[:11]) + number.to_bytes(2) + request[13:])
        ours.last_words()
    assert len(ours.send(b"goes on")) == 7 + RECORD_OVERHEAD
