"""DTLS by memory BIOs: two ends, and what goes wrong between them. OpenSSL keeps its own clock in the handshake."""

from datetime import UTC, datetime

import pytest

from webrtc_transport.engine.dtls import (
    FLIGHT_MTU,
    RECORD_OVERHEAD,
    DtlsClosed,
    DtlsConnection,
    DtlsError,
    is_handshake,
    make_context,
    split_records,
)
from webrtc_transport.protocol.certificate import Certificate
from webrtc_transport.protocol.sdp import Fingerprint

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


def shake_hands(client, server, *, change=lambda datagrams: datagrams):
    """Pass flights to and fro until both are connected, or nothing is said any more."""
    flight = change(client.handshake())
    sender, receiver = client, server
    while flight:
        assert all(len(datagram) <= FLIGHT_MTU for datagram in flight)
        answer = []
        for datagram in flight:
            receiver.feed(datagram)
            answer += receiver.handshake() if not receiver.is_connected else []
        sender, receiver = receiver, sender
        flight = change(answer)


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
