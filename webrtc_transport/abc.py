"""Contracts between the parts: what a signaling backend, and what an engine, has to do.

Signaling backends run in the *caller's* event loop and are written against anyio (or against asyncio, behind
:class:`~webrtc_transport.portal.Portal`). Engines run on the *engine's* asyncio loop, unless they can do with any
(:class:`LoopNeutralEngine`); their methods are plain functions that never block, and what happens is told by calling
the methods of an event sink, on that loop too. So nothing needs to be cancelled across the seam, and a data path needs
no task.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Self

import anyio
from anyio.abc import TaskStatus

from .identity import Identity, PeerId
from .protocol.certificate import Certificate
from .protocol.sdp import IceCandidate, SessionDescription
from .protocol.signals import Signal

if TYPE_CHECKING:
    from .config import IceServer, TransportConfig
    from .engine.driver import Driver
    from .portal import Portal


Attributes = Mapping[Any, Callable[[], Any]]
"""Typed attributes, in anyio's own type: their types stand in the attribute sets."""


# --- signaling -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SignalingContext:
    """What a backend is built with."""

    identity: Identity
    """Who we are; a backend proves it to its service by signing what the service asks."""
    config: TransportConfig
    portal: Portal
    """For backends whose library needs asyncio."""


class SignalingSession(ABC):
    """One exchange of descriptions and candidates with one peer."""

    @property
    @abstractmethod
    def remote_peer(self) -> PeerId:
        """Who is (said to be) at the other end."""

    @property
    @abstractmethod
    def session_id(self) -> str:
        """The same at both ends, and never used again: the signatures of the descriptions cover it."""

    @property
    @abstractmethod
    def authenticated(self) -> bool:
        """Whether the channel itself proves :attr:`remote_peer`, so that descriptions need no signature."""

    @property
    def uses_init_channel(self) -> bool:
        """Whether the offerer opens and closes a channel ``init`` first (libp2p specs, webrtc/webrtc.md, step 4)."""
        return False

    @abstractmethod
    async def send(self, signal: Signal) -> None:
        """Send one signal, in order.

        :raises SignalingError: if the signal can't be delivered
        :raises anyio.ClosedResourceError: after :meth:`aclose`
        """

    @abstractmethod
    async def receive(self) -> Signal:
        """Wait for the next signal of the peer.

        An ``error`` signal is raised as the matching :class:`~webrtc_transport.errors.SignalingError`.

        :raises anyio.EndOfStream: after the peer's ``bye``
        :raises InvalidSignal: if the peer sent something malformed
        :raises SignalingError: if the session is lost
        :raises anyio.ClosedResourceError: after :meth:`aclose`
        """

    @abstractmethod
    async def aclose(self) -> None:
        """Say ``bye`` and forget the session. Safe to call twice, and when cancelled."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.aclose()


class SignalingBackend(AbstractAsyncContextManager["SignalingBackend"]):
    """A way to exchange signals, found by the scheme of its URL.

    Register the class as an entry point of the group ``webrtc_transport.signaling``; its name is the URL scheme.
    A backend is entered once, before any other method, and exited once.
    """

    @classmethod
    @abstractmethod
    def from_url(cls, url: str, context: SignalingContext) -> Self:
        """Build the backend for ``url``; no I/O yet.

        :raises ConfigurationError: if the URL is malformed
        """

    @abstractmethod
    async def connect(self, peer: PeerId) -> SignalingSession:
        """Start a session with ``peer``.

        :raises SignalingUnavailable: if the service can't be reached
        :raises SignalingRejected: if it refuses us
        :raises PeerUnreachable: if it doesn't know the peer (some services can tell only after the first signal)
        """

    @abstractmethod
    async def serve(
        self,
        handler: Callable[[SignalingSession], Coroutine[object, object, None]],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Call ``handler`` in a task of its own for each inbound session, until cancelled.

        ``task_status.started()`` is called once peers can reach us. While nobody serves, inbound sessions are
        refused with the error ``not-listening``. The handler closes the session.

        :raises AlreadyListening: if it serves already
        :raises SignalingError: if the service refuses us or is gone for good
        """


# --- engine ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class CandidatePair:
    """The pair that ICE settled on."""

    local: IceCandidate
    remote: IceCandidate
    remote_ip: str | None = field(default=None, repr=False, compare=False)
    """The IP address that packets go to, if the engine tells it. If ``remote`` has an mDNS name, it is what the name
    hides: for access control, and not to be passed on."""

    @property
    def kind(self) -> str:
        """The kind of its less direct end: ``relay``, ``srflx``, ``prflx`` or ``host``, in this order."""
        kinds = (self.local.type, self.remote.type)
        for kind in ("relay", "srflx", "prflx"):
            if kind in kinds:
                return kind
        return "host"


@dataclass(frozen=True)
class PeerStatistics:
    """Counters of one peer connection. Sizes are bytes."""

    bytes_sent: int
    bytes_received: int
    packets_sent: int
    packets_received: int
    packets_dropped: int
    """Received while the application didn't read, over the bound: SCTP sends them again."""
    unread: int
    """Delivered by SCTP, not yet read by the application."""


@dataclass(frozen=True)
class PeerSettings:
    """What an engine needs to know to build one peer connection."""

    offerer: bool
    """The offerer is ICE controlling, and DTLS server if the answer leaves it the choice."""
    certificate: Certificate
    ice_servers: Sequence[IceServer]
    config: TransportConfig


