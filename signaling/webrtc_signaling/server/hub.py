"""What goes from whom to whom. Sans-IO: time is an argument, and a client is a :class:`Link`.

A message is acknowledged to its sender when the peer has taken it, or when the sender was told that it won't. So
nothing is lost with a server that ends: whoever sent what it hasn't acknowledged still has it.

In a cluster, a peer of another server is registered here, too, as soon as somebody has a session with it. Its channel
leads to that server (:mod:`webrtc_signaling.server.neighbours`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from webrtc_transport.errors import InvalidSignal

from ..channel import BufferFull
from ..limits import MAX_HELD_MESSAGES
from ..messages import (
    IceServers,
    IceServersRequest,
    Malformed,
    Numbered,
    Register,
    Registered,
    SessionFailure,
)
from .auth import Refused
from .journal import Journal
from .registration import Link, Receipt, Registration, SessionKey
from .roster import Roster, failure
from .settings import ServerSettings
from .signals import RoutedSignal

_ICE_SERVERS_SIZE: Final = 2048
"""Bytes of ICE servers at most, for the bound on a queue; most have one, with a few URLs."""

_NO_SESSION: Final = SessionKey("", "")
"""What questions belong to."""

_INSECURE_NOTICE: Final = "this server runs --insecure: it accepts peer ids without proof"


class Hub:
    """Routes signals between registrations."""

    def __init__(
        self, settings: ServerSettings, *, ice_servers: Callable[[str, float], IceServers] | None = None
    ) -> None:
        self.journal = Journal()
        self.roster = Roster(settings, self.journal)
        self._settings = settings
        self._ice_servers = ice_servers
        """Makes those that a peer may use, and until when at most, in seconds since 1970."""

    def __len__(self) -> int:
        """How many clients are registered with this server."""
        return self.roster.clients

    @property
    def away(self) -> int:
        """Clients of this server that have no connection."""
        return self.roster.away

    @property
    def sessions(self) -> int:
        """Sessions that clients of this server began, and that haven't ended. Those of others are counted there."""
        return sum(registration.started for registration in self.roster if not registration.is_remote)

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for clients, or for their acknowledgement."""
        return self.roster.queued_bytes

    def register(
        self,
        register: Register,
        link: Link,
        now: float,
        *,
        proven: bool,
        token_expires_at: float = math.inf,
    ) -> tuple[Registration, Registered]:
        """A client is on ``link``, and is who it says, or an insecure server takes its word.

        :param token_expires_at: in seconds since 1970
        :raises Refused: if it isn't proven, and the one who is there is
        """
        present = self.roster.get(register.peer)
        if present is not None and present.proven and not proven:
            raise Refused("invalid-proof", f"{register.peer} is registered with a proof")
        resumed = present is not None and _resume(present, register)
        if present is None or not resumed:
            present = self._enter(present, register, now)
        self.roster.set_link(present, link)
        present.proven, present.token_expires_at = proven, token_expires_at
        if self.roster.cluster is not None:
            self.roster.cluster.registered(present)
        self.roster.end_overrun()
        return present, Registered(
            peer=present.peer,
            proven=proven,
            resumed=resumed,
            received=present.channel.settled,
            grace=self._settings.grace,
            notice=_INSECURE_NOTICE if self._settings.insecure else None,
            turn=True if self._ice_servers is not None and proven else None,
        )

    def receive(
        self,
        source: Registration,
        numbered: Numbered[RoutedSignal | Malformed | IceServersRequest],
        now: float,
    ) -> None:
        """A client sent a signal, or a question. What can't be delivered is answered with an error.

        :raises InvalidSignal: if its numbers are impossible
        """
        channel, message = source.channel, numbered.message
        channel.acknowledge(numbered.ack)
        receipt = Receipt(source, channel, numbered.seq)
        # The usual case first: to ask whether something is a pydantic model that it isn't takes long.
        if not isinstance(message, RoutedSignal) and isinstance(message, IceServersRequest):
            if channel.accept(numbered.seq, now, hold=_NO_SESSION):
                answer = self._ice_servers_of(source)
                self.roster.push(source, answer, _ICE_SERVERS_SIZE, on_taken=receipt)
                self.roster.end_overrun()
            return
        key = SessionKey(message.recipient, message.session)
        if channel.accept(numbered.seq, now, hold=key):
            self.relay(source, key, message, now, receipt=receipt)
            if len(channel.held) > MAX_HELD_MESSAGES:
                self._bound_held(source)

    def relay(
        self,
        source: Registration,
        key: SessionKey,
        message: RoutedSignal | Malformed,
        now: float,
        *,
        receipt: Callable[[], None],
    ) -> None:
        """Pass a signal of ``source`` on, or tell it why not; ``receipt`` is called when it is taken, or told.

        :param key: of its session
        """
        try:
            if not isinstance(message, RoutedSignal):
                raise self._broken(source, key, message)
            target = self._target(source, key, message, now)
            try:
                target.channel.push(message, len(message.text), now, on_taken=receipt)
            except BufferFull:
                if key in source.sessions:
                    self.roster.forget_session(source, key)
                raise Refused("peer-busy", f"too many messages wait for {target.peer}") from None
            self.journal.routed(message)
            target.wake()
        except Refused as exc:
            self.roster.tell(source, key, exc.code, str(exc))
            receipt()
        self.roster.end_overrun()

    def fail(self, registration: Registration, message: SessionFailure, receipt: Callable[[], None]) -> None:
        """Another server says that a session of one of our clients is over."""
        key = SessionKey(message.peer, message.session)
        if key in registration.sessions:
            self.roster.forget_session(registration, key)
        self.roster.push_failure(registration, message, on_taken=receipt)
        self.roster.end_overrun()

    def disconnected(self, registration: Registration, link: Link, now: float, *, leaving: bool) -> None:
        """A connection is over; ``leaving`` if the client said goodbye."""
        if registration.link is not link:
            return
        registration.link = None
        if leaving:
            self.roster.end(registration, "has left")
        else:
            self.roster.set_away(registration, now)

    def expire(self, now: float) -> None:
        """End the registrations whose grace time has passed."""
        self.roster.expire(now)

    def shut_down(self) -> None:
        """Say goodbye to everybody."""
        for registration in self.roster:
            if registration.link is not None and not registration.is_remote:
                registration.link.close(failure("shutting-down", "the server ends or restarts; come back"))

    def _enter(self, present: Registration | None, register: Register, now: float) -> Registration:
        """Make a registration, in place of the one that is there."""
        if present is not None and present.is_remote and present.instance in (None, register.instance):
            self.roster.take_over(present)
        elif present is not None and present.instance is not None:
            farewell = failure("replaced", "another client registered with this peer id")
            self.roster.end(present, "was replaced by another client with its peer id", farewell)
            present = None
        registration = present or self.roster.add(register.peer)
        registration.instance = register.instance
        if register.received is not None:
            registration.returned_at = now
        return registration

    # --- signals ------------------------------------------------------------------------------------------------------

    def _target(
        self, source: Registration, key: SessionKey, message: RoutedSignal, now: float
    ) -> Registration:
        """Who gets a signal, by a session that begins with it, goes on, or ends.

        :raises Refused: if it can't be passed on; the session is over then
        """
        if message.sender != source.peer:
            raise _forged(source)
        session = source.sessions.get(key)
        if session is None:
            return (
                self._find(source, key.peer, now) if message.ends_session else self._begin(source, key, now)
            )
        session.used_at = now
        if message.ends_session:
            self.journal.ended(key.session, source.peer, key.peer, message.type)
            self.roster.forget_session(source, key)
        return session.other(source)

    def _broken(self, source: Registration, key: SessionKey, message: Malformed) -> Refused:
        """What ``source`` is told whose signal is malformed; its session is over."""
        if message.sender != source.peer:
            return _forged(source)
        if key in source.sessions:
            other = self.roster.forget_session(source, key)
            ended = SessionKey(source.peer, key.session)
            self.roster.tell(other, ended, "peer-gone", "it broke the protocol")
        return Refused("invalid-message", message.reason)

    def _begin(self, source: Registration, key: SessionKey, now: float) -> Registration:
        """Let ``source`` begin a session; returns the other end."""
        self._check_room(source, now)
        target = self._find(source, key.peer, now)
        self.roster.begin_session(source, target, key.session, now)
        self.journal.began(key.session, source.peer, target.peer)
        return target

    def _ice_servers_of(self, registration: Registration) -> IceServers:
        if self._ice_servers is None or not registration.proven:
            return IceServers(servers=(), lifetime=0)
        return self._ice_servers(registration.peer, registration.token_expires_at)

    def _find(self, source: Registration, peer: str, now: float) -> Registration:
        if peer == source.peer:
            raise Refused("peer-not-found", "a peer can't have a session with itself")
        target = self.roster.get(peer)
        if target is not None:
            return target
        settings, cluster = self._settings, self.roster.cluster
        may_return = now < source.returned_at + settings.grace
        if not (may_return or cluster) or len(self.roster) >= settings.max_clients:
            raise Refused("peer-not-found", f"{peer} is not registered here")
        # The server has forgotten its clients, and this one came back before the other. It had no more sessions with
        # them than it may have now.
        if may_return and source.awaited >= settings.max_sessions:
            raise Refused("peer-not-found", f"{peer} is not registered here, nor waited for")
        source.awaited += may_return
        target = self.roster.add(peer, remote=cluster is not None)
        self.roster.set_away(target, now)
        if cluster is not None:
            cluster.look_for(target, now, patiently=may_return)
        return target

    def _check_room(self, source: Registration, now: float) -> None:
        """:raises Refused: if ``source`` has started as many sessions as it may"""
        if source.started < self._settings.max_sessions:
            return
        idle_since = now - self._settings.session_idle
        for key, session in list(source.sessions.items()):
            if session.starter is source and session.used_at < idle_since:
                self.roster.forget_session(source, key)
        if source.started >= self._settings.max_sessions:
            raise Refused("too-many-sessions", f"you have {source.started} sessions; end some")

    def _bound_held(self, source: Registration) -> None:
        """End the session whose message waits longest for its peer, if too many do."""
        held = source.channel.held
        while len(held) > MAX_HELD_MESSAGES:
            seq, (peer, session) = next(iter(held.items()))
            key = SessionKey(peer, session)
            if key in source.sessions:
                other = self.roster.forget_session(source, key)
                message = f"{peer} takes nothing of what is sent to it"
                self.roster.tell(source, key, "undeliverable", message)
                self.roster.tell(other, SessionKey(source.peer, session), "peer-gone", "the server ended it")
            source.channel.settle(seq)
        self.roster.end_overrun()


def _forged(source: Registration) -> Refused:
    return Refused("forged-from", f"from: you are registered as {source.peer}")


def _resume(registration: Registration, register: Register) -> bool:
    """Whether this is the client that was here, and both know how far they got. If so, its connection is dropped."""
    if registration.is_remote or registration.instance != register.instance or register.received is None:
        return False
    try:
        registration.channel.resume(register.received)
    except InvalidSignal:
        return False
    if registration.link is not None:
        registration.link.drop()
    return True
