"""Connections of webrtc-direct in virtual time."""

import pytest

from tests.webrtc_transport.engine.direct_ends import (
    CLIENT,
    FINGERPRINTS,
    MOVED,
    SERVER,
    DirectWire,
)
from webrtc_transport.engine.direct_peer import HANDSHAKE_TIMEOUT
from webrtc_transport.errors import (
    ConnectionClosed,
    ConnectionLost,
    ConnectTimeout,
    DtlsFailed,
    IceFailed,
    SctpFailed,
)
from webrtc_transport.protocol.limits import AMPLIFICATION_LIMIT
from webrtc_transport.protocol.stun import PacketKind, classify
from webrtc_transport.protocol.ufrag import Flow


def is_stun(data):
    return classify(data) is PacketKind.STUN


def record_type(data):
    return None if is_stun(data) else data[0]


class TestSetUp:
    @pytest.mark.parametrize("flow", Flow)
    def test_both_flows(self, flow):
        wire = DirectWire(flow=flow)
        wire.connect()
        assert wire.accepted == 1
        assert wire.outbound.remote_address == SERVER
        assert wire.inbound.remote_address == CLIENT
        assert wire.outbound.remote_fingerprint("sha-256") == FINGERPRINTS[0]
        assert wire.inbound.remote_fingerprint("sha-256") == FINGERPRINTS[1]

    def test_round_trips(self):
        # One for the check, two for DTLS, which the nomination doesn't hold up, and two for SCTP.
        assert DirectWire(delay=0.025).connect() <= 5.5 * 0.05

    def test_a_message_each_way(self):
        wire = DirectWire()
        wire.connect()
        (near, near_messages), (far, far_messages) = (
            end.open(negotiated_id=0) for end in (wire.dialer, wire.listener)
        )
        near.send(b"ping")
        far.send(b"pong")
        wire.run(lambda: near_messages.received and far_messages.received)
        assert (near_messages.received, far_messages.received) == ([b"pong"], [b"ping"])

    def test_channels_have_the_ids_of_their_roles(self):
        wire = DirectWire()
        wire.connect()
        opened = [end.open()[0] for end in (wire.dialer, wire.listener)]
        assert [channel.id % 2 for channel in opened] == [0, 1]
        wire.run(lambda: wire.dialer.inbound and wire.listener.inbound)

    @pytest.mark.parametrize("lost", range(12))
    def test_any_one_datagram_can_get_lost(self, lost):
        count = iter(range(10_000))
        wire = DirectWire(loses=lambda *_: next(count) == lost)
        assert wire.connect() < 2

    def test_an_unproven_address_gets_little(self):
        wire = DirectWire(loses=lambda direction, _: direction == "down")
        wire.run(lambda: wire.dialer.ended)
        # The dialer hears nothing, so it never comes to DTLS.
        assert sum(map(len, wire.down)) <= AMPLIFICATION_LIMIT * sum(map(len, wire.up))
        assert wire.accepted == 0

    def test_a_spoofed_hello_is_not_answered_with_more_than_three_times_its_size(self):
        wire = DirectWire(
            loses=lambda direction, data: direction == "up" and record_type(data) == 22 and wire.accepted
        )
        wire.run(lambda: wire.listener.ended)
        received = [data for data in wire.up if is_stun(data)] + [
            next(data for data in wire.up if not is_stun(data))
        ]
        assert any(not is_stun(data) for data in wire.down)
        assert sum(map(len, wire.down)) <= AMPLIFICATION_LIMIT * sum(map(len, received))

    def test_phases(self):
        wire = DirectWire()
        wire.connect()
        assert wire.dialer.phases == ["ice", "dtls", "sctp", "connected"]
        # Who listens is asked when DTLS begins.
        assert wire.listener.phases == ["dtls", "sctp", "connected"]

    def test_candidate_pair(self):
        wire = DirectWire()
        assert wire.outbound.candidate_pair is None
        wire.connect()
        for peer, near, far, kind in (
            (wire.outbound, CLIENT, SERVER, "host"),
            (wire.inbound, SERVER, CLIENT, "prflx"),
        ):
            pair = peer.candidate_pair
            assert (pair.local.address, pair.local.port) == near
            assert (pair.remote.address, pair.remote.port) == far
            assert pair.kind == kind

    def test_what_is_over_opens_nothing(self):
        wire = DirectWire()
        assert wire.outbound.statistics().bytes_sent == 0
        wire.connect()
        assert wire.outbound.statistics().bytes_sent > 0
        wire.outbound.close(ConnectionClosed("enough"))
        with pytest.raises(ConnectionClosed):
            wire.dialer.open()


