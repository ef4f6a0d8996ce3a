import anyio
import pytest

from tests.webrtc_signaling.samples import ALICE, ANSWER, BOB, candidate
from webrtc_signaling import MemoryBackend
from webrtc_signaling.testing import conformance
from webrtc_signaling.testing.meeting import echo, serving, session_pair
from webrtc_transport.abc import SignalingContext
from webrtc_transport.config import TransportConfig
from webrtc_transport.errors import ConfigurationError, PeerUnreachable, SignalingRejected
from webrtc_transport.portal import open_portal

pytestmark = pytest.mark.anyio


TestConformance = conformance("memory://here")


@pytest.fixture
def peers():
    return MemoryBackend(ALICE), MemoryBackend(BOB)


async def test_its_address_names_the_rendezvous():
    async with open_portal() as portal:
        contexts = [SignalingContext(identity, TransportConfig(), portal) for identity in (ALICE, BOB)]
    alice, bob = (MemoryBackend.from_url("memory://here", context) for context in contexts)
    async with alice, bob, session_pair(alice, bob, BOB.peer_id) as (ours, _):
        assert not ours.authenticated
    elsewhere = MemoryBackend.from_url("memory://there", contexts[0])
    async with serving(bob, echo):
        with pytest.raises(PeerUnreachable, match="memory://there"):
            await elsewhere.connect(BOB.peer_id)


def test_secrets_in_a_url_are_not_shown():
    with pytest.raises(ConfigurationError, match=r"^'ws://…@here' is no address of a rendezvous in memory"):
        MemoryBackend.from_url("ws://anna:SECRET@here", None)


@pytest.mark.parametrize("url", ["ws://here", "memory://here/path", "memory://here?query", "memory", ""])
def test_another_address_is_refused(url):
    with pytest.raises(ConfigurationError, match="memory://<name>"):
        MemoryBackend.from_url(url, SignalingContext(ALICE, TransportConfig(), None))


async def test_sessions_may_claim_to_prove_the_peer():
    alice, bob = MemoryBackend(ALICE, authenticated=True), MemoryBackend(BOB)
    async with session_pair(alice, bob, BOB.peer_id) as (ours, theirs):
        assert ours.authenticated
        assert not theirs.authenticated


async def test_a_man_in_the_middle_alters_drops_and_adds_signals():
    def intercept(signal):
        return {ANSWER: [candidate(1), candidate(2)], candidate(0): []}.get(signal, [signal])

    alice, bob = MemoryBackend(ALICE), MemoryBackend(BOB, intercept=intercept)
    async with session_pair(alice, bob, BOB.peer_id) as (ours, theirs):
        for signal in (candidate(0), ANSWER, candidate(3)):
            await theirs.send(signal)
        assert [await ours.receive() for _ in range(3)] == [candidate(1), candidate(2), candidate(3)]


async def test_a_second_backend_of_a_peer_replaces_the_first(peers):
    alice, bob = peers
    async with anyio.create_task_group() as task_group:

        async def first(*, task_status):
            with pytest.raises(SignalingRejected) as caught:
                await bob.serve(None, task_status=task_status)
            assert caught.value.code == "replaced"

        await task_group.start(first)
        async with session_pair(alice, MemoryBackend(BOB), BOB.peer_id):
            pass


async def test_the_rendezvous_forgets(peers):
    alice, bob = peers
    async with session_pair(alice, bob, BOB.peer_id):
        assert alice._member.sessions
    assert not alice._member.sessions
    assert not bob._member.sessions
