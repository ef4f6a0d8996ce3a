"""What dialer and listener have in common: signed descriptions, trickled candidates, and the connection at the end."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Final

import anyio

from .abc import Engine, LoopNeutralEngine, PeerSettings, SignalingSession
from .addresses import webrtc_address
from .certificates import check_certificate
from .config import IceServer, TransportConfig, check_ice_servers
from .connection import Connection
from .engine.driver import Driver
from .errors import (
    ConfigurationError,
    ConnectError,
    ConnectTimeout,
    InvalidSignal,
    NoRouteToPeer,
    OwnFault,
    SignalingError,
    SignalingRejected,
    WebRTCError,
)
from .identity import Identity, PeerId
from .links import Links
from .portal import Portal, same_loop_portal
from .protocol.certificate import Certificate
from .protocol.limits import MAX_REASON_LENGTH
from .protocol.proof import Kind, ProofVerifier, sign_description
from .protocol.sdp import IceCandidate, SessionDescription
from .protocol.signals import (
    Answer,
    Candidate,
    CandidateData,
    DescriptionData,
    Error,
    ErrorData,
    Offer,
    Proof,
)
from .signaled_link import PeerFactory, SignaledLink
from .task_group import bare_task_group

_logger = logging.getLogger("libp2p.transport.webrtc.connector")

OWN_FAILURE_GRACE: Final = 0.3
"""Seconds that this end gets to fail by itself when the peer says that it has: a flight of DTLS, and some."""

GOODBYE_TIMEOUT: Final = 1.0
"""Seconds for telling the peer that a handshake failed. It is a courtesy: the peer has a deadline of its own."""


class SignaledConnector:
    """Sets peer connections up for one identity, with the help of signaling.

    :param driver: of the caller's loop
    :param portal: between it and asyncio
    """

    def __init__(
        self,
        identity: Identity,
        driver: Driver,
        portal: Portal,
        engine: Engine,
        *,
        config: TransportConfig,
        links: Links,
    ) -> None:
        self.config = config
        self.portal = portal
        self._peer_portal = portal
        self._create_peer: PeerFactory = engine.create_peer
        if isinstance(engine, LoopNeutralEngine):
            self._peer_portal = same_loop_portal()
            self._create_peer = partial(engine.create_peer_here, driver, portal)
        self._identity = identity
        self._engine = engine
        self._certificate = config.certificate
        self._verifier = ProofVerifier(config.proof_max_age)
        self._links = links

    @asynccontextmanager
    async def link(self, remote_peer: PeerId, *, offerer: bool) -> AsyncIterator[SignaledLink]:
        """A new link to ``remote_peer``, which is closed if the block doesn't end well.

        :raises ConnectError: if there can be none
        """
        settings = PeerSettings(
            offerer=offerer,
            certificate=self._current_certificate(),
            ice_servers=await self._ice_servers(),
            config=self.config,
        )
        link = SignaledLink(self._peer_portal, self.config, remote_peer, on_end=self._links.ended)
        async with self._links.setting_up(link):
            await link.open(self._engine.name, self._create_peer, settings)
            yield link

    def sign_offer(self, session: SignalingSession, sdp: str) -> Offer:
        """Our offer, signed unless the session itself proves who we are."""
        return Offer(data=DescriptionData(type="offer", sdp=sdp), proof=self._sign(session, "offer", sdp))

    def sign_answer(self, session: SignalingSession, sdp: str) -> Answer:
        """Our answer, signed likewise."""
        return Answer(data=DescriptionData(type="answer", sdp=sdp), proof=self._sign(session, "answer", sdp))

    def verify(self, session: SignalingSession, signal: Offer | Answer) -> SessionDescription:
        """The peer's description, if it comes from the peer.

        :raises InvalidProof: if it doesn't
        :raises InvalidSignal: if it is malformed
        """
        if not session.authenticated:
            self._verifier.verify(
                signal.proof,
                kind=signal.type,
                session_id=session.session_id,
                sender=session.remote_peer,
                receiver=self._identity.peer_id,
                sdp=signal.data.sdp,
                now_ms=_now_ms(),
            )
        description = SessionDescription.parse(signal.data.sdp)
        # RFC 8122, section 5: only those of the preferred hash function count.
        preferred = max(len(fingerprint.digest) for fingerprint in description.fingerprints)
        return replace(
            description,
            fingerprints=tuple(
                fingerprint
                for fingerprint in description.fingerprints
                if len(fingerprint.digest) == preferred
            ),
        )

    def _sign(self, session: SignalingSession, kind: Kind, sdp: str) -> Proof | None:
        if session.authenticated:
            return None
        return sign_description(
            self._identity,
            kind=kind,
            session_id=session.session_id,
            receiver=session.remote_peer,
            sdp=sdp,
            now_ms=_now_ms(),
        )

    async def _ice_servers(self) -> Sequence[IceServer]:
        servers = self.config.ice_servers
        if not callable(servers):
            return servers
        try:
            awaitable: object = servers()
            returned = await awaitable if inspect.isawaitable(awaitable) else awaitable
        except Exception as exc:
            # The application's function: whatever it raises costs this connection, and no other.
            raise OwnFault(f"the function ice_servers raised {type(exc).__name__}: {exc}") from exc
        if not inspect.isawaitable(awaitable):
            raise ConfigurationError("the function ice_servers isn't async; write it with `async def`")
        try:
            return check_ice_servers(returned)
        except ConfigurationError as exc:
            raise OwnFault(f"what the function ice_servers returned {exc}") from None

    def _current_certificate(self) -> Certificate:
        now = datetime.now(UTC)
        if self._certificate is None or (
            self._certificate.is_expired(now) and self.config.certificate is None
        ):
            self._certificate = Certificate.generate(now=now)
        check_certificate(self._certificate, now)
        return self._certificate


class Attempt:
    """A set-up with a deadline, which can tell how far it got."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._started = time.monotonic()
        self._link: SignaledLink | None = None

    def begin(self, link: SignaledLink) -> None:
        """``link`` is what it makes a connection of."""
        self._link = link
        link.phase_times["signaling"] = self._started

    def timed_out(self, before: str) -> ConnectError:
        """The error for a deadline that passed; ``before`` says what was missing if there was no link yet."""
        if self._link is None:
            return ConnectTimeout(f"not connected after {self.timeout:g} s, in phase 'signaling': {before}")
        return self._link.timed_out(self.timeout)


