from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiaddr import Multiaddr

from webrtc_transport.errors import AddressError
from webrtc_transport.identity import PeerId
from webrtc_transport.protocol.direct_address import DirectAddress
from webrtc_transport.protocol.sdp import Fingerprint

HASH = "uEiAkH5a4DPGKUuOBjYw0CgwjvcJCJMD2K_1aluKR_tpevQ"
SHA256 = Fingerprint(
    "sha-256", bytes.fromhex("241f96b80cf18a52e3818d8c340a0c23bdc24224c0f62bfd5a96e291feda5ebd")
)
SHA512 = Fingerprint("sha-512", hashlib.sha512(b"certificate").digest())
PEER = PeerId.from_string("12D3KooWGMtPzzhCq1bY4W84Kr6JXmWekE8bKRiv2yuDtUHDh3CR")
FULL = f"/ip4/1.2.3.4/udp/4001/webrtc-direct/certhash/{HASH}/p2p/{PEER}"


class TestParse:
    def test_all_of_it(self):
        parsed = DirectAddress.parse(FULL)
        assert parsed == DirectAddress("ip4", "1.2.3.4", 4001, (SHA256,), PEER)
        assert str(parsed) == FULL
        assert not parsed.is_name

    def test_listening_needs_no_more_than_host_and_port(self):
        assert DirectAddress.parse("/ip6/::/udp/0/webrtc-direct") == DirectAddress("ip6", "::", 0)

    @pytest.mark.parametrize("protocol", ["dns", "dns4", "dns6"])
    def test_names(self, protocol):
        parsed = DirectAddress.parse(f"/{protocol}/node-1.example.com/udp/1/webrtc-direct")
        assert parsed.is_name
        assert (parsed.protocol, parsed.host) == (protocol, "node-1.example.com")

    def test_several_certificates(self):
        address = DirectAddress("ip4", "1.2.3.4", 1, (SHA512, SHA256))
        assert DirectAddress.parse(str(address)) == address

    def test_a_multiaddr_will_do(self):
        assert str(DirectAddress.parse(Multiaddr(FULL))) == FULL
        assert DirectAddress.parse(FULL).to_multiaddr() == Multiaddr(FULL)

    def test_a_peer_id_in_another_base(self):
        cid = Multiaddr(f"/p2p/{PEER}").value_for_protocol("p2p")
        assert DirectAddress.parse(f"/ip4/1.2.3.4/udp/1/webrtc-direct/p2p/{cid}").peer == PEER

    @pytest.mark.parametrize(
        ("address", "message"),
        [
            ("", "no webrtc-direct address"),
            ("/webrtc", "no webrtc-direct address"),
            ("/ip4/1.2.3.4/udp/4001", "no webrtc-direct address"),
            ("/ip4/1.2.3.4/tcp/4001/webrtc-direct", "no webrtc-direct address"),
            ("/ip4/1.2.3.4/udp/4001/quic-v1/webtransport", "no webrtc-direct address"),
            ("/ip4/1.2.3.4/udp/4001/webrtc", "no webrtc-direct address"),
            ("ip4/1.2.3.4/udp/4001/webrtc-direct", "no webrtc-direct address"),
            ("/ip4/1.2.3.4/udp/4001/webrtc-direct/", "certhashes and a peer id"),
            ("/ip4/1.2.3/udp/4001/webrtc-direct", "no ip4 address"),
            ("/ip4/1.2.3.04/udp/4001/webrtc-direct", "no ip4 address"),
            ("/ip4/::1/udp/4001/webrtc-direct", "no ip4 address"),
            ("/ip6/1.2.3.4/udp/4001/webrtc-direct", "no ip6 address"),
            ("/ip6/fe80::1%eth0/udp/4001/webrtc-direct", "zone"),
            ("/dns4/a..b/udp/4001/webrtc-direct", "no host name"),
            ("/dns4/-a/udp/4001/webrtc-direct", "no host name"),
            ("/dns4/a b/udp/4001/webrtc-direct", "no host name"),
            (f"/dns4/{'a' * 64}/udp/4001/webrtc-direct", "no host name"),
            (f"/dns4/{'a.' * 130}/udp/4001/webrtc-direct", "no host name"),
            ("/unix/x/udp/4001/webrtc-direct", "not 'unix'"),
            ("/ip4/1.2.3.4/udp/65536/webrtc-direct", "UDP port"),
            ("/ip4/1.2.3.4/udp/-1/webrtc-direct", "UDP port"),
            ("/ip4/1.2.3.4/udp/04001/webrtc-direct", "UDP port"),
            ("/ip4/1.2.3.4/udp/٣/webrtc-direct", "UDP port"),
            ("/ip4/1.2.3.4/udp/1/webrtc-direct/certhash", "certhashes and a peer id"),
            ("/ip4/1.2.3.4/udp/1/webrtc-direct/certhash/u", "certhash"),
            (
                "/ip4/1.2.3.4/udp/1/webrtc-direct/certhash/uERQAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                "hash function 0x11",
            ),
            ("/ip4/1.2.3.4/udp/1/webrtc-direct" + f"/certhash/{HASH}" * 5, "at most 4"),
            ("/ip4/1.2.3.4/udp/1/webrtc-direct/p2p/Qmx", "no peer id"),
            (f"/ip4/1.2.3.4/udp/1/webrtc-direct/p2p/{PEER}/certhash/{HASH}", "certhashes and a peer id"),
            (f"{FULL}/p2p-circuit", "certhashes and a peer id"),
            ("/ip4/1.2.3.4/udp/1/webrtc-direct" + "/x" * 1000, "1024 bytes"),
        ],
    )
    def test_refused(self, address, message):
        with pytest.raises(AddressError, match=message):
            DirectAddress.parse(address)

    @given(st.text(max_size=80))
    def test_any_text(self, text):
        with pytest.raises(AddressError):
            DirectAddress.parse(text)

    @given(
        st.lists(
            st.sampled_from(
                [
                    "ip4",
                    "ip6",
                    "dns",
                    "1.2.3.4",
                    "::1",
                    "udp",
                    "1",
                    "webrtc-direct",
                    "certhash",
                    HASH,
                    "p2p",
                    "",
                    str(PEER),
                ]
            ),
            max_size=12,
        )
    )
    def test_any_components(self, components):
        try:
            parsed = DirectAddress.parse("/" + "/".join(components))
        except AddressError:
            return
        assert DirectAddress.parse(str(parsed)) == parsed

    @given(st.binary(max_size=60))
    def test_any_multiaddr(self, data):
        with pytest.raises(AddressError):
            DirectAddress.parse(Multiaddr(data))


