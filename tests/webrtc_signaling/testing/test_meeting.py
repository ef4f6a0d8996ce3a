import anyio
import pytest

from tests.webrtc_signaling.samples import ALICE, ANSWER, BOB, OFFER
from webrtc_signaling.memory import MemoryBackend
from webrtc_signaling.testing.meeting import echo, serving, session_pair, until_bye

pytestmark = pytest.mark.anyio


async def test_a_pair_has_exchanged_an_offer_and_ends_with_its_block():
    alice, bob = MemoryBackend(ALICE), MemoryBackend(BOB)
    async with session_pair(alice, bob, BOB.peer_id) as (ours, theirs):
        assert (ours.remote_peer, theirs.remote_peer) == (BOB.peer_id, ALICE.peer_id)
        await theirs.send(ANSWER)
        assert await ours.receive() == ANSWER
    for session in (ours, theirs):
        with pytest.raises(anyio.ClosedResourceError):
            await session.receive()


async def test_who_serves_answers_until_the_block_is_over():
    alice, bob = MemoryBackend(ALICE), MemoryBackend(BOB)
    async with serving(bob, until_bye(echo)):
        async with await alice.connect(BOB.peer_id) as session:
            await session.send(OFFER)
            assert await session.receive() == OFFER
        session = await alice.connect(BOB.peer_id)
    with pytest.raises(anyio.EndOfStream):
        await session.receive()