class TestFailure:
    def test_nobody_there(self):
        wire = DirectWire(loses=lambda *_: True)
        assert wire.run(lambda: wire.dialer.ended) == pytest.approx(10)
        assert isinstance(wire.dialer.ended, IceFailed | ConnectTimeout)
        assert wire.gone == [wire.outbound]

    def test_another_certificate_than_dialed(self):
        wire = DirectWire(fingerprint=FINGERPRINTS[1])
        wire.run(lambda: wire.dialer.ended and wire.listener.ended)
        assert isinstance(wire.dialer.ended, DtlsFailed)
        assert isinstance(wire.listener.ended, DtlsFailed | SctpFailed)
        assert not wire.dialer.is_established
        assert not wire.listener.is_established

    def test_a_peer_that_stops_during_dtls(self):
        wire = DirectWire(loses=lambda _, data: record_type(data) is not None)
        wire.run(lambda: wire.dialer.ended)
        assert isinstance(wire.dialer.ended, ConnectTimeout)
        assert str(wire.dialer.ended).startswith("DTLS wasn't done within 10 s")
        wire.run(lambda: len(wire.gone) == 2, limit=2 * HANDSHAKE_TIMEOUT)
        assert wire.accepted == 0

    def test_a_peer_that_stops_during_sctp(self):
        wire = DirectWire(loses=lambda direction, data: direction == "up" and record_type(data) == 23)
        wire.run(lambda: wire.dialer.ended and wire.listener.ended)
        for end in (wire.dialer, wire.listener):
            assert isinstance(end.ended, ConnectTimeout | SctpFailed)
            assert "SCTP" in str(end.ended)

    def test_data_of_nobody_begins_nothing(self):
        wire = DirectWire(loses=lambda _, data: record_type(data) is not None)
        wire.run(lambda: wire.inbound is not None and wire.inbound.remote_address)
        for data in (b"\x17\xfe\xfd" + bytes(30), b"\x14", b"\x3f" * 100):
            wire.inbound.packet_received(data, CLIENT)
        wire.inbound.packet_received(b"\x16" + bytes(100), MOVED)
        assert wire.accepted == 0

    def test_garbage_in_place_of_a_hello(self):
        wire = DirectWire(loses=lambda _, data: record_type(data) is not None)
        wire.run(lambda: wire.inbound is not None and wire.inbound.remote_address)
        for size in (1, 13, 100, 1400):
            wire.inbound.packet_received(b"\x16" * size, CLIENT)
        wire.run(lambda: len(wire.gone) == 2)
        assert not wire.listener.is_established

    def test_who_accepts_may_refuse(self):
        wire = DirectWire()
        wire._accept = lambda _peer: None
        wire.run(lambda: wire.inbound in wire.gone and wire.inbound is not None)
        assert not wire.listener.phases