class PeerEvents(ABC):
    """What an engine tells about a peer connection, on the engine's loop."""

    @abstractmethod
    def on_phase(self, phase: str) -> None:
        """``ice``, ``dtls`` or ``sctp`` begins; ``connected``; ``disconnected`` while the peer doesn't answer."""

    @abstractmethod
    def on_channel(self, channel: EngineChannel) -> None:
        """The peer opened a channel. Bind its events, or close it, before returning."""

    @abstractmethod
    def on_closed(self, reason: Exception) -> None:
        """The peer connection is over, and with it every channel: told exactly once, and nothing after it.

        Before the phase ``connected`` the reason is a :exc:`~webrtc_transport.errors.ConnectError`, unless it was
        given to :meth:`EnginePeer.close`.
        """


class SignaledPeerEvents(PeerEvents):
    """The same about one whose candidates are signaled to the peer."""

    @abstractmethod
    def on_candidate(self, candidate: IceCandidate | None) -> None:
        """A local candidate was found; ``None`` ends them. Each is told once."""


class ChannelEvents(ABC):
    """What an engine tells about a data channel, on the engine's loop."""

    @abstractmethod
    def on_message(self, data: bytes) -> None:
        """A whole message arrived. It counts as unread until :meth:`EnginePeer.grant` returns its credit."""

    @abstractmethod
    def on_sent(self, size: int) -> None:
        """``size`` bytes that :meth:`EngineChannel.send` took have left its buffer; in the end, all of them."""

    @abstractmethod
    def on_closed(self) -> None:
        """The channel is closed in both directions: told at most once, after its last message.

        When the whole connection ends this isn't told: :meth:`PeerEvents.on_closed` stands for every channel.
        """


class EngineChannel(ABC):
    """One ordered, reliable data channel (RFC 8831). Methods are called on the engine's loop and never block."""

    @property
    @abstractmethod
    def id(self) -> int:
        """The SCTP stream id."""

    @property
    @abstractmethod
    def label(self) -> str:
        """The label of RFC 8832; empty for libp2p streams."""

    @abstractmethod
    def bind(self, events: ChannelEvents) -> None:
        """Tell ``events`` from now on. Called before :meth:`PeerEvents.on_channel` returns."""

    @abstractmethod
    def send(self, data: bytes) -> None:
        """Queue one message. The caller keeps ``send_buffer`` by counting :meth:`ChannelEvents.on_sent`.

        On a channel that is closing or closed the data is discarded: ``on_closed`` tells the sender.

        :raises ValueError: if it is larger than the peer's ``max_message_size``
        """

    @abstractmethod
    def close(self, delay: float = 0.0) -> None:
        """Send what is queued and close the channel, after ``delay`` seconds if the peer hasn't by then."""


class EnginePeer(ABC):
    """One peer connection: ICE, DTLS and SCTP. Methods are called on the engine's loop and never block."""

    @abstractmethod
    def open_channel(
        self, events: ChannelEvents, *, label: str = "", negotiated_id: int | None = None
    ) -> EngineChannel:
        """Open a channel. It can be sent on at once (RFC 8832, section 6).

        What the peer sent on a negotiated one before is told after this has returned.

        :raises TooManyStreams: if no stream id is free
        :raises ConnectionEnded: if the peer connection is over
        """

    @abstractmethod
    def grant(self, size: int) -> None:
        """The application has read ``size`` bytes of what ``on_message`` told, on whichever channel."""

    @property
    @abstractmethod
    def candidate_pair(self) -> CandidatePair | None:
        """The selected pair, once there is one."""

    @property
    @abstractmethod
    def max_message_size(self) -> int:
        """The largest message that the peer takes, in bytes."""

    @abstractmethod
    def statistics(self) -> PeerStatistics:
        """The counters, now."""

    @abstractmethod
    def close(self, reason: Exception) -> None:
        """End the peer connection. ``on_closed(reason)`` follows once nothing of it is left, within a second.

        What is called after it does nothing.
        """


class SignaledPeer(EnginePeer):
    """One whose parameters and candidates are exchanged by signaling."""

    @property
    @abstractmethod
    def local_description(self) -> SessionDescription:
        """Our parameters, without candidates: those are told by :meth:`SignaledPeerEvents.on_candidate`.

        On the answering side it is valid after :meth:`start`.
        """

    @abstractmethod
    def gather(self) -> None:
        """Begin to look for local candidates."""

    @abstractmethod
    def start(self, remote: SessionDescription) -> None:
        """Connect to the peer that ``remote`` describes. ``on_phase`` and ``on_closed`` tell how it goes."""

    @abstractmethod
    def add_remote_candidate(self, candidate: IceCandidate | None) -> None:
        """A trickled candidate of the peer; ``None`` ends them. Unusable ones are ignored."""


class Engine(ABC):
    """A protocol stack. Register a factory as an entry point of the group ``webrtc_transport.engines``."""

    name: ClassVar[str]

    @abstractmethod
    def create_peer(self, settings: PeerSettings, events: SignaledPeerEvents) -> SignaledPeer:
        """Build a peer connection. Called on the engine's loop."""


class LoopNeutralEngine(Engine):
    """One whose peers can live in the caller's loop, whichever it is, with what needs asyncio behind a portal.

    So what crosses is control, and no message. The facade prefers it.
    """

    @abstractmethod
    def create_peer_here(
        self, driver: Driver, portal: Portal, settings: PeerSettings, events: SignaledPeerEvents
    ) -> SignaledPeer:
        """Build a peer connection that lives in the caller's loop. Called there, and so are all its methods and events.

        :param driver: of the caller's loop
        :param portal: to asyncio
        """
