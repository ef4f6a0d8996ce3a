"""A connection to a proven peer: it opens and accepts streams, and tells how it is doing."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, fields
from enum import Enum
from types import TracebackType
from typing import Self

import anyio
from anyio import TypedAttributeProvider, TypedAttributeSet, typed_attribute
from anyio.abc import AsyncResource
from multiaddr import Multiaddr

from .abc import Attributes, CandidatePair, PeerStatistics
from .addresses import candidate_address
from .errors import ConnectionAborted, ConnectionClosed, ConnectionEnded, HandlerError, ended
from .identity import PeerId
from .link import PeerLink
from .protocol.sdp import Fingerprint
from .serving import check_handler, log_failure, run_handler
from .stream import Stream
from .task_group import bare_task_group


class ConnectionState(Enum):
    """Where a connection is in its life."""

    CONNECTED = "connected"
    DISCONNECTED = "disconnected"
    """The peer has missed a consent check (RFC 7675); it may come back."""
    CLOSED = "closed"


class WebRTCAttribute(TypedAttributeSet):
    """Typed attributes of connections and their streams (``stream.extra(WebRTCAttribute.remote_peer)``)."""

    remote_peer: PeerId = typed_attribute()
    """Who is at the other end."""
    local_address: Multiaddr = typed_attribute()
    """The UDP address of this end that packets leave from."""
    remote_address: Multiaddr = typed_attribute()
    """The UDP address that packets go to; a relay's, if the pair is relayed."""
    candidate_pair: CandidatePair = typed_attribute()
    """What ICE settled on."""
    remote_fingerprint: Fingerprint = typed_attribute()
    """Of the peer's certificate. It is missing when the peer announced several by the same hash function, as if it had
    several certificates: any of them may be the one that it has shown."""


@dataclass(frozen=True)
class SetupTimes:
    """How long each phase of the set-up took, in seconds."""

    signaling: float = 0.0
    """Until the peer's description was there. None of it is in webrtc-direct."""
    ice: float = 0.0
    """A listener of webrtc-direct begins to count with the first DTLS packet."""
    dtls: float = 0.0
    sctp: float = 0.0
    noise: float = 0.0
    """In webrtc-direct, until the peer had proven who it is."""

    @property
    def total(self) -> float:
        """From the beginning of the dial, or the arrival of the offer, to the first possible stream."""
        return self.signaling + self.ice + self.dtls + self.sctp + self.noise


@dataclass(frozen=True)
class ConnectionStatistics:
    """Counters of a connection, now."""

    streams: int
    """Streams whose channel isn't closed yet."""
    engine: PeerStatistics
    """Counters of the protocol stack."""


