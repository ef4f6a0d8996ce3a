"""A client's connection to the server by WebSocket, from its challenge to its end.

aiohttp reads the request, :mod:`.websocket_handshake` answers it, and :mod:`.websockets` takes the transport over. From
there on a connection is one protocol object that is called when something happens: a client that is silent has no task,
no timer and no buffer.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from aiohttp import WSCloseCode, web

from webrtc_transport.errors import InvalidSignal

from ..channel import ReliableChannel
from ..codec import Codec
from ..limits import MAX_MESSAGE_SIZE
from ..messages import Failure, error_data
from .access import Access
from .admission import Admission, TokenBucket
from .auth import Refused
from .client import Client, failure_of
from .hub import Hub
from .settings import ServerSettings
from .signals import FromServer, ToClient, encode, parse
from .websocket_frames import MESSAGES, FrameError, FrameReader, Opcode, close_code, close_frame, frame

if TYPE_CHECKING:
    from .websockets import WebSockets

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")

_GOODBYES: Final = frozenset({WSCloseCode.OK, WSCloseCode.GOING_AWAY})
"""How a client ends its registration. The second is what a browser sends when its page is left."""

_TEXT: Final = Opcode.TEXT

_ANSWER: Final = 0.5
"""How long a client that was asked whether it is there may be silent, in heartbeats."""

_MAX_WRITE: Final = 64 * 1024
"""Bytes of messages in one write: as much as asyncio lets wait for a client before it asks to pause."""


def check_room(admission: Admission, address: str) -> None:
    """Before a client costs anything.

    :raises HTTPException: if nobody else is let in, or nobody else from its address, or not so soon
    """
    if admission.is_full:
        raise web.HTTPServiceUnavailable(text="too many clients\n")
    if admission.is_full_for(address):
        raise web.HTTPTooManyRequests(text="too many clients from your address\n")
    if admission.is_too_fast(address, asyncio.get_running_loop().time()):
        raise web.HTTPTooManyRequests(text="too many new connections from your address; slow down\n")


class ClientConnection(asyncio.BufferedProtocol):
    """The hub's :class:`~webrtc_signaling.server.registration.Link` to a client.

    It is open until :meth:`close` or a refusal, and then takes nothing more; its transport ends by the client's answer
    to the close frame, or after ``close_timeout``.
    """

    __slots__ = (
        "_address",
        "_all",
        "_asked_at",
        "_bucket",
        "_client",
        "_codec",
        "_farewell",
        "_frames",
        "_heard_at",
        "_is_closing",
        "_is_leaving",
        "_is_marked",
        "_is_paused",
        "_opcode",
        "_settings",
        "_timer",
        "_transport",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        codec: Codec,
        address: str,
        *,
        all_: WebSockets,
        hub: Hub,
        settings: ServerSettings,
        access: Access,
    ) -> None:
        self._transport = transport
        self._codec = codec
        self._opcode = Opcode.BINARY if codec is Codec.MSGPACK else _TEXT
        """Of the messages that it gets."""
        self._address = address
        self._all = all_
        self._client = Client(self, address, hub, access, settings)
        self._settings = settings
        self._frames: FrameReader | None = FrameReader(MAX_MESSAGE_SIZE)
        """``None`` after what was no frame: nobody knows where the next one would begin."""
        self._heard_at = asyncio.get_running_loop().time()
        self._asked_at: float | None = None
        """When it was sent the ping that it has to answer."""
        self._bucket: TokenBucket | None = None
        """For control frames and fragments. Most clients send none but the pongs that they are asked for."""
        self._is_paused = False
        self._is_marked = False
        """Whether it is to be flushed at the end of this turn of the loop."""
        self._is_leaving = False
        self._is_closing = False
        self._farewell: Failure | None = None
        """What is said after all that the channel has, and before the close frame."""
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Ask who it is."""
        self._send(self._client.challenge)
        self._call_later(self._settings.register_timeout, self._not_registered)

    # --- Link ---------------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        if not self._is_marked:
            self._is_marked = True
            self._all.flush_soon(self)

    def close(self, farewell: Failure) -> None:
        if not self._is_closing:
            self._client.dismissed(farewell)
            self._begin_end()
            self._farewell = farewell
            self.wake()

    def drop(self) -> None:
        self._is_closing, self._farewell = True, None
        self._transport.abort()

    # --- asyncio.BufferedProtocol -------------------------------------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - it is as large as it is
        return self._all.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(self._all.buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Handle what the client sent."""
        if self._frames is None:
            return
        self._heard_at = asyncio.get_running_loop().time()
        try:
            for opcode, payload in self._frames.feed(data):
                if opcode in MESSAGES and not self._is_closing:
                    self._receive(opcode, payload)
                else:
                    self._handle(opcode, payload)
        except FrameError as exc:
            _logger.info("%s refused: %s", self._client.name, exc)
            self._frames = None
            self._finish(exc.code)
            # Nor is it worth reading: whoever sends on waits, until the time to close is over.
            if not self._transport.is_closing():
                self._transport.pause_reading()
        except (Refused, InvalidSignal) as exc:
            self._refuse(failure_of(exc))
        self._asked_at = None

    def eof_received(self) -> None:
        self._end()

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self.wake()

    def connection_lost(self, exc: Exception | None) -> None:
        _logger.debug("%s: connection lost: %s", self._client.name, exc)
        self._is_closing, self._farewell = True, None
        self._cancel_timer()
        self._all.ended(self, self._address)
        self._client.disconnected(leaving=self._is_leaving)

    # --- for all connections together ---------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what there is to write, all at once, unless the client doesn't read."""
        self._is_marked = False
        if self._is_paused or (self._is_closing and self._farewell is None):
            return
        registration = self._client.registration
        try:
            if registration is not None:
                self._transmit(registration.channel)
        except InvalidSignal as exc:
            self._refuse(failure_of(exc))
        if self._farewell is not None and not self._is_paused:
            farewell, self._farewell = self._farewell, None
            self._send(farewell)
            self._transport.write(close_frame(WSCloseCode.POLICY_VIOLATION))

    def _transmit(self, channel: ReliableChannel[ToClient]) -> None:
        loop = asyncio.get_running_loop()
        now = math.inf if self._is_closing else loop.time()
        opcode, codec = self._opcode, self._codec
        while not self._is_paused and (messages := channel.transmit(now, _MAX_WRITE)):
            self._transport.write(b"".join([frame(opcode, encode(message, codec)) for message in messages]))
        if channel.ack_at is not None and self._timer is None:
            self._timer = loop.call_at(channel.ack_at, self._acknowledge)

    def look_after(self, now: float) -> None:
        """Ask a client that is silent, and drop one that doesn't answer."""
        heartbeat = self._settings.heartbeat
        if self._asked_at is not None:
            if now - self._asked_at >= _ANSWER * heartbeat:
                _logger.info("%s doesn't answer", self._client.name)
                self.drop()
        elif now - self._heard_at >= heartbeat and not self._is_closing:
            self._asked_at = now
            self._transport.write(frame(Opcode.PING, b""))

    # ------------------------------------------------------------------------------------------------------------------

    def _handle(self, opcode: Opcode, payload: bytes) -> None:
        if opcode is Opcode.CLOSE:
            self._closed(close_code(payload))
        elif self._is_closing:
            # What comes after the end was decided isn't acknowledged, so it comes again.
            return
        elif opcode is Opcode.PONG and self._asked_at is not None:
            # The first one answers; further ones that came with it count.
            self._asked_at = None
        # Who reads no answers to pings gets no more of them.
        elif self._may_go_on() and opcode is Opcode.PING and not self._is_paused:
            self._transport.write(frame(Opcode.PONG, payload))

    def _may_go_on(self) -> bool:
        """Whether it keeps to its rate of frames that are no messages; if not, it has to go."""
        if self._bucket is None:
            self._bucket = TokenBucket(
                self._settings.max_messages_per_second, self._settings.max_message_burst
            )
        if self._bucket.take(self._heard_at):
            return True
        text = "you send too many control frames or fragments"
        self.close(Failure(data=error_data("rate-limited", text)))
        return False

    def _receive(self, opcode: Opcode, payload: bytes) -> None:
        """A message came.

        :raises Refused: if its proof is wrong, or the operator doesn't want it
        :raises InvalidSignal: if it breaks the protocol
        """
        message = parse(payload, self._codec, is_text=opcode is _TEXT)
        registration = self._client.registration
        if registration is not None:
            self._client.receive(registration, message, self._heard_at)
            # The message is to be acknowledged.
            self.wake()
            return
        _, reply = self._client.register(message)
        if not self._is_closing:
            self._cancel_timer()
        self._send(reply)
        self.wake()

    def _closed(self, code: int | None) -> None:
        """The client closes, or has seen that the server does."""
        if not self._is_closing:
            self._is_leaving = code in _GOODBYES
            self._transport.write(close_frame(WSCloseCode.OK))
        self._end()

    def _end(self) -> None:
        """The client sends nothing any more, and gets ``close_timeout`` to take what was written."""
        self._begin_end()
        self._transport.close()

    def _not_registered(self) -> None:
        self._refuse(Failure(data=error_data("register-timeout", "you have not registered in time")))

    def _refuse(self, failure: Failure) -> None:
        self._client.refused(failure)
        self._send(failure)
        self._finish(WSCloseCode.POLICY_VIOLATION)

    def _finish(self, code: WSCloseCode) -> None:
        """Say that it is over, and wait for the client to go."""
        self._begin_end()
        self._transport.write(close_frame(code))

    def _begin_end(self) -> None:
        """From the first time on, it has ``close_timeout``: nothing that comes meanwhile makes it longer."""
        self._farewell = None
        if not self._is_closing:
            self._is_closing = True
            self._call_later(self._settings.close_timeout, self._transport.abort)

    def _acknowledge(self) -> None:
        self._timer = None
        self.flush()

    def _send(self, message: FromServer) -> None:
        self._transport.write(frame(self._opcode, encode(message, self._codec)))

    def _call_later(self, delay: float, callback: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = asyncio.get_running_loop().call_later(delay, callback)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
