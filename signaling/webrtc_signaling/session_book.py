"""The open sessions of one client: what was sent and received in each. Sans-IO.

A signal is numbered per session, from end to end, and kept until the session is over. So a service that lost its
memory gets everything again, and the peer neither misses a signal nor sees one twice. For that it also remembers
sessions that are over, for a while.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from webrtc_transport.errors import IdentityError, InvalidSignal, SignalingError, SignalingRejected
from webrtc_transport.identity import PeerId
from webrtc_transport.protocol.signals import Answer, Bye, Error, Offer, Signal

from .limits import (
    MAX_ENDED_SESSIONS,
    MAX_OPEN_SESSIONS,
    MAX_SESSION_DESCRIPTIONS,
    MAX_SESSION_SIGNALS,
)
from .messages import Envelope, Malformed, SessionFailure, error_data
from .session import session_error


@dataclass(frozen=True, slots=True)
class SessionKey:
    """Names a session: the other peer, in its text form, and the session id."""

    peer: str
    session: str


class SessionEvents(ABC):
    """What a :class:`SessionBook` tells. Plain functions that don't block."""

    @abstractmethod
    def on_session(self, key: SessionKey, peer: PeerId) -> None:
        """A peer opened a session; its first signal follows."""

    @abstractmethod
    def on_signal(self, key: SessionKey, signal: Signal) -> None:
        """A signal arrived. A ``bye`` or ``error`` is the last of its session."""

    @abstractmethod
    def on_failed(self, key: SessionKey, error: SignalingError) -> None:
        """The session is over."""


@dataclass(slots=True)
class _Record:
    peer: PeerId
    sent: list[Envelope] = field(default_factory=list)
    received: int = 0
    descriptions: int = 0
    """Of the signals that were received."""