async def trickle(link: SignaledLink, session: SignalingSession, remote: SessionDescription) -> Connection:
    """Exchange candidates until the peer connection stands; ``link`` has been started with ``remote``.

    :raises ConnectError: if it can't be made
    """
    # Kept, for a task group would wrap it.
    failure: WebRTCError | None = None

    async def receive_candidates() -> None:
        nonlocal failure
        try:
            await _receive_candidates(link, session)
        except (InvalidSignal, SignalingRejected) as exc:
            exc.args = (f"the set-up ended in phase {link.phase!r}: {exc}",)
            failure = exc
            # What failed there often fails here too, and this end can say what it was.
            with anyio.move_on_after(OWN_FAILURE_GRACE):
                await link.wait_ended()
            task_group.cancel_scope.cancel()

    async with bare_task_group() as task_group:
        task_group.start_soon(_send_candidates, link, session, remote.mid)
        task_group.start_soon(receive_candidates)
        try:
            await link.wait_connected()
        except WebRTCError as exc:
            failure = exc
        task_group.cancel_scope.cancel()
    if failure is not None:
        raise failure
    # Of several, one is the certificate's, and the engine has seen to it; but not said which.
    fingerprint = remote.fingerprints[0] if len(set(remote.fingerprints)) == 1 else None
    peer = session.remote_peer
    return Connection(link, peer, fingerprint, webrtc_address(peer))


def all_failed(failures: Sequence[SignalingError]) -> SignalingError:
    """The error for a set-up that no signaling backend could do: the first one, with the texts of all.

    Those of backends that have asked nobody come last: they tell the least.
    """
    ordered = sorted(failures, key=lambda failure: isinstance(failure, NoRouteToPeer))
    if len(ordered) > 1:
        ordered[0].args = ("; ".join(str(failure) for failure in ordered),)
    return ordered[0]


def reason_for_peer(failure: Exception) -> str:
    """Why there will be no connection, as far as it is the peer's business."""
    if isinstance(failure, ConnectError) and not isinstance(failure, OwnFault):
        return str(failure)
    return "the peer can't make connections at the moment"


async def tell_failure(session: SignalingSession, reason: str, code: str) -> None:
    """Tell the peer why there will be no connection, so that it needn't wait for its deadline."""
    error = Error(data=ErrorData(code=code, message=reason[:MAX_REASON_LENGTH]))
    with anyio.move_on_after(GOODBYE_TIMEOUT, shield=True):
        try:
            await session.send(error)
        except (SignalingError, anyio.ClosedResourceError) as exc:
            _logger.debug("could not tell %s: %s", session.remote_peer, exc)


async def _send_candidates(link: SignaledLink, session: SignalingSession, mid: str) -> None:
    ufrag = (await link.local_description()).ufrag
    while True:
        while not link.candidates:
            await link.changed.wait()
        candidate = link.candidates.popleft()
        data = CandidateData(
            candidate="" if candidate is None else candidate.to_sdp(),
            sdpMid=mid,
            sdpMLineIndex=0,
            usernameFragment=ufrag,
        )
        try:
            await session.send(Candidate(data=data))
        except (SignalingError, anyio.ClosedResourceError) as exc:
            # What the peer knows already may do; if not, ICE says so.
            _logger.info("no more candidates for %s: %s", session.remote_peer, exc)
            return


async def _receive_candidates(link: SignaledLink, session: SignalingSession) -> None:
    """Take candidates until the session ends.

    :raises SignalingRejected: if the peer gives the connection up
    :raises InvalidSignal: if signals were lost on the way, or are malformed: the peer is told so, and gives it up
    """
    while True:
        try:
            signal = await session.receive()
        except anyio.EndOfStream:
            link.add_remote_candidate(None)
            return
        except (InvalidSignal, SignalingRejected):
            raise
        except (SignalingError, anyio.ClosedResourceError) as exc:
            # ICE may do with the candidates that came.
            _logger.info("no more candidates of %s: %s", session.remote_peer, exc)
            return
        if isinstance(signal, Candidate):
            add_candidate(link, signal.data)
        else:
            _logger.info("%s sent %r where candidates are due", session.remote_peer, signal.type)


def add_candidate(link: SignaledLink, data: CandidateData | None) -> None:
    """Tell the link of a candidate of the peer, if it is usable."""
    candidate: IceCandidate | None = None
    if data is not None and data.candidate:
        try:
            candidate = IceCandidate.from_sdp(data.candidate)
        except SignalingError as exc:
            # One candidate that we don't understand is no reason to refuse the others.
            _logger.info("a candidate of the peer is not usable: %s", exc)
            return
    link.add_remote_candidate(candidate)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
