"""Who gets which datagram, and what it takes to become somebody."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.webrtc_transport.protocol.ice_checks import CLIENT, OTHER, check
from webrtc_transport.protocol.admission import Admission
from webrtc_transport.protocol.demux import Check, Demultiplexer, DropReason, Newcomer
from webrtc_transport.protocol.limits import (
    MAX_PEER_ADDRESSES,
    MIN_HALF_OPEN_SECONDS,
    PEER_MOVES_BURST,
    PEER_MOVES_PER_SECOND,
)
from webrtc_transport.protocol.rate_limit import Rate
from webrtc_transport.protocol.stun import Attribute
from webrtc_transport.protocol.stun_message import binding_success, encode_message
from webrtc_transport.protocol.ufrag import Flow, new_credentials

CREDENTIALS = new_credentials(Flow.V2)
PASSWORD = CREDENTIALS.server.password.encode()
OPEN = Rate(1e6, 1e6)
SHUT = Rate(0, 0)


def demultiplexer(**settings) -> Demultiplexer[str]:
    admission = Admission(0, per_prefix=OPEN, total=OPEN)
    return Demultiplexer(0, **({"admission": admission} | settings))


def join(demux: Demultiplexer[str], peer: str, address=CLIENT, now=0.0, credentials=None) -> Newcomer[str]:
    newcomer = demux.route_stun(check(credentials or new_credentials(Flow.V2)), address, now)
    assert isinstance(newcomer, Newcomer)
    demux.add(peer, newcomer, address, now)
    return newcomer


def drop_reason(demux: Demultiplexer[str], data: bytes, address=CLIENT, now=0.0) -> DropReason:
    demux.dropped.clear()
    assert demux.route_stun(data, address, now) is None
    [(reason, count)] = demux.dropped.items()
    assert count == 1
    return reason


@pytest.fixture
def demux() -> Demultiplexer[str]:
    demux = demultiplexer()
    join(demux, "alice", credentials=CREDENTIALS)
    return demux


class TestByAddress:
    def test_a_peer_is_found(self, demux):
        assert demux.peer_at(CLIENT) == "alice"
        assert demux.peer_at(OTHER) is None
        assert demux.dropped[DropReason.UNKNOWN_SOURCE] == 1

    def test_its_stun_too(self, demux):
        for data in (
            check(CREDENTIALS),
            check(CREDENTIALS, password=b"wrong" * 5),
            binding_success(bytes(12), CLIENT, PASSWORD),
            encode_message(1, bytes(12), []),
        ):
            outcome = demux.route_stun(data, CLIENT, 0)
            assert isinstance(outcome, Check)
            assert outcome.peer == "alice"

    def test_a_forgotten_peer_is_not(self, demux):
        demux.forget("alice")
        demux.forget("alice")
        assert demux.peer_at(CLIENT) is None
        assert len(demux) == demux.half_open == 0
        assert isinstance(demux.route_stun(check(CREDENTIALS), CLIENT, 0), Newcomer)


class TestStrangers:
    def test_they_are_counted(self, demux):
        demux.peer_at(OTHER)
        demux.route_stun(bytes(20), OTHER, 0)
        demux.peer_at(CLIENT)
        demux.route_stun(check(CREDENTIALS), CLIENT, 0)
        # The peer's own first check was one.
        assert demux.strangers == 3

    def test_who_only_checks_is_one_after_a_while(self, demux):
        assert list(demux.addresses(0)) == [CLIENT]
        assert list(demux.addresses(MIN_HALF_OPEN_SECONDS)) == []
        demux.begun("alice")
        assert list(demux.addresses(MIN_HALF_OPEN_SECONDS)) == [CLIENT]

    def test_a_proven_peer_is_none_wherever_it_is(self, demux):
        demux.established("alice")
        demux.route_stun(check(CREDENTIALS), OTHER, 0)
        assert list(demux.addresses(1000)) == [CLIENT, OTHER]
        demux.forget("alice")
        assert list(demux.addresses(1000)) == []


class TestNewcomers:
    @pytest.mark.parametrize("flow", Flow)
    def test_both_flows(self, flow):
        credentials = new_credentials(flow)
        newcomer = demultiplexer().route_stun(check(credentials), CLIENT, 0)
        assert isinstance(newcomer, Newcomer)
        assert newcomer.credentials == credentials
        assert newcomer.displaced is None

    def test_nothing_is_kept_until_it_is_added(self):
        demux = demultiplexer()
        demux.route_stun(check(CREDENTIALS), CLIENT, 0)
        assert len(demux) == 0
        assert demux.peer_at(CLIENT) is None

    def test_a_half_open_one_counts_until_its_handshake_is_done(self, demux):
        assert (len(demux), demux.half_open) == (1, 1)
        demux.established("alice")
        demux.established("alice")
        assert (len(demux), demux.half_open) == (1, 0)

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"", DropReason.UNKNOWN_SOURCE),
            (bytes(20), DropReason.UNKNOWN_SOURCE),
            (binding_success(bytes(12), CLIENT, PASSWORD), DropReason.UNKNOWN_SOURCE),
            (encode_message(1, bytes(12), []), DropReason.UNKNOWN_SOURCE),
            (check(CREDENTIALS, username=b"abcd:efgh"), DropReason.UNKNOWN_SOURCE),
            (check(CREDENTIALS)[:-1], DropReason.MALFORMED),
            (check(CREDENTIALS) + bytes(4), DropReason.MALFORMED),
            (check(CREDENTIALS, username=CREDENTIALS.username + b":x"), DropReason.BAD_CREDENTIALS),
            (check(CREDENTIALS, username=CREDENTIALS.username + b"\r\n"), DropReason.BAD_CREDENTIALS),
            (
                check(CREDENTIALS, username=b"libp2p+webrtc+v3/" + b"p" * 22 + b":abcd"),
                DropReason.BAD_CREDENTIALS,
            ),
            (check(CREDENTIALS, username=b"x" + CREDENTIALS.username), DropReason.BAD_CREDENTIALS),
            (
                encode_message(1, bytes(12), [(Attribute.SOFTWARE, CREDENTIALS.username)], PASSWORD),
                DropReason.BAD_CREDENTIALS,
            ),
            (
                encode_message(1, bytes(12), [(Attribute.USERNAME, CREDENTIALS.username)]),
                DropReason.NOT_AUTHENTIC,
            ),
            (check(CREDENTIALS, password=b"x" * 22), DropReason.NOT_AUTHENTIC),
        ],
    )
    def test_who_is_none(self, data, reason):
        demux = demultiplexer()
        assert drop_reason(demux, data) is reason
        assert len(demux) == 0

    def test_too_many(self):
        demux = demultiplexer(max_peers=2)
        join(demux, "alice", ("192.0.2.1", 1))
        join(demux, "bob", ("192.0.2.1", 2))
        assert drop_reason(demux, check(CREDENTIALS)) is DropReason.TOO_MANY_PEERS

    def test_the_oldest_of_too_many_handshakes_makes_room(self):
        demux = demultiplexer(max_half_open=2)
        join(demux, "alice", ("192.0.2.1", 1), 0.0)
        join(demux, "bob", ("192.0.2.1", 2), 0.1)
        join_at = MIN_HALF_OPEN_SECONDS
        assert drop_reason(demux, check(CREDENTIALS), now=join_at - 0.01) is DropReason.TOO_MANY_PEERS
        newcomer = join(demux, "carol", now=join_at)
        assert newcomer.displaced == "alice"
        assert demux.peer_at(("192.0.2.1", 1)) is None
        assert demux.peer_at(("192.0.2.1", 2)) == "bob"
        assert (len(demux), demux.half_open) == (2, 2)

    def test_a_peer_that_stands_is_never_displaced(self):
        demux = demultiplexer(max_half_open=1)
        join(demux, "alice", ("192.0.2.1", 1))
        demux.established("alice")
        join(demux, "bob", ("192.0.2.1", 2))
        assert join(demux, "carol", now=5).displaced == "bob"
        assert demux.peer_at(("192.0.2.1", 1)) == "alice"

    def test_the_gater_is_asked_before_anything_is_parsed(self):
        asked = []
        demux = demultiplexer(gater=lambda address: asked.append(address) or address != CLIENT)
        assert drop_reason(demux, check(CREDENTIALS)[:-1]) is DropReason.GATED
        assert asked == [CLIENT]
        join(demux, "bob", OTHER)
        demux.route_stun(check(CREDENTIALS), OTHER, 0)

    def test_the_admission_comes_before_the_gater(self):
        asked = []
        admission = Admission(0, per_prefix=SHUT, total=SHUT)
        demux = demultiplexer(admission=admission, gater=lambda address: asked.append(address) or True)
        assert drop_reason(demux, check(CREDENTIALS)) is DropReason.NOT_ADMITTED
        assert asked == []


class TestMoving:
    def test_a_peer_is_known_by_its_username(self, demux):
        outcome = demux.route_stun(check(CREDENTIALS), OTHER, 1)
        assert isinstance(outcome, Check)
        assert outcome.peer == demux.peer_at(OTHER) == demux.peer_at(CLIENT) == "alice"

    def test_only_with_its_password(self, demux):
        assert drop_reason(demux, check(CREDENTIALS, password=b"x" * 22), OTHER) is DropReason.NOT_AUTHENTIC
        assert demux.peer_at(OTHER) is None

    def test_a_flood_does_not_keep_it_from_moving(self):
        once = Rate(0, 1)
        demux = demultiplexer(admission=Admission(0, per_prefix=once, total=once))
        join(demux, "alice", credentials=CREDENTIALS)
        demux.established("alice")
        assert drop_reason(demux, check(new_credentials(Flow.V2)), OTHER) is DropReason.NOT_ADMITTED
        assert isinstance(demux.route_stun(check(CREDENTIALS), OTHER, 0), Check)

    def test_who_is_not_proven_moves_as_newcomers_come(self):
        once = Rate(0, 1)
        demux = demultiplexer(admission=Admission(0, per_prefix=once, total=once))
        join(demux, "alice", credentials=CREDENTIALS)
        assert drop_reason(demux, check(CREDENTIALS), OTHER) is DropReason.NOT_ADMITTED
        assert isinstance(demux.route_stun(check(CREDENTIALS), CLIENT, 0), Check)
        # As any newcomer, it is let in when it comes again.
        assert isinstance(demux.route_stun(check(CREDENTIALS), OTHER, 0), Check)

    def test_who_is_proven_moves_now_and_then(self, demux):
        demux.established("alice")
        addresses = [("203.0.113.1", port) for port in range(1000)]
        moved = sum(demux.route_stun(check(CREDENTIALS), address, 0) is not None for address in addresses)
        assert moved == PEER_MOVES_BURST
        assert demux.dropped[DropReason.NOT_ADMITTED] == len(addresses) - moved
        assert isinstance(demux.route_stun(check(CREDENTIALS), OTHER, 1 / PEER_MOVES_PER_SECOND), Check)

    def test_addresses_are_bounded_and_the_least_recently_checked_goes(self, demux):
        addresses = [("203.0.113.1", port) for port in range(1, MAX_PEER_ADDRESSES)]
        for address in addresses:
            demux.route_stun(check(CREDENTIALS), address, 1)
        demux.route_stun(check(CREDENTIALS), CLIENT, 2)
        demux.route_stun(check(CREDENTIALS), OTHER, 3)
        assert demux.peer_at(addresses[0]) is None
        assert demux.peer_at(CLIENT) == demux.peer_at(OTHER) == demux.peer_at(addresses[-1]) == "alice"

    def test_another_peer_can_get_the_address(self, demux):
        other = new_credentials(Flow.V1)
        join(demux, "bob", CLIENT, credentials=other)
        assert demux.peer_at(CLIENT) == "bob"
        demux.forget("alice")
        assert demux.peer_at(CLIENT) == "bob"
        demux.forget("bob")
        assert demux.peer_at(CLIENT) is None

    def test_a_peer_can_move_to_where_another_was(self, demux):
        join(demux, "bob", OTHER)
        demux.route_stun(check(CREDENTIALS), OTHER, 1)
        assert demux.peer_at(OTHER) == "alice"


class TestAnything:
    @given(st.lists(st.tuples(st.binary(max_size=120), st.integers(0, 3))))
    def test_any_bytes(self, datagrams):
        demux = demultiplexer()
        join(demux, "alice", ("192.0.2.1", 0), credentials=CREDENTIALS)
        for data, port in datagrams:
            outcome = demux.route_stun(data, ("192.0.2.1", port), 0)
            assert outcome is None or (isinstance(outcome, Check) and port == 0)
        assert len(demux) == 1

    @given(st.integers(0, 2**32))
    def test_the_tables_agree(self, seed):
        generator = random.Random(seed)
        everybody = [new_credentials(Flow.V2) for _ in range(6)]
        demux: Demultiplexer[bytes] = demultiplexer(max_peers=4, max_half_open=2)
        here: set[bytes] = set()
        for now in range(100):
            address = ("192.0.2.1", generator.randrange(8))
            credentials = generator.choice(everybody)
            if generator.random() < 0.1 and here:
                gone = generator.choice(sorted(here))
                demux.forget(gone)
                here.discard(gone)
            outcome = demux.route_stun(check(credentials), address, now)
            if isinstance(outcome, Newcomer):
                here.discard(outcome.displaced)
                demux.add(credentials.username, outcome, address, now)
                here.add(credentials.username)
            elif outcome is not None:
                assert outcome.peer == credentials.username
            if generator.random() < 0.3 and here:
                demux.established(generator.choice(sorted(here)))
            assert len(demux) == len(here) <= 4
            assert demux.half_open <= 2
            for port in range(8):
                assert demux.peer_at(("192.0.2.1", port)) in here | {None}