class TestEnd:
    @pytest.mark.parametrize("first", ["dialer", "listener"])
    def test_closed_by_one_end(self, first):
        wire = DirectWire()
        wire.connect()
        ends = {"dialer": (wire.outbound, wire.listener), "listener": (wire.inbound, wire.dialer)}
        peer, other = ends[first]
        reason = ConnectionClosed("enough")
        peer.close(reason)
        peer.close(reason)
        wire.run(lambda: other.ended)
        assert isinstance(other.ended, ConnectionClosed)
        assert len(wire.gone) == 2
        assert wire.driver.pending <= 6

    def test_a_reason_of_our_own_is_told(self):
        wire = DirectWire()
        wire.connect()
        reason = ConnectionClosed("enough")
        wire.outbound.close(reason)
        assert wire.dialer.ended is reason

    def test_silence_is_noticed_by_both(self):
        wire = DirectWire(silence=6.0)
        wire.connect()
        wire.pass_time(20)
        assert wire.dialer.ended is wire.listener.ended is None
        wire.loses = lambda *_: True
        wire.run(lambda: wire.dialer.ended and wire.listener.ended, limit=6.5)
        for end in (wire.dialer, wire.listener):
            assert isinstance(end.ended, ConnectionLost)


class TestSilence:
    """What a peer's silence makes of the phase, before it ends the connection."""

    def cut(self, silence=30.0):
        """Both ends, connected, and since then without a packet."""
        wire = DirectWire(silence=silence)
        wire.connect()
        wire.pass_time(0.1)
        wire.loses = lambda *_: True
        return wire

    def test_who_misses_signs_of_life_is_disconnected_and_may_come_back(self):
        wire = self.cut()
        ends = (wire.listener, wire.dialer)
        wire.pass_time(7)
        assert [end.phases[-1] for end in ends] == ["connected", "connected"]
        wire.pass_time(12)
        assert [end.phases[-1] for end in ends] == ["disconnected", "disconnected"]
        wire.loses = lambda *_: False
        wire.pass_time(7)
        for end in ends:
            assert end.ended is None
            assert end.phases[-3:] == ["connected", "disconnected", "connected"]

    def test_it_is_told_within_the_time_that_the_listener_waits_at_most(self):
        wire = self.cut(silence=4.0)
        for end in (wire.listener, wire.dialer):
            wire.run(lambda end=end: end.phases[-1] == "disconnected", limit=2.5 + 0.1)
        wire.run(lambda: wire.listener.ended and wire.dialer.ended, limit=4)
        assert wire.listener.phases.count("disconnected") == wire.dialer.phases.count("disconnected") == 1

    def test_data_brings_a_peer_back_before_its_next_check(self):
        wire = self.cut()
        wire.pass_time(19)
        channel, _ = wire.dialer.open(negotiated_id=0)
        wire.loses = lambda direction, data: is_stun(data)
        channel.send(b"I am here")
        wire.run(lambda: wire.listener.phases[-1] == wire.dialer.phases[-1] == "connected", limit=2)

    def test_a_peer_that_is_idle_or_loses_a_packet_is_none(self):
        wire = DirectWire()
        wire.connect()
        # Each other check.
        checks = []
        wire.loses = lambda direction, data: (
            is_stun(data) and (checks.append(direction) or len(checks) % 3 == 0)
        )
        wire.pass_time(300)
        assert len(checks) > 50
        for end in (wire.listener, wire.dialer):
            assert "disconnected" not in end.phases


class TestMoving:
    def test_a_new_port_in_mid_transfer(self):
        wire = DirectWire()
        wire.connect()
        channel, _ = wire.dialer.open()
        wire.run(lambda: wire.listener.inbound)
        messages = wire.listener.inbound[0]
        expected = [bytes([number]) * 1000 for number in range(100)]
        for number, data in enumerate(expected):
            channel.send(data)
            if number == 50:
                wire.pass_time(0.1)
                wire.client_address = MOVED
        took = wire.run(lambda: len(messages.received) == len(expected))
        assert messages.received == expected
        assert wire.inbound.remote_address == MOVED
        # The first retransmission of SCTP has the path checked, which tells the listener where to answer.
        assert took < 3
