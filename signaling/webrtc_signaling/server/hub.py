"""Who is registered, and what goes from whom to whom. Sans-IO: time is an argument, and a client is a :class:`Link`.

A :class:`Registration` outlives its connections by the grace time. It ends when that has passed, when its client says
goodbye, when another instance of the client takes its place, or when it lets its queue run full; whoever has a session
with it is then told, and whether signals were lost with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from webrtc_transport.errors import InvalidSignal
from webrtc_transport.protocol.signals import Bye, Error

from ..channel import BufferFull, ReliableChannel, Total
from ..messages import (
    Envelope,
    Failure,
    IceServers,
    IceServersRequest,
    Malformed,
    Numbered,
    Register,
    Registered,
    SessionFailure,
    error_data,
)
from .admission import TokenBucket
from .auth import Refused
from .journal import Journal
from .registration import Link, Registration, Session, SessionKey
from .settings import ServerSettings

_FAILURE_SIZE: Final = 1024
"""Bytes that an error takes at most, for the bound on a queue."""

_ICE_SERVERS_SIZE: Final = 2048
"""The same for ICE servers; most have one, with a few URLs."""

_NOT_BACK: Final = "has not come back"

_INSECURE_NOTICE: Final = "this server runs --insecure: it accepts peer ids without proof"


class Hub:
    """Routes signals between registrations."""

    def __init__(
        self, settings: ServerSettings, *, ice_servers: Callable[[str], IceServers] | None = None
    ) -> None:
        self._settings = settings
        self._ice_servers = ice_servers
        """Makes those that a peer may use."""
        self.journal = Journal()
        self._registrations: dict[str, Registration] = {}
        self._queued = Total()
        """What waits for all of them together."""
        self._away: dict[str, Registration] = {}
        """Those without a link, in the order in which they expire."""
        self._overrun: list[Registration] = []
        """Those that are told more than they take; they end when the current call is over."""

    def __len__(self) -> int:
        return len(self._registrations)

    @property
    def away(self) -> int:
        """Registrations without a connection."""
        return len(self._away)

    @property
    def sessions(self) -> int:
        """Sessions that were begun and not ended."""
        return sum(registration.started for registration in self._registrations.values())

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for clients, or for their acknowledgement."""
        return self._queued.size

    def register(
        self, register: Register, link: Link, now: float, *, proven: bool
    ) -> tuple[Registration, Registered]:
        """A client is on ``link``, and is who it says, or an insecure server takes its word.

        :raises Refused: if it isn't proven, and the one who is there is
        """
        present = self._registrations.get(register.peer)
        if present is not None and present.proven and not proven:
            raise Refused("invalid-proof", f"{register.peer} is registered with a proof")
        resumed = present is not None and _resume(present, register)
        if present is None or not resumed:
            present = self._enter(present, register, now)
        self._away.pop(present.peer, None)
        present.link, present.proven, present.expires_at = link, proven, math.inf
        self._end_overrun()
        return present, Registered(
            peer=present.peer,
            proven=proven,
            resumed=resumed,
            received=present.channel.received,
            grace=self._settings.grace,
            notice=_INSECURE_NOTICE if self._settings.insecure else None,
            turn=True if self._ice_servers is not None and proven else None,
        )

    def receive(
        self,
        source: Registration,
        numbered: Numbered[Envelope | Malformed | IceServersRequest],
        size: int,
        now: float,
    ) -> None:
        """A client sent a signal of ``size`` bytes, or a question. What can't be delivered is answered with an error.

        :raises InvalidSignal: if its numbers are impossible
        """
        source.channel.acknowledge(numbered.ack)
        if not source.channel.accept(numbered.seq, now):
            return
        message = numbered.message
        if isinstance(message, IceServersRequest):
            self._push(source, self._ice_servers_of(source), _ICE_SERVERS_SIZE)
        else:
            try:
                self._route(source, message, size, now)
            except Refused as exc:
                self._tell(source, SessionKey(message.recipient, message.session), exc.code, str(exc))
        self._end_overrun()

    def disconnected(self, registration: Registration, link: Link, now: float, *, leaving: bool) -> None:
        """A connection is over; ``leaving`` if the client said goodbye."""
        if registration.link is not link:
            return
        registration.link = None
        if leaving:
            self._end(registration, "has left")
            self._end_overrun()
        else:
            self._set_away(registration, now)

    def expire(self, now: float) -> None:
        """End the registrations whose grace time has passed."""
        while self._away and (oldest := next(iter(self._away.values()))).expires_at <= now:
            self._end(oldest, _NOT_BACK)
        self._end_overrun()

    def shut_down(self) -> None:
        """Say goodbye to everybody."""
        for registration in self._registrations.values():
            if registration.link is not None:
                registration.link.close(_failure("shutting-down", "the server ends or restarts; come back"))

    # --- registrations ------------------------------------------------------------------------------------------------

    def _enter(self, present: Registration | None, register: Register, now: float) -> Registration:
        """Make a registration, in place of the one that is there."""
        if present is not None and present.instance is not None:
            farewell = _failure("replaced", "another client registered with this peer id")
            self._end(present, "was replaced by another client with its peer id", farewell)
            present = None
        registration = present or self._add(register.peer)
        registration.instance = register.instance
        if register.received is not None:
            registration.returned_at = now
        return registration

    def _add(self, peer: str) -> Registration:
        settings = self._settings
        while len(self._registrations) >= settings.max_clients and self._away:
            self._end(next(iter(self._away.values())), _NOT_BACK)
        registration = self._registrations[peer] = Registration(
            peer=peer,
            channel=ReliableChannel(
                max_messages=settings.max_queued_messages,
                max_bytes=settings.max_queued_bytes,
                total=self._queued,
                on_transmit=self.journal.statistics.latency.observe,
            ),
            bucket=TokenBucket(settings.max_messages_per_second, settings.max_message_burst),
            instance=None,
        )
        return registration

    def _set_away(self, registration: Registration, now: float) -> None:
        registration.expires_at = now + self._settings.grace
        self._away[registration.peer] = registration

    def _end(self, registration: Registration, reason: str, farewell: Failure | None = None) -> None:
        """Forget a registration, and tell those who have a session with it."""
        del self._registrations[registration.peer]
        self._away.pop(registration.peer, None)
        registration.channel.leave_total()
        if registration.link is not None and farewell is not None:
            registration.link.close(farewell)
        registration.link = None
        undelivered = registration.undelivered()
        gone = "peer-not-found" if registration.instance is None else "peer-gone"
        for key in list(registration.sessions):
            other = self._forget_session(registration, key)
            ended, message = SessionKey(registration.peer, key.session), f"{registration.peer} {reason}"
            if lost := undelivered[key]:
                message += f", and may have missed {lost} signal{'s' if lost > 1 else ''}"
                self._tell(other, ended, "undeliverable", message)
            else:
                self._tell(other, ended, gone, message)

    def _end_overrun(self) -> None:
        while (registration := self._next_overrun()) is not None:
            if self._registrations.get(registration.peer) is registration:
                farewell = _failure("slow-consumer", "you take nothing of what is sent to you")
                self._end(registration, "took nothing of what was sent to it", farewell)

    def _next_overrun(self) -> Registration | None:
        if self._overrun:
            return self._overrun.pop()
        if self._queued.size > self._settings.max_total_queued_bytes:
            return max(self._registrations.values(), key=_waiting_bytes)
        return None

    def _tell(self, registration: Registration, key: SessionKey, code: str, message: str) -> None:
        self.journal.failed(key.session, registration.peer, key.peer, code, message)
        failure = SessionFailure(peer=key.peer, session=key.session, data=error_data(code, message))
        self._push(registration, failure, _FAILURE_SIZE)

    def _push(self, registration: Registration, message: SessionFailure | IceServers, size: int) -> None:
        """Send what the server itself has to say."""
        try:
            registration.channel.push(message, size)
        except BufferFull:
            self._overrun.append(registration)
        registration.wake()

    def _ice_servers_of(self, registration: Registration) -> IceServers:
        if self._ice_servers is None or not registration.proven:
            return IceServers(servers=(), lifetime=0)
        return self._ice_servers(registration.peer)

    # --- signals ------------------------------------------------------------------------------------------------------

    def _route(self, source: Registration, message: Envelope | Malformed, size: int, now: float) -> None:
        """Pass a signal on.

        :raises Refused: if it can't be; the session is over then
        """
        if message.sender != source.peer:
            raise Refused("forged-from", f"from: you are registered as {source.peer}")
        key = SessionKey(message.recipient, message.session)
        if isinstance(message, Malformed):
            if key in source.sessions:
                other = self._forget_session(source, key)
                self._tell(other, SessionKey(source.peer, key.session), "peer-gone", "it broke the protocol")
            raise Refused("invalid-message", message.reason)
        begins = key not in source.sessions and not isinstance(message.signal, Bye | Error)
        if begins:
            self._check_room(source, now)
        target = self._find(source, message.recipient, now)
        self._note_session(source, target, message, now)
        try:
            target.channel.push(message, size, now)
        except BufferFull:
            if key in source.sessions:
                self._forget_session(source, key)
            raise Refused("peer-busy", f"too many messages wait for {target.peer}") from None
        self.journal.routed(message)
        target.wake()

    def _find(self, source: Registration, peer: str, now: float) -> Registration:
        if peer == source.peer:
            raise Refused("peer-not-found", "a peer can't have a session with itself")
        target = self._registrations.get(peer)
        if target is not None:
            return target
        settings = self._settings
        if now >= source.returned_at + settings.grace or len(self._registrations) >= settings.max_clients:
            raise Refused("peer-not-found", f"{peer} is not registered here")
        # The server has forgotten its clients, and this one came back before the other. It had no more sessions with
        # them than it may have now.
        if source.awaited >= settings.max_sessions:
            raise Refused("peer-not-found", f"{peer} is not registered here, nor waited for")
        source.awaited += 1
        target = self._add(peer)
        self._set_away(target, now)
        return target

    def _note_session(
        self, source: Registration, target: Registration, envelope: Envelope, now: float
    ) -> None:
        key = SessionKey(target.peer, envelope.session)
        session = source.sessions.get(key)
        if isinstance(envelope.signal, Bye | Error):
            if session is not None:
                self.journal.ended(key.session, source.peer, target.peer, envelope.signal.type)
                self._forget_session(source, key)
        elif session is not None:
            session.used_at = now
        else:
            session = Session(source, now)
            source.sessions[key] = target.sessions[SessionKey(source.peer, envelope.session)] = session
            source.started += 1
            self.journal.began(key.session, source.peer, target.peer)

    def _check_room(self, source: Registration, now: float) -> None:
        """:raises Refused: if ``source`` has started as many sessions as it may"""
        if source.started < self._settings.max_sessions:
            return
        idle_since = now - self._settings.session_idle
        for key, session in list(source.sessions.items()):
            if session.starter is source and session.used_at < idle_since:
                self._forget_session(source, key)
        if source.started >= self._settings.max_sessions:
            raise Refused("too-many-sessions", f"you have {source.started} sessions; end some")

    def _forget_session(self, registration: Registration, key: SessionKey) -> Registration:
        """Remove a session from both ends; returns the other one."""
        session = registration.sessions.pop(key)
        session.starter.started -= 1
        other = self._registrations[key.peer]
        del other.sessions[SessionKey(registration.peer, key.session)]
        return other


def _resume(registration: Registration, register: Register) -> bool:
    """Whether this is the client that was here, and both know how far they got. If so, its connection is dropped."""
    if registration.instance != register.instance or register.received is None:
        return False
    try:
        registration.channel.resume(register.received)
    except InvalidSignal:
        return False
    if registration.link is not None:
        registration.link.drop()
    return True


def _waiting_bytes(registration: Registration) -> int:
    return registration.channel.kept_bytes


def _failure(code: str, message: str) -> Failure:
    return Failure(data=error_data(code, message))
