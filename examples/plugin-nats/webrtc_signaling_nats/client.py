"""The client: carries the signals of one peer over a NATS server. Runs on asyncio, as nats-py does.

What a peer has to say in a session goes out as requests on the subject of the other, one at a time, each with all
envelopes that wait. The peer itself acknowledges them, so a message that NATS loses is sent again, and what nobody
takes is told as ``undeliverable``. Envelopes are numbered, so one that comes twice does no harm.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

import nats.errors
from nats.aio.client import Client, Server
from nats.aio.msg import Msg

from webrtc_signaling.client_backend import ClientEvents, SignalingClient
from webrtc_signaling.envelopes import decode_envelope, encode_envelope
from webrtc_signaling.limits import MAX_BATCH_SIZE, MAX_OPEN_SESSIONS, MAX_QUEUED_BYTES
from webrtc_signaling.messages import Envelope, Malformed, SessionFailure, error_data
from webrtc_signaling.session_book import SessionBook, SessionKey
from webrtc_transport.errors import InvalidSignal, SignalingUnavailable
from webrtc_transport.protocol.signals import Bye, Error, Offer
from webrtc_transport.redaction import redacted

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.nats")

MAX_PENDING_MESSAGES: Final = MAX_OPEN_SESSIONS
"""Messages of others that wait to be looked at: one of each session. Further ones are dropped, and come again."""

_KEEPALIVE: Final = 15
"""Seconds between pings to the server; after two without an answer the connection is made anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsOptions:
    """Times are seconds."""

    connect_timeout: float = 10.0
    """For one attempt, from name resolution to the subscription."""
    ack_timeout: float = 2.0
    """For the peer to acknowledge a message; then it is sent again."""
    delivery_timeout: float = 10.0
    """For all attempts to deliver a message. A peer that doesn't take it by then is unreachable."""
    retry_initial: float = 0.1
    retry_max: float = 10.0
    """Attempts to reconnect follow after pauses that double from the first to the second of these."""
    close_timeout: float = 0.5
    """For saying goodbye: what was sent by then arrives, whether or not it was acknowledged."""


@dataclass(slots=True)
class _Outbox:
    """What waits to be carried in one session."""

    envelopes: deque[tuple[Envelope, bytes]] = field(default_factory=deque)


