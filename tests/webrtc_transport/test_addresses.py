from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiaddr import Multiaddr

from webrtc_transport.addresses import (
    DialAddress,
    ListenAddress,
    candidate_address,
    parse_dial_address,
    parse_listen_address,
    webrtc_address,
)
from webrtc_transport.errors import AddressError
from webrtc_transport.identity import PeerId
from webrtc_transport.protocol.sdp import IceCandidate

PEER = PeerId.from_string("12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA")
OTHER = PeerId.from_string("12D3KooWGMtPzzhCq1bY4W84Kr6JXmWekE8bKRiv2yuDtUHDh3CR")
RELAY = f"/ip4/192.0.2.1/tcp/4001/p2p/{OTHER}/p2p-circuit/webrtc/p2p/{PEER}"
DIRECT = f"/ip4/192.0.2.1/udp/4001/webrtc-direct/p2p/{PEER}"


def test_addresses_are_made_with_and_without_a_peer() -> None:
    assert str(webrtc_address()) == "/webrtc"
    assert str(webrtc_address(PEER)) == f"/webrtc/p2p/{PEER}"
    assert webrtc_address(PEER) == Multiaddr(f"/webrtc/p2p/{PEER}")


@pytest.mark.parametrize(
    "address",
    [
        f"/webrtc/p2p/{PEER}",
        webrtc_address(PEER),
        Multiaddr(webrtc_address(PEER).to_bytes()),
    ],
    ids=["text", "object", "bytes"],
)
def test_a_peer_is_dialled_by_its_id(address: str | Multiaddr) -> None:
    assert parse_dial_address(address) == DialAddress("webrtc", PEER)


def test_a_peer_id_may_be_a_cid() -> None:
    cid = "bafzbeie5745rpv2m6tjyuugywy4d5ewrqgqqhfnf445he3omzpjbx5xqxe"
    for address in (f"/webrtc/p2p/{cid}", Multiaddr(f"/webrtc/p2p/{cid}")):
        assert parse_dial_address(address).peer == PeerId.from_string(cid)


@pytest.mark.parametrize(
    "address", ["/webrtc", f"/webrtc/p2p/{PEER}", webrtc_address(), webrtc_address(PEER)]
)
def test_one_listens_without_a_peer_or_with_the_own(address: str | Multiaddr) -> None:
    assert parse_listen_address(address, PEER) == ListenAddress("webrtc")


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("", "isn't an address that this transport dials"),
        ("/", "isn't an address"),
        ("webrtc", "isn't an address"),
        ("/webrtc/", "isn't an address"),
        ("/webrtc", "doesn't say which peer"),
        (webrtc_address(), "doesn't say which peer"),
        ("/webrtc/p2p/nobody", "'nobody' is no peer id"),
        ("/webrtc/p2p/", "is no peer id"),
        (f"/webrtc/p2p/{PEER}/webrtc", "isn't an address"),
        (f"/ip4/192.0.2.1/tcp/4001/p2p/{PEER}", "isn't an address"),
        (RELAY, "leads through a relay, which this version doesn't dial"),
        (Multiaddr(RELAY), "leads through a relay"),
    ],
)
def test_other_addresses_are_not_dialled(address: str | Multiaddr, problem: str) -> None:
    with pytest.raises(AddressError, match=problem) as caught:
        parse_dial_address(address)
    assert str(address) in str(caught.value)
    assert "expected" in str(caught.value)


@pytest.mark.parametrize("address", [DIRECT, Multiaddr(DIRECT)], ids=["text", "object"])
def test_a_server_is_dialled_and_listened_on_by_its_own_address(address: str | Multiaddr) -> None:
    with pytest.raises(AddressError, match="doesn't say which certificate the peer has"):
        parse_dial_address(address)
    certhash = "uEiAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    complete = str(address).replace("/p2p/", f"/certhash/{certhash}/p2p/")
    assert str(parse_dial_address(complete)) == complete
    assert str(parse_listen_address(address, PEER)) == str(address)


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("", "isn't an address that this transport listens on"),
        ("/webrtc/", "isn't an address"),
        ("/webrtc/p2p/nobody", "is no peer id"),
        (webrtc_address(OTHER), f"names another peer than this one, {PEER}"),
        (f"/ip4/0.0.0.0/udp/0/webrtc-direct/p2p/{OTHER}", f"names another peer than this one, {PEER}"),
        ("/dns/example.org/udp/0/webrtc-direct", "a listener needs an IP address"),
        ("/ip4/0.0.0.0/udp/70000/webrtc-direct", "a UDP port is 0 to 65535"),
        (RELAY, "isn't an address"),
    ],
)
def test_other_addresses_are_not_listened_on(address: str | Multiaddr, problem: str) -> None:
    with pytest.raises(AddressError, match=problem) as caught:
        parse_listen_address(address, PEER)
    assert str(address) in str(caught.value)


@pytest.mark.parametrize("address", [b"\x99\x02\xa5", b"\x99\x02\xa5\x03\x05abc", b"\xff"])
def test_malformed_objects_are_named_by_their_bytes(address: bytes) -> None:
    with pytest.raises(AddressError, match="is malformed; expected /webrtc") as caught:
        parse_dial_address(Multiaddr(address))
    assert repr(address) in str(caught.value)


@pytest.mark.parametrize("address", ["/webrtc/p2p/" + "1" * 10_000_000, Multiaddr(b"\x99\x02" * 10_000)])
def test_long_addresses_are_refused_at_once(address: str | Multiaddr) -> None:
    with pytest.raises(AddressError, match="more than 1024 bytes") as caught:
        parse_dial_address(address)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("host", "transport", "address"),
    [
        ("192.0.2.1", "udp", "/ip4/192.0.2.1/udp/4001"),
        ("2001:db8::1", "udp", "/ip6/2001:db8::1/udp/4001"),
        ("192.0.2.1", "tcp", "/ip4/192.0.2.1/tcp/4001"),
        ("a7b1c2d3.local", "udp", "/dns/a7b1c2d3.local/udp/4001"),
    ],
)
def test_the_address_of_a_candidate(host: str, transport: str, address: str) -> None:
    candidate = IceCandidate(
        foundation="1", component=1, transport=transport, priority=1, address=host, port=4001, type="host"
    )
    assert str(candidate_address(candidate)) == address


PARTS = st.sampled_from(["", "webrtc", "p2p", "webrtc-direct", "p2p-circuit", str(PEER), "=", "\ud800"])
CODES = st.sampled_from(
    [b"\x99\x02", b"\xa5\x03", b"\x98\x02", b"\xd2\x03", b"\x90\x03", b"\x04", b"\x91\x02"]
)


@given(st.text() | st.lists(PARTS | st.text(max_size=4)).map("/".join))
def test_no_text_raises_anything_else(address: str) -> None:
    with contextlib.suppress(AddressError):
        parse_dial_address(address)
    with contextlib.suppress(AddressError):
        parse_listen_address(address, PEER)


@given(st.binary() | st.lists(CODES | st.binary(max_size=4)).map(b"".join))
def test_no_bytes_raise_anything_else(address: bytes) -> None:
    with contextlib.suppress(AddressError):
        parse_dial_address(Multiaddr(address))
    with contextlib.suppress(AddressError):
        parse_listen_address(Multiaddr(address), PEER)
