"""What any signaling backend has to do. Subclass it, and say how backends come by their service."""

import contextlib
from abc import ABC, abstractmethod

import anyio
import pytest

from tests.leaks import nothing_left
from tests.webrtc_signaling.cancellation import cancel_at_each_await
from tests.webrtc_signaling.samples import ANSWER, BYE, END_OF_CANDIDATES, OFFER, candidate, error
from webrtc_signaling.limits import MAX_SESSION_SIGNALS
from webrtc_transport.errors import PeerUnreachable, SignalingError, SignalingRejected
from webrtc_transport.identity import Identity

TIMEOUT = 30


@contextlib.asynccontextmanager
async def serving(backend, handler):
    """Let ``backend`` serve meanwhile."""
    async with anyio.create_task_group() as task_group:
        await task_group.start(backend.serve, handler)
        yield
        task_group.cancel_scope.cancel()


@contextlib.asynccontextmanager
async def session_pair(alice, bob, bob_id):
    """Both ends of a session that has begun, the initiator's first."""
    inbound, done = [], anyio.Event()
    arrived = anyio.Event()

    async def handler(session):
        inbound.append(session)
        arrived.set()
        await done.wait()

    async with serving(bob, handler):
        async with await alice.connect(bob_id) as session:
            await session.send(OFFER)
            await arrived.wait()
            assert await inbound[0].receive() == OFFER
            yield session, inbound[0]
        done.set()


