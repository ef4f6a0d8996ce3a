"""Dialing a peer: an offer over a signaling session, the answer, and ICE."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AsyncExitStack

import anyio

from .abc import SignalingBackend, SignalingSession
from .connection import Connection
from .errors import (
    ConnectError,
    EngineError,
    InvalidSignal,
    PeerUnreachable,
    SignalingError,
    SignalingUnavailable,
    set_up_failed,
)
from .identity import PeerId
from .protocol.limits import MAX_REMOTE_CANDIDATES
from .protocol.sdp import DtlsSetup, SessionDescription
from .protocol.signals import Answer, Candidate, Signal
from .signaled_connector import (
    Attempt,
    SignaledConnector,
    add_candidate,
    all_failed,
    reason_for_peer,
    tell_failure,
    trickle,
)

_logger = logging.getLogger("libp2p.transport.webrtc.dialer")


class SignaledDialer:
    """Makes outbound connections, over the first signaling backend that reaches the peer."""

    def __init__(self, connector: SignaledConnector, backends: Sequence[SignalingBackend]) -> None:
        self._connector = connector
        self._backends = backends

    async def dial(self, peer: PeerId) -> Connection:
        """Connect to ``peer``.

        :raises ConnectError: naming the phase that failed, and what could help
        """
        attempt = Attempt(self._connector.config.dial_timeout)
        try:
            with self._connector.portal.needed(), anyio.move_on_after(attempt.timeout):
                return await self._try_backends(peer, attempt)
        except EngineError as exc:
            raise set_up_failed(exc) from None
        except anyio.ClosedResourceError:
            msg = "the transport, or its signaling backend, was closed during the dial"
            raise ConnectError(msg) from None
        raise attempt.timed_out("no signaling service answered; is its URL right, and is it running?")

    async def _try_backends(self, peer: PeerId, attempt: Attempt) -> Connection:
        failures: list[SignalingError] = []
        for backend in self._backends:
            try:
                session = await backend.connect(peer)
            except SignalingError as exc:
                failures.append(exc)
            else:
                try:
                    async with AsyncExitStack() as closing:
                        await closing.enter_async_context(session)
                        connection = await self._dial_over(session, attempt)
                        # It is closed, and to close it once more could be cancelled: the connection would be lost.
                        closing.pop_all()
                        return connection
                except (SignalingUnavailable, PeerUnreachable) as exc:
                    failures.append(exc)
            _logger.info("%s is not reachable by %s: %s", peer, type(backend).__name__, failures[-1])
        raise all_failed(failures)

    async def _dial_over(self, session: SignalingSession, attempt: Attempt) -> Connection:
        try:
            async with self._connector.link(session.remote_peer, offerer=True) as link:
                attempt.begin(link)
                local = await link.local_description()
                await session.send(self._connector.sign_offer(session, local.to_sdp()))
                remote, early = await self._receive_answer(session)
                await link.start(remote)
                for candidate in early:
                    add_candidate(link, candidate.data)
                connection = await trickle(link, session, remote)
                if session.uses_init_channel:
                    await link.open_init_channel()
                # Here, because whoever is cancelled in it must not leave the connection behind.
                await session.aclose()
                return connection
        except ConnectError as exc:
            await tell_failure(session, reason_for_peer(exc), "connect-failed")
            raise
        except anyio.get_cancelled_exc_class():
            await tell_failure(session, "the dial was given up", "cancelled")
            raise

    async def _receive_answer(
        self, session: SignalingSession
    ) -> tuple[SessionDescription, Sequence[Candidate]]:
        """The answer, and the candidates that came before it: a backend of many hops may let them overtake it."""
        early: list[Candidate] = []
        while isinstance(signal := await self._receive(session), Candidate):
            if len(early) >= MAX_REMOTE_CANDIDATES:
                raise InvalidSignal(
                    f"the peer sent more than {MAX_REMOTE_CANDIDATES} candidates, and no answer"
                )
            early.append(signal)
        if not isinstance(signal, Answer):
            msg = f"the peer answered the offer with {signal.type!r}"
            raise InvalidSignal(msg)
        remote = self._connector.verify(session, signal)
        if remote.setup is DtlsSetup.ACTPASS:
            msg = "the answer leaves the DTLS role open (RFC 8842, section 5.3: active or passive)"
            raise InvalidSignal(msg)
        return remote, early

    async def _receive(self, session: SignalingSession) -> Signal:
        try:
            return await session.receive()
        except anyio.EndOfStream:
            msg = "the peer ended the session without an answer"
            raise PeerUnreachable(msg) from None
