"""Signaling over a stream of an authenticated libp2p connection, mostly a relayed one: ``/webrtc-signaling/0.0.1``.

Source: libp2p specs, ``webrtc/webrtc.md``, "Signaling Protocol". The initiator sends its offer, the other end its
answer, and each its candidates as it finds them. There is no message for the end: who is connected closes the
stream, and who has failed resets it. Descriptions carry no signature here, because the stream's connection proves
who is at its other end.

Nothing of libp2p is imported: whoever has streams hands in :class:`SignalingStream` objects.
"""

from __future__ import annotations

import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from types import TracebackType
from typing import Final, Literal, Self

import anyio
import anyio.lowlevel
from anyio.abc import TaskStatus
from pydantic import ValidationError

from webrtc_transport.abc import SignalingBackend, SignalingContext, SignalingSession
from webrtc_transport.errors import ConfigurationError, InvalidSignal, SignalingRejected
from webrtc_transport.identity import PeerId
from webrtc_transport.protocol.limits import MAX_SDP_LENGTH
from webrtc_transport.protocol.proof import new_session_id
from webrtc_transport.protocol.protobuf import (
    ProtobufError,
    TruncatedError,
    decode_message,
    decode_varint,
    encode_message,
    encode_varint,
)
from webrtc_transport.protocol.signals import (
    Answer,
    Candidate,
    CandidateData,
    DescriptionData,
    Error,
    Offer,
    Signal,
    describe_validation_error,
)
from webrtc_transport.redaction import redacted

from .limits import MAX_SESSION_SIGNALS

_logger = logging.getLogger("libp2p.transport.webrtc.signaling")

PROTOCOL: Final = "/webrtc-signaling/0.0.1"

_SDP_OFFER, _SDP_ANSWER, _ICE_CANDIDATE = 0, 1, 2

MAX_MESSAGE_LENGTH: Final = MAX_SDP_LENGTH + 64
"""Bytes of a message: the longest description, and room for the two tags, the length and fields of later versions."""

_MAX_PREFIX_LENGTH: Final = 3
"""Bytes of the length of such a message."""

_READ_SIZE: Final = 4096

CLOSE_TIMEOUT: Final = 1.0
"""Seconds for closing a stream in an orderly way; what it was for is done by then."""


class SignalingStream(ABC):
    """A stream to a peer, opened or accepted for :data:`PROTOCOL`."""

    @property
    @abstractmethod
    def remote_peer(self) -> PeerId:
        """Who is at the other end, as the stream's connection has proven."""

    @abstractmethod
    async def receive(self, max_bytes: int) -> bytes:
        """Wait for some bytes.

        :raises anyio.EndOfStream: at the end of the stream
        :raises anyio.BrokenResourceError: if it was reset, or its connection is over
        """

    @abstractmethod
    async def send(self, data: bytes) -> None:
        """Send all of ``data``.

        :raises anyio.BrokenResourceError: likewise
        """

    @abstractmethod
    async def aclose(self) -> None:
        """End the stream in an orderly way.

        :raises anyio.BrokenResourceError: likewise
        """

    @abstractmethod
    async def reset(self) -> None:
        """Give the stream up at once, in both directions. Raises nothing."""


StreamOpener = Callable[[PeerId], Awaitable[SignalingStream]]
"""Opens a stream to a peer, over a connection to it that is there or that it makes.

It raises ``PeerUnreachable`` if it knows no way to the peer, and other ``SignalingError``s if the way fails.
"""


def encode_signal(signal: Signal) -> bytes | None:
    """The message for ``signal``, with its length before it; ``None`` for what the protocol has no message for."""
    match signal:
        case Offer(data=description):
            message = encode_message(_SDP_OFFER, description.sdp.encode())
        case Answer(data=description):
            message = encode_message(_SDP_ANSWER, description.sdp.encode())
        case Candidate(data=CandidateData(candidate=line) as data) if line:
            message = encode_message(_ICE_CANDIDATE, json.dumps(data.model_dump()).encode())
        case _:
            return None
    return encode_varint(len(message)) + message


def decode_signal(message: bytes) -> Signal:
    """The signal of a message.

    :raises InvalidSignal: if it is malformed, or of a type that is not in the protocol
    """
    try:
        # An absent type is the first one, as of every enumeration in protobuf.
        kind, data = decode_message(message)
        text = (data or b"").decode()
        if kind in (None, _SDP_OFFER):
            return Offer(data=DescriptionData(type="offer", sdp=text))
        if kind == _SDP_ANSWER:
            return Answer(data=DescriptionData(type="answer", sdp=text))
        if kind == _ICE_CANDIDATE:
            return Candidate(data=_decode_candidate(text))
    except ValidationError as exc:
        raise InvalidSignal(describe_validation_error(exc)) from None
    except (ProtobufError, UnicodeDecodeError, ValueError, RecursionError) as exc:
        raise InvalidSignal(f"a signaling message is malformed: {type(exc).__name__}") from None
    raise InvalidSignal(f"a signaling message has the unknown type {kind}")


def _decode_candidate(text: str) -> CandidateData | None:
    value = json.loads(text or "null")
    # Both end the candidates of some implementations (https://www.w3.org/TR/webrtc/#rtcpeerconnectioniceevent).
    return None if value is None or value == "" else CandidateData.model_validate(value)


