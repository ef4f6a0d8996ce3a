import pytest
from libp2p.crypto.ed25519 import create_new_key_pair
from libp2p.peer.id import ID
from multiaddr import Multiaddr
from multiaddr.exceptions import ProtocolLookupError

from webrtc_libp2p import create_webrtc_multiaddr
from webrtc_libp2p.multiaddrs import (
    ListenTarget,
    RelayedAddress,
    is_direct,
    parse_dial_target,
    parse_listen_target,
    protocol_names,
)
from webrtc_transport.errors import AddressError, IdentityError


def test_listening_address():
    assert str(create_webrtc_multiaddr()) == "/webrtc"


def test_dialing_address_of_an_id_and_of_its_text():
    peer_id = ID.from_pubkey(create_new_key_pair().public_key)
    assert str(create_webrtc_multiaddr(peer_id)) == f"/webrtc/p2p/{peer_id}"
    assert create_webrtc_multiaddr(str(peer_id)) == create_webrtc_multiaddr(peer_id)


def test_malformed_id():
    with pytest.raises(IdentityError):
        create_webrtc_multiaddr("not a peer id")


PEER = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp"
RELAY = f"/ip4/192.0.2.1/tcp/4001/p2p/{PEER}"
PORT = Multiaddr("/ip4/192.0.2.1/udp/4001/webrtc-direct")
DIRECT = PORT.encapsulate(Multiaddr("/certhash/uEiAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))


def test_targets():
    assert parse_dial_target(Multiaddr(f"/webrtc/p2p/{PEER}")).relay is None
    target = parse_dial_target(Multiaddr(f"{RELAY}/p2p-circuit/webrtc/p2p/{PEER}"))
    assert (str(target.peer), str(target.relay)) == (PEER, RELAY)


@pytest.mark.parametrize(
    "address",
    [
        "/webrtc",
        RELAY,
        f"{RELAY}/p2p-circuit/p2p/{PEER}",
        f"/ip4/192.0.2.1/tcp/1/p2p-circuit/webrtc/p2p/{PEER}",
    ],
)
def test_no_targets(address):
    with pytest.raises(AddressError):
        parse_dial_target(Multiaddr(address))


def test_malformed_and_huge_addresses_have_no_protocols():
    assert protocol_names(Multiaddr(b"\xff\xff\xff\xff")) == []
    assert protocol_names(Multiaddr("/ip4/1.2.3.4" * 500)) == []


def test_where_to_listen():
    assert parse_listen_target(Multiaddr("/webrtc")) == ListenTarget()
    relayed = parse_listen_target(Multiaddr(f"{RELAY}/p2p-circuit/webrtc"))
    assert relayed == ListenTarget(relay=Multiaddr(RELAY))
    assert parse_listen_target(PORT) == ListenTarget(direct=PORT)
    for address in (RELAY, f"{RELAY}/p2p-circuit/webrtc/p2p/{PEER}", f"/webrtc/p2p/{PEER}"):
        with pytest.raises(AddressError, match="expected /webrtc, "):
            parse_listen_target(Multiaddr(address))
    with pytest.raises(AddressError, match="no webrtc-direct address"):
        parse_listen_target(Multiaddr("/ip4/192.0.2.1/tcp/1/webrtc-direct"))


def test_a_relayed_address_ends_with_no_peer_until_one_is_put_behind_it():
    address = RelayedAddress(f"{RELAY}/p2p-circuit/webrtc")
    with pytest.raises(ProtocolLookupError):
        address.value_for_protocol("p2p")
    # py-libp2p takes addresses apart to compare them with what peers see of it.
    assert address.value_for_protocol(421) == Multiaddr(RELAY).value_for_protocol("p2p")
    assert address.value_for_protocol("tcp") == "4001"
    whole = address.encapsulate(Multiaddr(f"/p2p/{PEER}"))
    assert str(whole) == f"{RELAY}/p2p-circuit/webrtc/p2p/{PEER}"
    assert whole.value_for_protocol("p2p") == PEER


def test_direct_targets():
    target = parse_dial_target(DIRECT)
    assert (target.address, target.peer, target.relay) == (DIRECT, None, None)
    named = DIRECT.encapsulate(Multiaddr(f"/p2p/{PEER}"))
    assert str(parse_dial_target(named).peer) == PEER
    with pytest.raises(AddressError, match="certhash"):
        parse_dial_target(PORT)


def test_which_addresses_are_direct():
    assert is_direct(DIRECT)
    assert is_direct(PORT)
    assert not is_direct(Multiaddr("/webrtc"))