class NatsClient(SignalingClient):
    """Connects to the server at ``url`` when it is first needed, and stays connected until closed."""

    def __init__(self, url: str, prefix: str, peer: str, events: ClientEvents, options: NatsOptions) -> None:
        self.sessions = SessionBook(peer, events, self._push)
        self._url = url
        self._shown_url = redacted(url)
        self._prefix = prefix
        self._peer = peer
        self._events = events
        self._options = options
        self._connection = Client()
        self._connecting: asyncio.Task[None] | None = None
        self._outboxes: dict[SessionKey, _Outbox] = {}
        self._carriers: set[asyncio.Task[None]] = set()
        """One for each outbox with something in it."""
        self._queued = 0
        """Bytes in all outboxes."""
        self._final: SignalingUnavailable | None = None
        """Why there will be no connection any more."""

    # --- the connection -----------------------------------------------------------------------------------------------

    async def ready(self) -> None:
        if self._final is not None:
            raise self._final
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())
        connecting = self._connecting
        # Not awaited itself: who is cancelled here isn't the only one who waits for it.
        await asyncio.wait([connecting])
        if connecting.cancelled():
            raise SignalingUnavailable("the signaling backend is closed")
        try:
            connecting.result()
        except SignalingUnavailable:
            if self._connecting is connecting:
                self._connecting = None
            raise
        if not self._connection.is_connected:
            raise SignalingUnavailable(f"no connection to {self._shown_url} at the moment; reconnecting")

    async def aclose(self) -> None:
        self._final = self._final or SignalingUnavailable("the signaling backend is closed")
        if self._connecting is None:
            return
        if self._carriers:
            await asyncio.wait(self._carriers, timeout=self._options.close_timeout)
        leftovers = [self._connecting, *self._carriers]
        for task in leftovers:
            task.cancel()
        await asyncio.wait(leftovers)
        await self._disconnect()

    async def _connect(self) -> None:
        """Connect and subscribe.

        :raises SignalingUnavailable: if it can't be done
        """
        self._connection = Client()
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                await self._connection.connect(
                    self._url,
                    name="webrtc-signaling",
                    error_cb=self._on_error,
                    disconnected_cb=self._on_disconnected,
                    reconnected_cb=self._on_reconnected,
                    closed_cb=self._on_closed,
                    reconnect_to_server_handler=self._next_attempt,
                    max_reconnect_attempts=-1,
                    ping_interval=_KEEPALIVE,
                    pending_size=0,  # what can't be sent now is kept here, and sent again
                )
                await self._connection.subscribe(
                    self._subject(self._peer),
                    cb=self._on_message,
                    pending_msgs_limit=MAX_PENDING_MESSAGES,
                    pending_bytes_limit=MAX_QUEUED_BYTES,
                )
                # The server answers when it has taken the subscription.
                await self._connection.flush()
        except (OSError, nats.errors.Error) as exc:
            await self._disconnect()
            raise SignalingUnavailable(
                f"no connection to {self._shown_url}: {str(exc) or type(exc).__name__}; is a NATS server running "
                "there, and does it let us in?"
            ) from exc
        except asyncio.CancelledError:
            await self._disconnect()
            raise
        _logger.info("connected to %s as %s", self._shown_url, self._peer)

    async def _disconnect(self) -> None:
        # RuntimeError is uvloop's, for a socket that is closed already.
        with contextlib.suppress(OSError, RuntimeError, nats.errors.Error):
            async with asyncio.timeout(self._options.close_timeout):
                await self._connection.close()

    def _next_attempt(self, servers: list[Server], _info: dict[str, Any]) -> tuple[Server | None, float]:
        """Which server to try, and after how many seconds."""
        server = min(servers, key=lambda server: server.reconnects)
        longest = min(self._options.retry_max, self._options.retry_initial * 2 ** min(server.reconnects, 16))
        # At random, lest all clients of a restarted server come at once.
        return server, random.uniform(longest / 2, longest)  # noqa: S311 - no secret

    async def _on_error(self, error: Exception) -> None:
        _logger.debug("%s: %r", self._shown_url, error)
        if self._connecting is not None and not self._connecting.done():
            # Ends the attempt, which nats-py would repeat for ever.
            raise error

    async def _on_disconnected(self) -> None:
        if self._final is None:
            _logger.warning("lost the connection to %s; reconnecting", self._shown_url)

    async def _on_reconnected(self) -> None:
        _logger.warning("connected to %s again", self._shown_url)

    async def _on_closed(self) -> None:
        if self._final is None and self._connecting is not None and self._connecting.done():
            reason = self._connection.last_error or "no reason given"
            self._final = SignalingUnavailable(f"{self._shown_url} refuses us: {reason}")
            self.sessions.fail_all(self._final)
            self._events.on_refused(self._final)

    # --- what comes in ------------------------------------------------------------------------------------------------

    async def _on_message(self, message: Msg) -> None:
        """A message on our own subject, of anybody. What is none of ours is ignored, and not acknowledged."""
        try:
            for envelope in self._unpack(message.data):
                self.sessions.receive(envelope)
        except InvalidSignal as exc:
            _logger.debug("ignored a message on %s: %s", message.subject, exc)
            return
        if message.reply:
            try:
                await self._connection.publish(message.reply)
            except (OSError, nats.errors.Error) as exc:
                _logger.debug("could not acknowledge a message: %r", exc)

    def _unpack(self, data: bytes) -> list[Envelope | Malformed]:
        if len(data) > MAX_BATCH_SIZE:
            raise InvalidSignal(f"{len(data)} bytes; {MAX_BATCH_SIZE} are allowed")
        envelopes = [decode_envelope(line) for line in data.split(b"\n")]
        for envelope in envelopes:
            if envelope.recipient != self._peer:
                raise InvalidSignal("to: a signal for another peer")
        return envelopes

    # --- what goes out ------------------------------------------------------------------------------------------------

    def _push(self, envelope: Envelope) -> None:
        """Queue an envelope.

        :raises SignalingUnavailable: if too much is queued
        """
        line = encode_envelope(envelope)
        key = SessionKey(envelope.recipient, envelope.session)
        outbox = self._outboxes.get(key)
        is_full = self._queued + len(line) > MAX_QUEUED_BYTES
        if is_full or (outbox is None and len(self._outboxes) >= 2 * MAX_OPEN_SESSIONS):
            raise SignalingUnavailable(f"{self._shown_url} takes nothing, and the queue for it is full")
        self._queued += len(line)
        if outbox is None:
            outbox = self._outboxes[key] = _Outbox()
            task = asyncio.get_running_loop().create_task(self._carry_all(key, outbox))
            self._carriers.add(task)
            task.add_done_callback(self._carriers.discard)
        outbox.envelopes.append((envelope, line))

    async def _carry_all(self, key: SessionKey, outbox: _Outbox) -> None:
        """Carry what is in the outbox until it is empty, or until the peer takes nothing."""
        try:
            while outbox.envelopes:
                envelopes, payload = self._take(outbox)
                failure = await self._carry(key, envelopes, payload)
                if failure is not None:
                    self.sessions.receive_failure(failure)
                    return
        finally:
            self._queued -= sum(len(line) for _, line in outbox.envelopes)
            del self._outboxes[key]

    def _take(self, outbox: _Outbox) -> tuple[list[Envelope], bytes]:
        """As much as fits into a message, which is one envelope at least."""
        largest = min(MAX_BATCH_SIZE, self._connection.max_payload)
        envelopes: list[Envelope] = []
        lines: list[bytes] = []
        size = 0
        while outbox.envelopes and (not lines or size + 1 + len(outbox.envelopes[0][1]) <= largest):
            envelope, line = outbox.envelopes.popleft()
            self._queued -= len(line)
            envelopes.append(envelope)
            size += len(line) + bool(lines)
            lines.append(line)
        return envelopes, b"\n".join(lines)

    async def _carry(
        self, key: SessionKey, envelopes: list[Envelope], payload: bytes
    ) -> SessionFailure | None:
        """Send a message until the peer has it. Returns why it hasn't."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._options.delivery_timeout
        first = envelopes[0].signal
        code, reason = "undeliverable", ""
        while True:
            try:
                await self._connection.request(
                    self._subject(key.peer), payload, timeout=self._options.ack_timeout
                )
            except nats.errors.NoRespondersError:
                reason = f"nobody listens on its subject at {self._shown_url}"
                if isinstance(first, Offer):
                    # Who was never there needn't be waited for; who was may be reconnecting.
                    code = "peer-not-found"
                    break
            except (OSError, nats.errors.Error) as exc:
                reason = f"it doesn't acknowledge a message: {str(exc) or type(exc).__name__}"
            else:
                return None
            # A farewell is a courtesy: whoever we refuse must not make us repeat ourselves.
            pause = self._options.retry_initial
            is_last = isinstance(first, Bye | Error) or self._final is not None
            if is_last or loop.time() + pause >= deadline:
                break
            await asyncio.sleep(pause)
        return SessionFailure(peer=key.peer, session=key.session, data=error_data(code, reason))

    def _subject(self, peer: str) -> str:
        return f"{self._prefix}.{peer}"