class SignalingConformance(ABC):
    pytestmark = pytest.mark.anyio

    def service(self):
        """An async context manager around what the backends share; it gives what :meth:`backend` needs."""
        return contextlib.nullcontext()

    @abstractmethod
    def backend(self, service, identity):
        """A new backend; it is entered by the test."""

    @contextlib.asynccontextmanager
    async def met(self):
        self.alice, self.bob = Identity.generate(), Identity.generate()
        with anyio.fail_after(TIMEOUT):
            async with (
                self.service() as service,
                self.backend(service, self.alice) as alice,
                self.backend(service, self.bob) as bob,
            ):
                yield alice, bob

    @contextlib.asynccontextmanager
    async def pair(self):
        async with self.met() as (alice, bob), session_pair(alice, bob, self.bob.peer_id) as pair:
            yield pair

    async def test_both_ends_agree_on_who_and_which(self):
        async with self.pair() as (ours, theirs):
            assert ours.remote_peer == self.bob.peer_id
            assert theirs.remote_peer == self.alice.peer_id
            assert ours.session_id == theirs.session_id

    async def test_signals_go_both_ways_in_order(self):
        async with self.pair() as (ours, theirs):
            await theirs.send(ANSWER)
            for number in range(50):
                await ours.send(candidate(number))
                await theirs.send(candidate(-number))
            await ours.send(END_OF_CANDIDATES)
            assert await ours.receive() == ANSWER
            for number in range(50):
                assert await ours.receive() == candidate(-number)
                assert await theirs.receive() == candidate(number)
            assert await theirs.receive() == END_OF_CANDIDATES

    async def test_bye_is_the_end(self):
        async with self.pair() as (ours, theirs):
            await theirs.send(ANSWER)
            await theirs.aclose()
            await theirs.aclose()
            assert await ours.receive() == ANSWER
            for _ in range(2):
                with pytest.raises(anyio.EndOfStream):
                    await ours.receive()
            with pytest.raises(SignalingError):
                await ours.send(ANSWER)

    async def test_a_bye_by_hand_ends_both_sides(self):
        async with self.pair() as (ours, theirs):
            await ours.send(BYE)
            for session in (ours, theirs):
                with pytest.raises(anyio.EndOfStream):
                    await session.receive()
                with pytest.raises(SignalingError):
                    await session.send(ANSWER)

    async def test_an_error_is_raised_with_its_code(self):
        async with self.pair() as (ours, theirs):
            await theirs.send(error("invalid-proof", "a\nforged line"))
            with pytest.raises(SignalingRejected, match="invalid-proof") as caught:
                await ours.receive()
            assert caught.value.code == "invalid-proof"
            assert "\n" not in str(caught.value)
            with pytest.raises(SignalingRejected):
                await ours.send(ANSWER)

    async def test_a_peer_that_does_not_listen_any_more_is_unreachable(self):
        async with self.pair() as (ours, theirs):
            await theirs.send(error("not-listening"))
            with pytest.raises(PeerUnreachable):
                await ours.receive()

    async def test_after_aclose_nothing_works(self):
        async with self.pair() as (ours, _):
            await ours.aclose()
            with pytest.raises(anyio.ClosedResourceError):
                await ours.send(ANSWER)
            with pytest.raises(anyio.ClosedResourceError):
                await ours.receive()

    async def test_aclose_wakes_who_receives(self):
        async with self.pair() as (ours, _):
            async with anyio.create_task_group() as task_group:

                async def receive():
                    with pytest.raises(anyio.ClosedResourceError):
                        await ours.receive()

                task_group.start_soon(receive)
                await anyio.wait_all_tasks_blocked()
                await ours.aclose()

    async def test_a_session_has_a_bounded_number_of_signals(self):
        async with self.pair() as (ours, _):
            with pytest.raises(SignalingRejected, match="at most"):
                for number in range(MAX_SESSION_SIGNALS):
                    await ours.send(candidate(number))

    async def test_an_unknown_peer_is_unreachable(self):
        async with self.met() as (alice, _):
            with pytest.raises(PeerUnreachable):
                await self.offer(alice, Identity.generate().peer_id)

    async def test_a_peer_that_does_not_listen_is_unreachable(self):
        async with self.met() as (alice, bob):
            async with serving(bob, None):
                pass
            with pytest.raises(PeerUnreachable):
                await self.offer(alice, self.bob.peer_id)

    async def test_a_peer_can_not_reach_itself(self):
        async with self.met() as (alice, _):
            with pytest.raises(PeerUnreachable, match="itself"):
                await alice.connect(self.alice.peer_id)

    async def offer(self, backend, peer):
        """Some services can tell only after the first signal."""
        async with await backend.connect(peer) as session:
            await session.send(OFFER)
            await session.receive()

    async def test_many_sessions_at_once_do_not_mix(self):
        async def answer_all(session):
            while True:
                await session.send(await session.receive())

        async def ask(backend, number):
            async with await backend.connect(self.bob.peer_id) as session:
                await session.send(OFFER)
                assert await session.receive() == OFFER
                for i in range(3):
                    await session.send(candidate(number + i))
                    assert await session.receive() == candidate(number + i)

        async with self.met() as (alice, bob), serving(bob, _until_bye(answer_all)):
            async with anyio.create_task_group() as task_group:
                for number in range(0, 500, 10):
                    task_group.start_soon(ask, alice, number)

    async def test_a_session_that_fails_does_not_stop_serving(self):
        async def handler(session):
            await session.receive()
            raise SignalingRejected("no", code="busy")

        async with self.met() as (alice, bob), serving(bob, handler):
            for _ in range(2):
                with pytest.raises(anyio.EndOfStream):
                    await self.offer(alice, self.bob.peer_id)

    async def test_when_serving_ends_so_do_its_sessions(self):
        async with self.met() as (alice, bob):
            arrived = anyio.Event()

            async def handler(session):
                arrived.set()
                await anyio.sleep_forever()

            async with serving(bob, handler):
                session = await alice.connect(self.bob.peer_id)
                await session.send(OFFER)
                await arrived.wait()
            with pytest.raises(anyio.EndOfStream):
                await session.receive()
            with pytest.raises(PeerUnreachable):
                await self.offer(alice, self.bob.peer_id)

    async def test_one_can_serve_again_but_not_twice_at_once(self):
        async def handler(session):
            await session.receive()
            await session.send(ANSWER)

        async with self.met() as (alice, bob):
            async with serving(bob, handler):
                with pytest.raises(anyio.BusyResourceError):
                    await bob.serve(handler)
            async with serving(bob, handler), await alice.connect(self.bob.peer_id) as session:
                await session.send(OFFER)
                assert await session.receive() == ANSWER

    async def test_leaving_the_backend_closes_its_sessions(self):
        async with self.met() as (alice, bob), session_pair(alice, bob, self.bob.peer_id) as (ours, theirs):
            await alice.__aexit__(None, None, None)
            with pytest.raises(anyio.EndOfStream):
                await theirs.receive()
            with pytest.raises(anyio.ClosedResourceError):
                await ours.receive()

    async def test_cancelling_a_session_anywhere_leaves_nothing_behind(self):
        async with self.met() as (alice, bob):
            await self.echo(alice, bob)
            async with nothing_left():
                assert await cancel_at_each_await(lambda: self.echo(alice, bob)) > 3
            await self.echo(alice, bob)

    async def test_cancelling_a_backend_anywhere_leaves_nothing_behind(self):
        async def from_the_start(service):
            async with self.backend(service, self.alice) as alice, self.backend(service, self.bob) as bob:
                await self.echo(alice, bob)

        self.alice, self.bob = Identity.generate(), Identity.generate()
        with anyio.fail_after(TIMEOUT):
            async with self.service() as service:
                await from_the_start(service)
                async with nothing_left():
                    assert await cancel_at_each_await(lambda: from_the_start(service)) > 3

    async def echo(self, alice, bob):
        async def handler(session):
            while True:
                await session.send(await session.receive())

        async with serving(bob, _until_bye(handler)), await alice.connect(self.bob.peer_id) as session:
            # The handler is cancelled too, and may come first.
            with contextlib.suppress(anyio.EndOfStream, SignalingError):
                await session.send(OFFER)
                assert await session.receive() == OFFER


def _until_bye(handler):
    async def until_bye(session):
        with contextlib.suppress(anyio.EndOfStream):
            await handler(session)

    return until_bye