class SessionBook:
    """Sends and receives in the name of ``peer``.

    :param push: queues an envelope for the service; raises ``SignalingError`` if it can't
    """

    def __init__(self, peer: str, events: SessionEvents, push: Callable[[Envelope], None]) -> None:
        self.listening = False
        """Whether peers may open sessions."""
        self._peer = peer
        self._events = events
        self._push = push
        self._records: dict[SessionKey, _Record] = {}
        self._ended: dict[SessionKey, int] = {}
        """How many signals were received in sessions that are over; the latest last."""

    def __len__(self) -> int:
        return len(self._records)

    def open(self, key: SessionKey, peer: PeerId) -> None:
        """Begin a session with ``peer``; it learns of it by the first signal.

        :raises SignalingRejected: if too many are open
        """
        if len(self._records) >= MAX_OPEN_SESSIONS:
            raise SignalingRejected(f"{MAX_OPEN_SESSIONS} sessions are open", code="too-many-sessions")
        self._records[key] = _Record(peer)

    def send(self, key: SessionKey, signal: Signal) -> None:
        """Send a signal.

        :raises SignalingError: if the session is over, or the signal can't be queued
        """
        record = self._records.get(key)
        if record is None:
            raise SignalingRejected("the session is over", code="ended")
        is_last = isinstance(signal, Bye | Error)
        if len(record.sent) >= MAX_SESSION_SIGNALS - (not is_last):
            raise SignalingRejected(
                f"a session has {MAX_SESSION_SIGNALS} signals at most", code="too-many-signals"
            )
        envelope = self._envelope(key, len(record.sent), signal)
        self._push(envelope)
        record.sent.append(envelope)
        if is_last:
            self._end(key)

    def close(self, key: SessionKey, farewell: Bye | Error | None) -> None:
        """Forget a session, after a last signal if there is one."""
        record = self._end(key)
        if record is not None and farewell is not None:
            self._push_last(self._envelope(key, len(record.sent), farewell))

    def receive(self, message: Envelope | Malformed) -> None:
        """A message of a peer arrived.

        :raises InvalidSignal: if the service made its sender up
        """
        key = SessionKey(message.sender, message.session)
        record = self._records.get(key)
        if record is None and message.index < self._ended.get(key, 0):
            return
        if record is None and (record := self._accept(key, message)) is None:
            return
        if isinstance(message, Malformed):
            self._fail(key, f"from {key.peer}: {message.reason}")
        elif isinstance(message.signal, Error):
            # It ends the session whatever came before: who says it may have forgotten how far we were.
            self._end(key)
            self._events.on_signal(key, message.signal)
        elif message.index > record.received:
            self._fail(key, f"from {key.peer}: signal {record.received} is missing")
        elif message.index == record.received:
            record.received += 1
            record.descriptions += isinstance(message.signal, Offer | Answer)
            if record.descriptions > MAX_SESSION_DESCRIPTIONS:
                self._fail(key, f"from {key.peer}: more than {MAX_SESSION_DESCRIPTIONS} descriptions")
                return
            if isinstance(message.signal, Bye):
                self._end(key)
            self._events.on_signal(key, message.signal)

    def receive_failure(self, failure: SessionFailure) -> None:
        """The service says that a session is over."""
        key = SessionKey(failure.peer, failure.session)
        record = self._end(key)
        if record is not None:
            self._events.on_failed(key, session_error(record.peer, failure.data))

    def fail_all(self, error: SignalingError) -> None:
        """The service is gone."""
        failed, self._records = self._records, {}
        for key in failed:
            self._events.on_failed(key, error)

    def replay(self, unacknowledged: Iterable[Envelope]) -> None:
        """Send everything of the open sessions again, because the service has forgotten it.

        Of sessions that are closed here, send what is ``unacknowledged``: the peer may not know of the end.
        """
        for key, record in list(self._records.items()):
            try:
                for envelope in record.sent:
                    self._push(envelope)
            except SignalingError as error:
                del self._records[key]
                self._events.on_failed(key, error)
        for envelope in unacknowledged:
            if SessionKey(envelope.recipient, envelope.session) not in self._records:
                self._push_last(envelope)

    def _accept(self, key: SessionKey, message: Envelope | Malformed) -> _Record | None:
        """Open the session of an offer, or tell the peer why not."""
        try:
            peer = PeerId.from_string(key.peer)
        except IdentityError as exc:
            raise InvalidSignal(f"from: {exc}") from None
        signal = message.signal if isinstance(message, Envelope) else None
        if isinstance(signal, Bye | Error):
            return None
        if not isinstance(signal, Offer) or message.index > 0:
            self._refuse(key, "unknown-session", "there is no such session")
        elif not self.listening:
            self._refuse(key, "not-listening", "the peer doesn't listen")
        elif len(self._records) >= MAX_OPEN_SESSIONS:
            self._refuse(key, "busy", "the peer has too many sessions")
        else:
            record = self._records[key] = _Record(peer)
            self._events.on_session(key, peer)
            return record
        return None

    def _fail(self, key: SessionKey, reason: str) -> None:
        """End a session whose peer broke the rules, and tell both sides."""
        self.close(key, Error(data=error_data("invalid-signal", reason)))
        self._events.on_failed(key, InvalidSignal(reason))

    def _end(self, key: SessionKey) -> _Record | None:
        """Forget a session, but for how far it was."""
        record = self._records.pop(key, None)
        if record is not None:
            self._ended[key] = record.received
            if len(self._ended) > MAX_ENDED_SESSIONS:
                del self._ended[next(iter(self._ended))]
        return record

    def _refuse(self, key: SessionKey, code: str, message: str) -> None:
        self._push_last(self._envelope(key, 0, Error(data=error_data(code, message))))

    def _push_last(self, envelope: Envelope) -> None:
        # A courtesy: when it can't be queued, the peer finds out by its own deadline.
        with contextlib.suppress(SignalingError):
            self._push(envelope)

    def _envelope(self, key: SessionKey, index: int, signal: Signal) -> Envelope:
        return Envelope(
            sender=self._peer, recipient=key.peer, session=key.session, index=index, signal=signal
        )