class _Session(SignalingSession):
    """One stream. Nothing is read ahead of :meth:`receive`: a peer that sends much waits."""

    def __init__(self, stream: SignalingStream, *, expected: Literal["offer", "answer"]) -> None:
        self._stream = stream
        self._expected: Literal["offer", "answer"] | None = expected
        """The description that the peer has to send first."""
        self._id = new_session_id()
        self._buffer = bytearray()
        self._received = 0
        self._is_over = False

    @property
    def remote_peer(self) -> PeerId:
        return self._stream.remote_peer

    @property
    def session_id(self) -> str:
        return self._id

    @property
    def authenticated(self) -> bool:
        return True

    @property
    def uses_init_channel(self) -> bool:
        return True

    async def send(self, signal: Signal) -> None:
        if self._is_over:
            raise anyio.ClosedResourceError
        if isinstance(signal, Error):
            await self._reset()
            return
        message = encode_signal(signal)
        if message is None:
            # The end of the candidates, of which js-libp2p says nothing either.
            await anyio.lowlevel.checkpoint()
            return
        try:
            await self._stream.send(message)
        except anyio.BrokenResourceError as exc:
            raise await self._broken(exc) from exc

    async def receive(self) -> Signal:
        if self._is_over:
            raise anyio.ClosedResourceError
        try:
            signal = decode_signal(await self._receive_message())
            self._check_order(signal)
        except InvalidSignal as exc:
            await self._reset()
            if self._expected is not None:
                raise
            # After the descriptions the core takes a malformed signal for the end of the candidates only.
            raise SignalingRejected(str(exc), code="invalid-signal") from exc
        except anyio.BrokenResourceError as exc:
            raise await self._broken(exc) from exc
        return signal

    async def aclose(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        with anyio.move_on_after(CLOSE_TIMEOUT, shield=True):
            try:
                await self._stream.aclose()
            except anyio.BrokenResourceError as exc:
                # All is said; how the stream ends matters to nobody.
                _logger.debug("the signaling stream with %s didn't end well: %s", self.remote_peer, exc)
            return
        await self._reset()

    async def _reset(self) -> None:
        self._is_over = True
        with anyio.CancelScope(shield=True):
            await self._stream.reset()

    def _check_order(self, signal: Signal) -> None:
        self._received += 1
        if self._received > MAX_SESSION_SIGNALS:
            raise InvalidSignal(f"more than {MAX_SESSION_SIGNALS} signaling messages")
        if self._expected is None:
            if not isinstance(signal, Candidate):
                raise InvalidSignal(f"a signal {signal.type!r} where candidates are due")
        elif signal.type == self._expected:
            self._expected = None
        else:
            raise InvalidSignal(f"a signal {signal.type!r} where the {self._expected} is due")

    async def _receive_message(self) -> bytes:
        length, start = await self._receive_length()
        end = start + length
        while len(self._buffer) < end:
            await self._receive_more()
        message = bytes(self._buffer[start:end])
        del self._buffer[:end]
        return message

    async def _receive_length(self) -> tuple[int, int]:
        while True:
            try:
                length, start = decode_varint(self._buffer)
            except TruncatedError:
                if len(self._buffer) >= _MAX_PREFIX_LENGTH:
                    raise InvalidSignal("a signaling message is far too long") from None
                await self._receive_more()
                continue
            except ProtobufError as exc:
                raise InvalidSignal(f"the length of a signaling message is malformed: {exc}") from None
            if length > MAX_MESSAGE_LENGTH:
                raise InvalidSignal(
                    f"a signaling message of {length} bytes; {MAX_MESSAGE_LENGTH} are allowed"
                )
            return length, start

    async def _receive_more(self) -> None:
        try:
            self._buffer += await self._stream.receive(_READ_SIZE)
        except anyio.EndOfStream:
            if self._buffer:
                raise InvalidSignal("the signaling stream ends inside of a message") from None
            raise

    async def _broken(self, cause: Exception) -> SignalingRejected:
        # For this end's bookkeeping.
        await self._reset()
        return SignalingRejected(f"{self.remote_peer} has reset the signaling stream: {cause}", code="reset")


class CircuitRelayBackend(SignalingBackend):
    """Signals over streams that ``open_stream`` opens, and that :meth:`handle` is given.

    :param open_stream: opens a stream to a peer
    :param reachable: makes a context in which peers can open streams to us; it raises ``SignalingError`` on the way in
    """

    def __init__(
        self,
        open_stream: StreamOpener,
        reachable: Callable[[], AbstractAsyncContextManager[None]] = nullcontext,
    ) -> None:
        self._open_stream = open_stream
        self._reachable = reachable
        self._handler: Callable[[SignalingSession], Awaitable[None]] | None = None

    @classmethod
    def from_url(cls, url: str, context: SignalingContext) -> Self:  # noqa: ARG003 - the interface's
        raise ConfigurationError(
            f"{redacted(url)!r}: signaling over a relay needs a libp2p host, and has no URL"
        )

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self._handler = None
        await anyio.lowlevel.checkpoint()

    async def connect(self, peer: PeerId) -> SignalingSession:
        stream = await self._open_stream(peer)
        if stream.remote_peer != peer:
            await stream.reset()
            raise SignalingRejected(f"{stream.remote_peer} answers in place of {peer}", code="wrong-peer")
        return _Session(stream, expected="answer")

    async def serve(
        self,
        handler: Callable[[SignalingSession], Awaitable[None]],
        *,
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        if self._handler is not None:
            raise anyio.BusyResourceError("serving with")
        self._handler = handler
        try:
            async with self._reachable():
                task_status.started()
                await anyio.sleep_forever()
        finally:
            self._handler = None

    async def handle(self, stream: SignalingStream) -> None:
        """Answer a stream that a peer has opened. Returns when it is over, however it went."""
        if self._handler is None:
            await stream.reset()
            return
        async with _Session(stream, expected="offer") as session:
            await self._handler(session)