class Connection(AsyncResource, TypedAttributeProvider):
    """A connection whose peer is proven. Leaving ``async with`` closes it in an orderly way."""

    def __init__(
        self,
        link: PeerLink,
        remote_peer: PeerId,
        remote_fingerprint: Fingerprint | None,
        remote_multiaddr: Multiaddr,
    ) -> None:
        assert link.candidate_pair is not None, "a connection is made of a link that is connected"
        self._link = link
        self._pair = link.candidate_pair
        self._remote_peer = remote_peer
        self._fingerprint = remote_fingerprint
        self._multiaddr = remote_multiaddr
        link.attributes = self.extra_attributes

    def __repr__(self) -> str:
        return f"<Connection to {self._remote_peer} over {self._pair.kind}, {self.state.value}>"

    @property
    def remote_peer(self) -> PeerId:
        """Who is at the other end."""
        return self._remote_peer

    @property
    def candidate_pair(self) -> CandidatePair:
        """What ICE settled on when the connection was made; ``candidate_pair.kind`` says how direct it is."""
        return self._pair

    @property
    def local_address(self) -> Multiaddr:
        """The UDP address of this end."""
        return candidate_address(self._pair.local)

    @property
    def remote_address(self) -> Multiaddr:
        """The peer's UDP address, or its relay's."""
        return candidate_address(self._pair.remote)

    @property
    def remote_multiaddr(self) -> Multiaddr:
        """The libp2p address of the peer: ``/webrtc/p2p/<id>``, or ``/ip4/…/udp/…/webrtc-direct/…/p2p/<id>``.

        That of a webrtc-direct peer that has dialed says where it is, and can't be dialed.
        """
        return self._multiaddr

    @property
    def extra_attributes(self) -> Attributes:
        attributes: dict[object, Callable[[], object]] = {
            WebRTCAttribute.remote_peer: lambda: self._remote_peer,
            WebRTCAttribute.local_address: lambda: self.local_address,
            WebRTCAttribute.remote_address: lambda: self.remote_address,
            WebRTCAttribute.candidate_pair: lambda: self._pair,
        }
        if self._fingerprint is not None:
            attributes[WebRTCAttribute.remote_fingerprint] = lambda: self._fingerprint
        return attributes

    @property
    def setup_times(self) -> SetupTimes:
        """How long each phase of the set-up took."""
        times = list(self._link.phase_times.items())
        told = {field.name for field in fields(SetupTimes)}
        return SetupTimes(
            **{phase: end - begin for (phase, begin), (_, end) in itertools.pairwise(times) if phase in told}
        )

    @property
    def state(self) -> ConnectionState:
        """Where the connection is in its life."""
        if self._link.end_reason is not None:
            return ConnectionState.CLOSED
        return ConnectionState(self._link.phase)

    @property
    def end_reason(self) -> ConnectionEnded | None:
        """Why the connection is over; ``None`` while it stands."""
        return None if self._link.end_reason is None else ended(self._link.end_reason)

    @property
    def _is_spent(self) -> bool:
        """Whether the connection is over, and no stream that came before waits to be accepted."""
        return self._link.end_reason is not None and not self._link.has_inbound

    async def state_changes(self) -> AsyncIterator[ConnectionState]:
        """Yield the state now, then each new one; ends after ``CLOSED``. A state that passes at once is left out."""
        told = None
        while told is not ConnectionState.CLOSED:
            if told is not self.state:
                told = self.state
                yield told
            else:
                await self._link.changed.wait()

    async def wait_closed(self) -> ConnectionEnded:
        """Wait until the connection is over, and return why."""
        return ended(await self._link.wait_ended())

    async def statistics(self) -> ConnectionStatistics:
        """The counters, now."""
        return ConnectionStatistics(len(self._link.streams), await self._link.statistics())

    # --- streams ------------------------------------------------------------------------------------------------------

    async def open_stream(self) -> Stream:
        """Open a stream. It costs no round trip: it can be sent on at once.

        It waits, for ``fin_ack_timeout`` at most, while more than a thousand streams are over whose channels the peer
        hasn't closed yet, or one of these has the last id.

        :raises TooManyStreams: if every stream id is in use, or the peer closes no channels of streams that are over
        :raises ConnectionEnded: if the connection is over
        """
        return await self._link.open_stream()

    async def accept_stream(self) -> Stream:
        """Wait for a stream that the peer opens. Several tasks may wait; each stream goes to one of them.

        Streams that came before the peer ended the connection can be accepted after it, and what arrived on them be
        read.

        :raises ConnectionEnded: when the connection is over
        """
        return await self._link.accept_stream()

    async def serve(
        self,
        handler: Callable[[Stream], Coroutine[object, object, None]],
        *,
        on_error: Callable[[Stream, Exception], object] | None = None,
    ) -> None:
        """Call ``handler`` in a task of its own for each stream of the peer, and close the stream when it returns.

        Returns when the connection is over and the handlers have returned. A stream that breaks, or that the
        peer ends where the handler expects more, ends this handler and no other. Any other ``Exception`` of a
        handler resets its stream and is told ``on_error``.

        :param on_error: what to do with an exception of a handler; it is logged at level ``ERROR`` by default. What
            this function raises in turn ends the serving.
        :raises HandlerError: if the handler isn't async
        """
        check_handler(handler)
        failure: HandlerError | None = None

        async def run(stream: Stream) -> None:
            nonlocal failure
            try:
                await run_handler(handler, stream, on_error or self._log_failure)
            except HandlerError as exc:
                # Kept, for the streams that are there already bring about one each.
                failure = failure or exc
                task_group.cancel_scope.cancel()

        async with bare_task_group() as task_group:
            while True:
                try:
                    stream = await self.accept_stream()
                except ConnectionEnded:
                    break
                task_group.start_soon(run, stream)
        if failure is not None:
            raise failure

    def _log_failure(self, stream: Stream, error: Exception) -> None:
        log_failure(f"stream {stream.id} of {self._remote_peer}", error)

    # --- the end ------------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close in an orderly way: streams that were ended get ``close_timeout`` to drain, the others are cut.

        The peer notices at once. When it is cancelled, nothing is waited for.
        """
        try:
            with anyio.move_on_after(self._link.close_timeout):
                await self._link.drain()
        finally:
            await self._link.close(ConnectionClosed("this end closed the connection"))

    async def abort(self) -> None:
        """Give the connection up at once. The peer notices all the same."""
        await self._link.close(ConnectionAborted("this end aborted the connection"))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        await self.aclose()
