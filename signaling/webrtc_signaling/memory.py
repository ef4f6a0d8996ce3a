"""A rendezvous inside one event loop, for tests and examples: ``memory://<name>``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskStatus
from anyio.lowlevel import RunVar

from webrtc_transport.abc import SignalingBackend, SignalingContext, SignalingSession
from webrtc_transport.errors import (
    AlreadyListening,
    ConfigurationError,
    PeerUnreachable,
    SignalingRejected,
)
from webrtc_transport.identity import Identity, PeerId
from webrtc_transport.protocol.proof import new_session_id
from webrtc_transport.protocol.signals import Bye, Error, Signal
from webrtc_transport.redaction import redacted

from .inbound import ALREADY_SERVING, Backlog
from .limits import MAX_SESSION_SIGNALS
from .session import BufferedSession

Intercept = Callable[[Signal], Sequence[Signal]]
"""Stands between the peers: it gets each signal that is sent, and returns what arrives in its place."""


def _pass_on(signal: Signal) -> Sequence[Signal]:
    return (signal,)


@dataclass(eq=False)
class _Member:
    """One peer at a rendezvous."""

    peer: PeerId
    rendezvous: str
    authenticated: bool
    intercept: Intercept
    sessions: set[_MemorySession] = field(default_factory=set)
    backlog: Backlog | None = None
    """There is one while somebody serves."""


_serving: RunVar[dict[tuple[str, PeerId], _Member]] = RunVar("webrtc_signaling.memory")
"""Who can be reached in this event loop, by rendezvous and peer."""


class MemoryBackend(SignalingBackend):
    """Reaches the peers that serve under the same name in the same event loop.

    :param authenticated: whether the sessions claim to prove the peer, so that descriptions need no signature
    :param intercept: alters, drops or adds signals that this backend sends; for tests
    """

    def __init__(
        self,
        identity: Identity,
        name: str = "",
        *,
        authenticated: bool = False,
        intercept: Intercept = _pass_on,
    ) -> None:
        self._member = _Member(identity.peer_id, name, authenticated, intercept)

    @classmethod
    def from_url(cls, url: str, context: SignalingContext) -> Self:
        parts = urlsplit(url)
        if parts.scheme != "memory" or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise ConfigurationError(
                f"{redacted(url)!r} is no address of a rendezvous in memory: use memory://<name>"
            )
        return cls(context.identity, parts.netloc)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        for session in list(self._member.sessions):
            await session.aclose()

    async def connect(self, peer: PeerId) -> SignalingSession:
        await anyio.lowlevel.checkpoint()
        name = self._member.rendezvous
        if peer == self._member.peer:
            raise PeerUnreachable("a peer can't have a session with itself")
        target = _serving.get({}).get((name, peer))
        if target is None or target.backlog is None:
            raise PeerUnreachable(f"{peer} doesn't listen on memory://{name}")
        pair = _Pair(self._member, target, new_session_id())
        for end in pair.ends:
            end.member.sessions.add(end)
        target.backlog.add(pair.ends[1])
        return pair.ends[0]

    async def serve(
        self,
        handler: Callable[[SignalingSession], Awaitable[None]],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        serving = _serving.get(None)
        if serving is None:
            _serving.set(serving := {})
        member = self._member
        if member.backlog is not None:
            raise AlreadyListening(ALREADY_SERVING)
        key = (member.rendezvous, member.peer)
        former = serving.get(key)
        if former is not None and former.backlog is not None:
            reason = f"another {member.peer} listens now; one identity is for one process at a time"
            former.backlog.fail(SignalingRejected(reason, code="replaced"))
        backlog = member.backlog = Backlog()
        serving[key] = member
        try:
            await backlog.serve(handler, task_status)
        finally:
            member.backlog = None
            if serving[key] is member:
                del serving[key]


class _Pair:
    """The two ends of a session: the initiator's and the listener's."""

    def __init__(self, initiator: _Member, listener: _Member, session_id: str) -> None:
        self.ends = (
            _MemorySession(self, initiator, listener.peer, session_id),
            _MemorySession(self, listener, initiator.peer, session_id),
        )

    def opposite(self, end: _MemorySession) -> _MemorySession:
        return self.ends[1] if end is self.ends[0] else self.ends[0]


class _MemorySession(BufferedSession):
    def __init__(self, pair: _Pair, member: _Member, remote_peer: PeerId, session_id: str) -> None:
        super().__init__(remote_peer, session_id, authenticated=member.authenticated)
        self.member = member
        self._pair = pair
        self._sent = 0

    async def _send(self, signal: Signal) -> None:
        if self._sent >= MAX_SESSION_SIGNALS:
            raise SignalingRejected(
                f"a session has {MAX_SESSION_SIGNALS} signals at most", code="too-many-signals"
            )
        self._sent += 1
        for arriving in self.member.intercept(signal):
            self._pair.opposite(self).feed(arriving)

    def _forget(self, farewell: Bye | Error | None) -> None:
        self.member.sessions.discard(self)
        if farewell is not None:
            self._pair.opposite(self).feed(farewell)
