"""What any signaling backend has to do, on each event loop that is installed."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from typing import ClassVar, Final, TypeAlias
from urllib.parse import urlsplit

import anyio
import pytest

from webrtc_transport.abc import SignalingBackend, SignalingContext, SignalingSession
from webrtc_transport.config import TransportConfig
from webrtc_transport.errors import PeerUnreachable, SignalingError, SignalingRejected
from webrtc_transport.identity import Identity, PeerId
from webrtc_transport.plugins import signaling_backend_class
from webrtc_transport.portal import open_portal

from .cancellation import cancel_at_each_await
from .leaks import nothing_left
from .meeting import Handler, echo, serving, session_pair, until_bye
from .samples import ANSWER, BYE, END_OF_CANDIDATES, OFFER, candidate, error

_MANY_SIGNALS: Final = 10_000
"""More than any backend lets one end send in a session: a peer that never reads must cost a bounded amount."""

_EventLoop: TypeAlias = tuple[str, dict[str, bool]]


def _event_loops() -> list[_EventLoop]:
    asyncio: list[_EventLoop] = [("asyncio", {"debug": True})]
    uvloop: list[_EventLoop] = [("asyncio", {"use_uvloop": True})] if find_spec("uvloop") else []
    trio: list[_EventLoop] = [("trio", {})] if find_spec("trio") else []
    return asyncio + uvloop + trio


def _name(event_loop: _EventLoop) -> str:
    backend, options = event_loop
    return "uvloop" if "use_uvloop" in options else backend


class SignalingConformance:
    """Inherit from it in a class that pytest finds, and say where backends meet."""

    url: ClassVar[str]
    """Of the service, unless :meth:`service` starts one."""

    timeout: ClassVar[float] = 30
    """Seconds for one test."""

    alice: Identity
    bob: Identity
    """Made anew for each test."""

    pytestmark = pytest.mark.anyio

    @pytest.fixture(params=_event_loops(), ids=_name)
    def anyio_backend(self, request: pytest.FixtureRequest) -> _EventLoop:
        """Each test runs on each event loop. Override it if a backend doesn't."""
        event_loop: _EventLoop = request.param
        return event_loop

    @pytest.fixture(autouse=True)
    def _identities(self) -> None:
        self.alice, self.bob = Identity.generate(), Identity.generate()

    @contextlib.asynccontextmanager
    async def service(self) -> AsyncIterator[str]:
        """Around each test: what the backends share; gives its URL. Override it to start one."""
        yield self.url

    def backend(self, url: str, identity: Identity) -> AbstractAsyncContextManager[SignalingBackend]:
        """A backend for the peer of ``identity``. Override it if the URL isn't enough."""
        return _installed_backend(url, identity)

    @contextlib.asynccontextmanager
    async def met(self) -> AsyncIterator[tuple[SignalingBackend, SignalingBackend]]:
        """The backends of two peers."""
        with anyio.fail_after(self.timeout):
            async with (
                self.service() as url,
                self.backend(url, self.alice) as alice,
                self.backend(url, self.bob) as bob,
            ):
                yield alice, bob

    @contextlib.asynccontextmanager
    async def pair(self) -> AsyncIterator[tuple[SignalingSession, SignalingSession]]:
        """Both ends of a session."""
        async with self.met() as (alice, bob), session_pair(alice, bob, self.bob.peer_id) as pair:
            yield pair

    # --- a session ----------------------------------------------------------------------------------------------------

    async def test_both_ends_agree_on_who_and_which(self) -> None:
        async with self.pair() as (ours, theirs):
            assert ours.remote_peer == self.bob.peer_id
            assert theirs.remote_peer == self.alice.peer_id
            assert ours.session_id == theirs.session_id

    async def test_signals_go_both_ways_in_order(self) -> None:
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

    async def test_bye_is_the_end(self) -> None:
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

    async def test_a_bye_by_hand_ends_both_sides(self) -> None:
        async with self.pair() as (ours, theirs):
            await ours.send(BYE)
            for session in (ours, theirs):
                with pytest.raises(anyio.EndOfStream):
                    await session.receive()
                with pytest.raises(SignalingError):
                    await session.send(ANSWER)

    async def test_an_error_is_raised_with_its_code(self) -> None:
        async with self.pair() as (ours, theirs):
            await theirs.send(error("invalid-proof", "a\nforged line"))
            with pytest.raises(SignalingRejected, match="invalid-proof") as caught:
                await ours.receive()
            assert caught.value.code == "invalid-proof"
            assert "\n" not in str(caught.value)
            with pytest.raises(SignalingRejected):
                await ours.send(ANSWER)

    async def test_a_peer_that_does_not_listen_any_more_is_unreachable(self) -> None:
        async with self.pair() as (ours, theirs):
            await theirs.send(error("not-listening"))
            with pytest.raises(PeerUnreachable):
                await ours.receive()

    async def test_after_aclose_nothing_works(self) -> None:
        async with self.pair() as (ours, _):
            await ours.aclose()
            with pytest.raises(anyio.ClosedResourceError):
                await ours.send(ANSWER)
            with pytest.raises(anyio.ClosedResourceError):
                await ours.receive()

    async def test_aclose_wakes_who_receives(self) -> None:
        async with self.pair() as (ours, _):

            async def receive() -> None:
                with pytest.raises(anyio.ClosedResourceError):
                    await ours.receive()

            async with anyio.create_task_group() as task_group:
                task_group.start_soon(receive)
                await anyio.wait_all_tasks_blocked()
                await ours.aclose()

    async def test_a_session_has_a_bounded_number_of_signals(self) -> None:
        async with self.pair() as (ours, _):
            with pytest.raises(SignalingRejected, match="at most"):
                for number in range(_MANY_SIGNALS):
                    await ours.send(candidate(number))

    # --- reaching a peer ----------------------------------------------------------------------------------------------

    async def test_an_unknown_peer_is_unreachable(self) -> None:
        async with self.met() as (alice, _):
            with pytest.raises(PeerUnreachable):
                await _offer(alice, Identity.generate().peer_id)

    async def test_a_peer_that_does_not_listen_is_unreachable(self) -> None:
        async with self.met() as (alice, bob):
            async with serving(bob, echo):
                pass
            with pytest.raises(PeerUnreachable):
                await _offer(alice, self.bob.peer_id)

    async def test_a_peer_can_not_reach_itself(self) -> None:
        async with self.met() as (alice, _):
            with pytest.raises(PeerUnreachable, match="itself"):
                await alice.connect(self.alice.peer_id)

    async def test_many_sessions_at_once_do_not_mix(self) -> None:
        async def ask(backend: SignalingBackend, number: int) -> None:
            async with await backend.connect(self.bob.peer_id) as session:
                await session.send(OFFER)
                assert await session.receive() == OFFER
                for i in range(3):
                    await session.send(candidate(number + i))
                    assert await session.receive() == candidate(number + i)

        async with self.met() as (alice, bob), serving(bob, until_bye(echo)):
            async with anyio.create_task_group() as task_group:
                for number in range(0, 500, 10):
                    task_group.start_soon(ask, alice, number)

    # --- serving ------------------------------------------------------------------------------------------------------

    async def test_a_session_that_fails_does_not_stop_serving(self) -> None:
        async def handler(session: SignalingSession) -> None:
            await session.receive()
            raise SignalingRejected("no", code="busy")

        async with self.met() as (alice, bob), serving(bob, handler):
            for _ in range(2):
                with pytest.raises(anyio.EndOfStream):
                    await _offer(alice, self.bob.peer_id)

    async def test_when_serving_ends_so_do_its_sessions(self) -> None:
        async with self.met() as (alice, bob):
            arrived = anyio.Event()
            async with serving(bob, _keep(arrived)):
                session = await alice.connect(self.bob.peer_id)
                await session.send(OFFER)
                await arrived.wait()
            with pytest.raises(anyio.EndOfStream):
                await session.receive()
            with pytest.raises(PeerUnreachable):
                await _offer(alice, self.bob.peer_id)

    async def test_one_can_serve_again_but_not_twice_at_once(self) -> None:
        async def handler(session: SignalingSession) -> None:
            await session.receive()
            await session.send(ANSWER)

        async with self.met() as (alice, bob):
            async with serving(bob, handler):
                with pytest.raises(anyio.BusyResourceError):
                    await bob.serve(handler)
            async with serving(bob, handler), await alice.connect(self.bob.peer_id) as session:
                await session.send(OFFER)
                assert await session.receive() == ANSWER

    # --- leaving nothing behind ---------------------------------------------------------------------------------------

    async def test_leaving_the_backend_closes_its_sessions(self) -> None:
        arrived = anyio.Event()
        inbound: list[SignalingSession] = []
        with anyio.fail_after(self.timeout):
            async with self.service() as url, self.backend(url, self.bob) as bob:
                async with serving(bob, _keep(arrived, inbound)):
                    async with self.backend(url, self.alice) as alice:
                        ours = await alice.connect(self.bob.peer_id)
                        await ours.send(OFFER)
                        await arrived.wait()
                        assert await inbound[0].receive() == OFFER
                    with pytest.raises(anyio.EndOfStream):
                        await inbound[0].receive()
                    with pytest.raises(anyio.ClosedResourceError):
                        await ours.receive()

    async def test_cancelling_a_session_anywhere_leaves_nothing_behind(self) -> None:
        async with self.met() as (alice, bob):
            assert await self._echoes(alice, bob)
            async with nothing_left():
                assert await cancel_at_each_await(lambda: self._echoes(alice, bob)) > 3
            assert await self._echoes(alice, bob)

    async def test_cancelling_a_backend_anywhere_leaves_nothing_behind(self) -> None:
        with anyio.fail_after(self.timeout):
            async with self.service() as url:

                async def scenario() -> bool:
                    async with self.backend(url, self.alice) as alice, self.backend(url, self.bob) as bob:
                        return await self._echoes(alice, bob)

                assert await scenario()
                async with nothing_left():
                    assert await cancel_at_each_await(scenario) > 3

    async def _echoes(self, alice: SignalingBackend, bob: SignalingBackend) -> bool:
        """Whether what alice sends to bob comes back."""
        async with serving(bob, until_bye(echo)):
            # When the test is cancelled so is the listener, and it may be gone before the dialer is.
            with contextlib.suppress(anyio.EndOfStream, SignalingError):
                async with await alice.connect(self.bob.peer_id) as session:
                    await session.send(OFFER)
                    return await session.receive() == OFFER
        return False


def conformance(url: str) -> type[SignalingConformance]:
    """A class of tests for the backend that is installed for the scheme of ``url``. Name it ``Test…`` in a test file.

    :param url: of a service that runs
    """
    return type("Conformance", (SignalingConformance,), {"url": url})


@contextlib.asynccontextmanager
async def _installed_backend(url: str, identity: Identity) -> AsyncIterator[SignalingBackend]:
    make: Callable[[str, SignalingContext], SignalingBackend] = signaling_backend_class(
        urlsplit(url).scheme
    ).from_url
    async with (
        open_portal() as portal,
        make(url, SignalingContext(identity, TransportConfig(), portal)) as backend,
    ):
        yield backend


def _keep(arrived: anyio.Event, sessions: list[SignalingSession] | None = None) -> Handler:
    """A handler that keeps its session open, and adds it to ``sessions``."""

    async def handle(session: SignalingSession) -> None:
        if sessions is not None:
            sessions.append(session)
        arrived.set()
        await anyio.sleep_forever()

    return handle


async def _offer(backend: SignalingBackend, peer: PeerId) -> None:
    """Some services can tell only after the first signal."""
    async with await backend.connect(peer) as session:
        await session.send(OFFER)
        await session.receive()
