import pytest

from tests.webrtc_libp2p.hosts import make_host, relayed_host
from webrtc_libp2p import signaling
from webrtc_libp2p.signaling import CircuitRelaySignalingChannel
from webrtc_signaling.circuit_relay import CircuitRelayBackend
from webrtc_transport import Identity, TransportConfig
from webrtc_transport.abc import SignalingContext
from webrtc_transport.errors import AddressError, ConfigurationError


def test_a_relay_by_its_id_or_its_address():
    host, relay = relayed_host(), make_host().get_id()
    assert CircuitRelaySignalingChannel(host, relay).relay.peer_id == relay
    assert CircuitRelaySignalingChannel(host, str(relay)).relay.addrs == []
    channel = CircuitRelaySignalingChannel(host, f"/ip4/192.0.2.1/tcp/4001/p2p/{relay}")
    assert list(map(str, channel.relay.addrs)) == ["/ip4/192.0.2.1/tcp/4001"]


@pytest.mark.parametrize("text", ["", "nobody", "/ip4/192.0.2.1/tcp/4001", "/nonsense"])
def test_neither(text):
    with pytest.raises(AddressError, match="neither the peer id of a relay nor its address"):
        CircuitRelaySignalingChannel(relayed_host(), text)


def test_its_backend_is_of_its_host():
    host = relayed_host()
    channel = CircuitRelaySignalingChannel(host, make_host().get_id())
    identity = Identity.from_protobuf(host.get_private_key().serialize())
    backend = channel.create_backend(SignalingContext(identity, TransportConfig(), None))
    assert isinstance(backend, CircuitRelayBackend)
    with pytest.raises(ConfigurationError, match="was made for"):
        channel.create_backend(SignalingContext(Identity.generate(), TransportConfig(), None))


def test_the_names_of_the_document():
    for name in signaling.__all__:
        assert hasattr(signaling, name)
