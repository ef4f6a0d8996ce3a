"""The link of a peer connection that signaling sets up: descriptions, and candidates that trickle."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress

import anyio

from .abc import EngineChannel, PeerSettings, SignaledPeer, SignaledPeerEvents
from .config import TransportConfig
from .errors import OwnFault, WebRTCError, set_up_failed
from .identity import PeerId
from .init_channel import INIT_GRACE, INIT_LABEL, InitChannel
from .link import PeerLink
from .portal import Portal
from .protocol.limits import FRAME_OVERHEAD, MAX_FRAME_LENGTH
from .protocol.sdp import IceCandidate, SessionDescription

PeerFactory = Callable[[PeerSettings, SignaledPeerEvents], SignaledPeer]
"""Builds a peer, in the loop that it lives in."""


class SignaledLink(PeerLink, SignaledPeerEvents):
    """The caller's end of a :class:`~webrtc_transport.abc.SignaledPeer`.

    :param portal: to the loop that the peer lives in
    :param remote_peer: who the other end says it is; proven before a connection is made of the link
    """

    def __init__(
        self,
        portal: Portal,
        config: TransportConfig,
        remote_peer: PeerId,
        *,
        on_end: Callable[[PeerLink], object],
    ) -> None:
        super().__init__(portal, config, remote_peer, first_phase="signaling", on_end=on_end)
        self.candidates: deque[IceCandidate | None] = deque()
        """Found, and not sent yet. ``changed`` tells of new ones too."""
        self._signaled: SignaledPeer | None = None

    async def open(self, engine: str, create_peer: PeerFactory, settings: PeerSettings) -> None:
        """Build the engine's peer, and begin to gather candidates.

        :param engine: its name
        :raises ConnectError: if the engine can't, or the link was closed meanwhile
        """
        try:
            self._peer = self._signaled = await self.portal.call(create_peer, settings, self)
        except WebRTCError:
            raise
        except Exception as exc:
            # An engine may be anybody's.
            raise OwnFault(f"the engine {engine!r} raised {type(exc).__name__}: {exc}") from exc
        if self.end_reason is not None:
            self.portal.post(self._peer.close, self.end_reason)
            raise set_up_failed(self.end_reason)
        self.portal.post(self._signaled.gather)

    @property
    def signaled(self) -> SignaledPeer:
        """The engine's peer; the link is open."""
        assert self._signaled is not None
        return self._signaled

    async def start(self, remote: SessionDescription) -> None:
        """Connect to the peer that ``remote`` describes; :meth:`wait_connected` tells how it went."""
        self.payload_limit = min(MAX_FRAME_LENGTH, remote.max_message_size) - FRAME_OVERHEAD
        await self.portal.call(self.signaled.start, remote)

    async def local_description(self) -> SessionDescription:
        return await self.portal.call(lambda: self.signaled.local_description)

    def add_remote_candidate(self, candidate: IceCandidate | None) -> None:
        self.portal.post(self.signaled.add_remote_candidate, candidate)

    async def open_init_channel(self) -> None:
        """Open the channel ``init``, which is closed a little later. Streams needn't wait: they have other ids."""
        # Of a connection that has ended meanwhile its streams tell.
        with suppress(WebRTCError, anyio.ClosedResourceError):
            await self.portal.call(InitChannel.open, self.peer)

    def on_channel(self, channel: EngineChannel) -> None:
        if channel.label == INIT_LABEL:
            channel.close(INIT_GRACE)
        else:
            super().on_channel(channel)

    def on_candidate(self, candidate: IceCandidate | None) -> None:
        self.portal.deliver(self._candidate_found, candidate)

    def _candidate_found(self, candidate: IceCandidate | None) -> None:
        self.candidates.append(candidate)
        self.changed.notify()
