"""The caller's end of a session, as all backends of this package have it."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Mapping
from typing import Final

import anyio
import anyio.lowlevel

from webrtc_transport.abc import SignalingSession
from webrtc_transport.errors import PeerUnreachable, SignalingError, SignalingRejected
from webrtc_transport.identity import PeerId
from webrtc_transport.protocol.signals import Bye, Error, ErrorData, Signal
from webrtc_transport.wakeup import Wakeup

_CLOSED: Final = "the signaling session was closed by aclose()"

_UNREACHABLE_CURES: Final[Mapping[str, str]] = {
    "peer-not-found": "check the peer id; the peer has to run, with the same signaling service",
    "not-listening": "the peer has to call listen('/webrtc') first",
    "peer-gone": "dial again when it is back",
    "undeliverable": "dial again when it is back",
}
"""What helps if a peer can't be reached, by the code that says why."""


class BufferedSession(SignalingSession):
    """A session whose inbound signals wait in memory until they are received.

    The backend calls :meth:`feed` and :meth:`end` in the caller's loop, and bounds how often.
    """

    def __init__(self, remote_peer: PeerId, session_id: str, *, authenticated: bool) -> None:
        self._remote_peer = remote_peer
        self._session_id = session_id
        self._authenticated = authenticated
        self._inbox: deque[Signal] = deque()
        self._changed = Wakeup()
        self._end: Exception | None = None
        """What :meth:`receive` raises when the inbox is empty."""
        self._closed = False

    @property
    def remote_peer(self) -> PeerId:
        return self._remote_peer

    @property
    def session_id(self) -> str:
        return self._session_id

    @property
    def authenticated(self) -> bool:
        return self._authenticated

    def feed(self, signal: Signal) -> None:
        """A signal of the peer arrived."""
        match signal:
            case Bye():
                self.end(anyio.EndOfStream())
            case Error(data=data):
                self.end(session_error(self._remote_peer, data))
            case _ if self._end is None:
                self._inbox.append(signal)
                self._changed.notify()

    def end(self, reason: Exception) -> None:
        """The session is over; the first reason counts."""
        if self._end is None:
            self._end = reason
            self._changed.notify()

    async def send(self, signal: Signal) -> None:
        await anyio.lowlevel.checkpoint()
        if self._closed:
            raise anyio.ClosedResourceError(_CLOSED)
        if isinstance(self._end, SignalingError):
            raise self._end
        if self._end is not None:
            raise SignalingRejected(f"{self._remote_peer} has ended the session", code="ended")
        await self._send(signal)
        if isinstance(signal, Bye | Error):
            self.end(anyio.EndOfStream())

    async def receive(self) -> Signal:
        await anyio.lowlevel.checkpoint()
        while not self._closed:
            if self._inbox:
                return self._inbox.popleft()
            if self._end is not None:
                raise self._end
            await self._changed.wait()
        raise anyio.ClosedResourceError(_CLOSED)

    async def aclose(self) -> None:
        if self._closed:
            return
        self._close(Bye() if self._end is None else None)

    def refuse(self, code: str, message: str) -> None:
        """Close the session with an ``error`` signal instead of ``bye``."""
        self._close(Error(data=ErrorData(code=code, message=message)))

    def _close(self, farewell: Bye | Error | None) -> None:
        self._closed = True
        self._changed.notify()
        self._forget(farewell)

    @abstractmethod
    async def _send(self, signal: Signal) -> None:
        """Send one signal, or raise ``SignalingError``."""

    @abstractmethod
    def _forget(self, farewell: Bye | Error | None) -> None:
        """The session is closed; send ``farewell``, if the peer doesn't know."""


def session_error(peer: PeerId, data: ErrorData) -> SignalingError:
    """The error for what a peer, or the service, says about the session with ``peer``."""
    # Quoted: the text is somebody else's, and may end up in a log.
    message = f"no session with {peer}: {data.message or data.code!r} ({data.code})"
    if data.code in _UNREACHABLE_CURES:
        return PeerUnreachable(f"{message}; {_UNREACHABLE_CURES[data.code]}")
    return SignalingRejected(message, code=data.code)
