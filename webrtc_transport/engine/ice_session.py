"""The ICE session of a peer: where the engine's loop and the caller's meet.

aioice needs asyncio, so the agent runs on the engine's loop. What is above it runs in the caller's. A portal joins the
two; on asyncio they are one, and all of this is plain calls.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from contextlib import suppress
from typing import Final, Literal

from ..abc import CandidatePair, PeerSettings
from ..errors import LOOP_ENDED, EngineError, WebRTCError
from ..portal import Portal
from ..protocol.sdp import IceCandidate, SessionDescription
from .driver import Driver
from .ice import IceAgent
from .turn_client import TurnServer

_logger = logging.getLogger("libp2p.transport.webrtc.engine")

CLOSE_TIMEOUT: Final = 0.55
"""Seconds for releasing everything, a relay above all. With the stack's part, a closed peer is gone in under one."""

GOODBYE_TIMEOUT: Final = 0.45
"""Seconds that the stack gets to say good-bye when an event loop that is shutting down ends the session."""


class IceEvents(ABC):
    """What a session tells, in the caller's loop."""

    @abstractmethod
    def on_local_candidate(self, candidate: IceCandidate | None) -> None:
        """A local candidate was found; ``None`` ends them."""

    @abstractmethod
    def on_packet(self, data: bytes) -> None:
        """A packet that isn't STUN arrived."""

    @abstractmethod
    def on_consent(self, state: Literal["fresh", "missed", "expired"]) -> None:
        """The peer answers again, has missed a consent check, or has been silent for the whole timeout."""

    @abstractmethod
    def on_nominated(self) -> None:
        """The peer can be reached."""

    @abstractmethod
    def on_ice_failed(self, reason: Exception) -> None:
        """The peer can't be reached, or there is a fault at this end. The owner then closes the session."""

    @abstractmethod
    def on_ice_closed(self) -> None:
        """Nothing of the session is left: told once, and nothing after it."""


class IceSession:
    """One session. Its methods are called in the caller's loop.

    :param driver: of the caller's loop
    :param portal: between it and the engine's
    :param local: our description
    :raises EngineError: if the engine's loop has ended
    """

    def __init__(
        self,
        driver: Driver,
        portal: Portal,
        events: IceEvents,
        settings: PeerSettings,
        local: SessionDescription,
    ) -> None:
        # Of an end that was told before, nobody would be told.
        portal.check()
        config = settings.config
        urls = [(server, url) for server in settings.ice_servers for url in server.parsed]
        self.agent = IceAgent(
            events,
            driver,
            portal,
            controlling=settings.offerer,
            stun_servers=[url for _, url in urls if not url.is_turn],
            turn_servers=[
                TurnServer(url, server.username or "", server.password) for server, url in urls if url.is_turn
            ],
            relay_only=config.ice_transport_policy == "relay",
            bind_addresses=config.bind_addresses,
            liveness_timeout=config.liveness_timeout,
            ufrag=local.ufrag,
            pwd=local.pwd,
        )
        self.transmit = self.agent.transmit
        """Sends packets on the selected pair. See :class:`.stack.SendPackets`."""
        self._portal = portal
        self._events = events
        self._has_failed = False
        """Whether gathering could not begin."""
        self._end = asyncio.Event()
        self._life: asyncio.Task[None] | None = None
        self._checks: asyncio.Task[None] | None = None
        portal.at_fault.add(self._loop_ended)

    @property
    def selected_pair(self) -> CandidatePair | None:
        """The pair in use."""
        return self.agent.selected_pair

    def gather(self) -> None:
        """Begin to look for local candidates. Safe to call twice."""
        self._portal.post(self._begin)
        try:
            self.agent.gather()
        except Exception as exc:  # noqa: BLE001 - the system can't say which addresses it has: no fault of the caller's
            self._has_failed = True
            self._events.on_ice_failed(_fault(exc))

    def start(self, remote: SessionDescription) -> None:
        """Run the checks against the peer that ``remote`` describes."""
        self.gather()
        if not self._has_failed:
            self._portal.post(self._check, remote)

    def add_remote(self, candidate: IceCandidate | None) -> None:
        """Take a candidate of the peer; ``None`` ends them."""
        self._portal.post(self.agent.add_remote, candidate)

    def close(self) -> None:
        """End everything, within a second."""
        self._portal.post(self._begin)
        self._portal.post(self._end.set)

    def _closed(self) -> None:
        self._portal.at_fault.discard(self._loop_ended)
        self.agent.release()
        self._events.on_ice_closed()

    def _loop_ended(self) -> None:
        """Nothing on the engine's loop can close the session any more."""
        self._events.on_ice_failed(EngineError(LOOP_ENDED))
        self._closed()

    # --- on the engine's loop -------------------------------------------------------------------------------------

    def _begin(self) -> None:
        if self._life is None:
            self._life = asyncio.get_running_loop().create_task(self._live())
            self._life.add_done_callback(self._lived)

    def _lived(self, life: asyncio.Task[None]) -> None:
        if not life.cancelled() and life.exception() is None:
            self._portal.deliver(self._closed)
            return
        # What a loop that is shutting down cancels has told nobody, and may have ended nothing.
        self.agent.abandon()
        if self._checks is not None:
            self._checks.cancel()
        self._portal.deliver(self._loop_ended)

    def _check(self, remote: SessionDescription) -> None:
        self._checks = asyncio.get_running_loop().create_task(self._establish(remote))

    async def _establish(self, remote: SessionDescription) -> None:
        for candidate in remote.candidates:
            self.agent.add_remote(candidate)
        if remote.end_of_candidates:
            self.agent.add_remote(None)
        try:
            await self.agent.establish(remote.ufrag, remote.pwd, is_lite=remote.ice_lite)
        except WebRTCError as exc:
            self._portal.deliver(self._events.on_ice_failed, exc)
        except Exception as exc:  # noqa: BLE001 - it is logged, and ends this connection only
            self._portal.deliver(self._events.on_ice_failed, _fault(exc))
        else:
            self._portal.deliver(self._events.on_nominated)

    async def _live(self) -> None:
        try:
            await self._end.wait()
        except asyncio.CancelledError:
            # Nobody cancels this task but an event loop that is shutting down.
            self._portal.deliver(self._events.on_ice_failed, EngineError(LOOP_ENDED))
            with suppress(TimeoutError):
                async with asyncio.timeout(GOODBYE_TIMEOUT):
                    await self._end.wait()
        closing = asyncio.get_running_loop().create_task(self.agent.close())
        ending = {closing}
        if self._checks is not None:
            self._checks.cancel()
            ending.add(self._checks)
        # Tasks are waited for, not awaited: aioice swallows a cancellation, and with it that of a time-out.
        _, late = await asyncio.wait(ending, timeout=CLOSE_TIMEOUT)
        if late:
            _logger.warning("an ICE session took more than %s s to close", CLOSE_TIMEOUT)
            closing.cancel()
            self.agent.abandon()
        elif (error := closing.exception()) is not None:
            _logger.error("error while an ICE session was closed", exc_info=error)


def _fault(error: Exception) -> EngineError:
    _logger.error("error in the engine", exc_info=error)
    return EngineError(f"{type(error).__name__}: {error}")