class TestDial:
    def test_a_peer_may_be_unknown(self):
        assert DirectAddress.parse_dial(FULL).peer == PEER
        assert DirectAddress.parse_dial(FULL.split("/p2p", maxsplit=1)[0]).peer is None

    @pytest.mark.parametrize(
        ("address", "message"),
        [
            ("/ip4/1.2.3.4/udp/4001/webrtc-direct", "which certificate"),
            (f"/ip4/1.2.3.4/udp/4001/webrtc-direct/p2p/{PEER}", "which certificate"),
            (FULL.replace("4001", "0"), "which port"),
        ],
    )
    def test_refused(self, address, message):
        with pytest.raises(AddressError, match=message):
            DirectAddress.parse_dial(address)


@given(
    st.ip_addresses(),
    st.integers(0, 65535),
    st.lists(st.sampled_from([SHA256, SHA512]), max_size=4),
    st.none() | st.just(PEER),
)
def test_made_and_parsed(ip, port, certhashes, peer: PeerId | None):
    address = DirectAddress(f"ip{ip.version}", str(ip), port, tuple(certhashes), peer)
    assert DirectAddress.parse(str(address)) == address
    # The library writes some IPv6 addresses in another way.
    assert DirectAddress.parse(address.to_multiaddr()).to_multiaddr() == address.to_multiaddr()


@pytest.mark.parametrize(
    "changes",
    [{"protocol": "tcp"}, {"host": "x"}, {"port": 65536}, {"port": -1}, {"certhashes": (SHA256,) * 5}],
)
def test_nothing_else_can_be_made(changes):
    with pytest.raises(AddressError):
        DirectAddress(**({"protocol": "ip4", "host": "1.2.3.4", "port": 1} | changes))
