import pytest

from tests.webrtc_signaling.samples import ALICE, ALICE_ID, BOB_ID, INSTANCE, OFFER, routed_signal
from webrtc_signaling.messages import Ack, Numbered, Register, UnsupportedVersion, register_payload
from webrtc_signaling.server.access import Access
from webrtc_signaling.server.auth import Refused
from webrtc_signaling.server.client import Client, failure_of
from webrtc_signaling.server.hub import Hub
from webrtc_signaling.server.settings import ServerSettings
from webrtc_transport.errors import InvalidSignal

pytestmark = pytest.mark.anyio


class Link:
    farewell = None

    def wake(self):
        pass

    def close(self, farewell):
        self.farewell = farewell.data.code


def make_client(**settings):
    settings = ServerSettings(**settings)
    hub, link = Hub(settings), Link()
    return Client(link, "192.0.2.1", hub, Access(settings), settings), hub, link


def proof_of(client):
    payload = register_payload(nonce=client.challenge.nonce, peer=ALICE_ID)
    public_key = ALICE.public_key.to_protobuf()
    return Register(peer=ALICE_ID, public_key=public_key, signature=ALICE.sign(payload), instance=INSTANCE)


async def test_it_registers_with_the_proof_and_then_it_has_a_name():
    client, hub, link = make_client()
    registration, reply = client.register(proof_of(client))
    assert (reply.peer, reply.proven) == (ALICE_ID, True)
    assert registration is client.registration
    assert registration.link is link
    assert client.name == f"192.0.2.1 ({ALICE_ID})"
    client.disconnected(leaving=True)
    assert len(hub) == 0


async def test_the_proof_of_another_connection_is_no_proof():
    client, other = make_client()[0], make_client()[0]
    with pytest.raises(Refused, match="signature"):
        client.register(proof_of(other))
    assert client.registration is None
    client.disconnected(leaving=True)


async def test_registering_comes_first_and_once():
    client, _, _ = make_client()
    with pytest.raises(InvalidSignal, match="register first"):
        client.register(Ack(ack=0))
    proof = proof_of(client)
    registration, _ = client.register(proof)
    with pytest.raises(InvalidSignal, match="registered already"):
        client.receive(registration, proof, 0.0)


async def test_signals_are_routed_and_counted():
    client, _, link = make_client(max_message_burst=2, max_messages_per_second=0.001)
    registration, _ = client.register(proof_of(client))
    client.receive(registration, Numbered(routed_signal(OFFER, recipient=BOB_ID), 1, 0), 0.0)
    [told] = registration.channel.transmit(0)
    assert told.message.data.code == "peer-not-found"
    client.receive(registration, Ack(ack=1), 0.0)
    assert not registration.channel.unacknowledged
    assert link.farewell is None
    client.receive(registration, Ack(ack=1), 0.0)
    assert link.farewell == "rate-limited"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refused("invalid-proof", "no"), "invalid-proof"),
        (UnsupportedVersion("no"), "unsupported-version"),
        (InvalidSignal("no"), "invalid-message"),
    ],
)
def test_errors_have_codes(error, code):
    failure = failure_of(error)
    assert (failure.data.code, failure.data.message) == (code, "no")
