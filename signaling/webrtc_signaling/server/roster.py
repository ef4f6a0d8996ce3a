"""Who is registered, who has a session with whom, and how a registration ends. Sans-IO: time is an argument.

A :class:`Registration` outlives its connections by the grace time. It ends when that has passed, when its client says
goodbye, when another instance of the client takes its place, or when it lets its queue run full; whoever has a session
with it is then told, and whether signals were lost with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from ..channel import BufferFull, ReliableChannel, Total
from ..messages import Failure, IceServers, SessionFailure, error_data
from .admission import TokenBucket
from .journal import Journal
from .registration import Link, Registration, Session, SessionKey
from .settings import ServerSettings
from .signals import ToClient

_FAILURE_SIZE: Final = 1024
"""Bytes that an error takes at most, for the bound on a queue."""

_NOT_BACK: Final = "has not come back"


class Cluster(Protocol):
    """The other servers. Its methods don't block."""

    def registered(self, registration: Registration) -> None:
        """A client has registered here."""

    def ended(self, registration: Registration) -> None:
        """A registration is over."""

    def look_for(self, registration: Registration, now: float, *, patiently: bool) -> None:
        """Find the server of a peer, and link its registration to that.

        :param patiently: wait for the peer if it isn't anywhere
        """


class Roster:
    """The registrations and their sessions."""

    def __init__(self, settings: ServerSettings, journal: Journal) -> None:
        self.cluster: Cluster | None = None
        """``None`` for a server by itself."""
        self._settings = settings
        self._journal = journal
        self._registrations: dict[str, Registration] = {}
        self._remote = 0
        self._queued = Total()
        """What waits for all of them together."""
        self._away: dict[str, Registration] = {}
        """Those without a link, in the order in which they expire."""
        self._overrun: list[Registration] = []
        """Those that are told more than they take; they end when the current call is over."""

    def __len__(self) -> int:
        """How many there are, clients of other servers included."""
        return len(self._registrations)

    def __iter__(self) -> Iterator[Registration]:
        return iter(self._registrations.values())

    @property
    def clients(self) -> int:
        """How many are registered with this server."""
        return len(self._registrations) - self._remote

    @property
    def away(self) -> int:
        """How many of this server's clients have no connection."""
        return sum(not registration.is_remote for registration in self._away.values())

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait for clients, or for their acknowledgement."""
        return self._queued.size

    def get(self, peer: str) -> Registration | None:
        """The registration of a peer, if there is one."""
        return self._registrations.get(peer)

    def add(self, peer: str, *, remote: bool = False) -> Registration:
        """Make a registration. Who is away the longest makes room, if there are too many."""
        settings = self._settings
        while len(self._registrations) >= settings.max_clients and self._away:
            self._end(next(iter(self._away.values())), _NOT_BACK)
        registration = self._registrations[peer] = Registration(
            peer=peer,
            channel=ReliableChannel(
                max_messages=settings.max_queued_messages,
                max_bytes=settings.max_queued_bytes,
                total=self._queued,
                on_transmit=self._journal.statistics.latency.observe,
            ),
            bucket=TokenBucket(settings.max_messages_per_second, settings.max_message_burst),
            instance=None,
        )
        self._set_remote(registration, remote=remote)
        return registration

    # --- links --------------------------------------------------------------------------------------------------------

    def set_link(self, registration: Registration, link: Link) -> None:
        """A registration is connected (again)."""
        self._away.pop(registration.peer, None)
        registration.link, registration.expires_at = link, math.inf

    def set_away(self, registration: Registration, now: float) -> None:
        """A registration has no connection any more, and ends unless it gets another."""
        self._away.pop(registration.peer, None)
        self._away[registration.peer] = registration
        registration.link, registration.expires_at = None, now + self._settings.grace

    def take_over(self, registration: Registration) -> None:
        """The client was on another server, and is here now. Its sessions go on."""
        registration.channel = registration.channel.renewed(_is_any)
        self._set_remote(registration, remote=False)

    def hand_over(self, registration: Registration) -> None:
        """The client has gone to another server. Its sessions go on there; what it hasn't taken is to follow."""
        if registration.link is not None:
            registration.link.drop()
        self._set_remote(registration, remote=True)
        for key in list(registration.sessions):
            if self._registrations[key.peer].is_remote:
                self.forget_session(registration, key)
        # What came from other servers, those still have.
        registration.channel = registration.channel.renewed(self._is_from_here)

    # --- ends ---------------------------------------------------------------------------------------------------------

    def end(
        self,
        registration: Registration,
        reason: str,
        farewell: Failure | None = None,
        *,
        code: str | None = None,
    ) -> None:
        """A registration is over, and those who have a session with it are told so.

        :param code: what they are told, instead of whether they may have lost something
        """
        self._end(registration, reason, farewell, code)
        self.end_overrun()

    def expire(self, now: float) -> None:
        """End the registrations whose grace time has passed."""
        while self._away and (oldest := next(iter(self._away.values()))).expires_at <= now:
            self._end(oldest, _NOT_BACK)
        self.end_overrun()

    def end_overrun(self) -> None:
        """End those that are told more than they take. Others may follow, because they are told of it."""
        while self._overrun or self._queued.size > self._settings.max_total_queued_bytes:
            registration = self._overrun.pop() if self._overrun else max(self, key=_waiting_bytes)
            if self._registrations.get(registration.peer) is registration:
                farewell = failure("slow-consumer", "you take nothing of what is sent to you")
                self._end(registration, "took nothing of what was sent to it", farewell)

    def tell(self, registration: Registration, key: SessionKey, code: str, message: str) -> None:
        """Say that a session is over. Call :meth:`end_overrun` afterwards."""
        self._journal.failed(key.session, registration.peer, key.peer, code, message)
        self.push_failure(
            registration,
            SessionFailure(peer=key.peer, session=key.session, data=error_data(code, message)),
        )

    def push_failure(
        self,
        registration: Registration,
        message: SessionFailure,
        *,
        on_taken: Callable[[], None] | None = None,
    ) -> None:
        """Likewise, in words of another server; ``on_taken`` is called when the client has it."""
        self.push(registration, message, _FAILURE_SIZE, on_taken=on_taken)

    def push(
        self,
        registration: Registration,
        message: ToClient,
        size: int,
        *,
        on_taken: Callable[[], None] | None = None,
    ) -> None:
        """Send what servers themselves have to say. Call :meth:`end_overrun` afterwards."""
        try:
            registration.channel.push(message, size, on_taken=on_taken)
        except BufferFull:
            self._overrun.append(registration)
        registration.wake()

    # --- sessions -----------------------------------------------------------------------------------------------------

    def begin_session(self, source: Registration, target: Registration, session: str, now: float) -> None:
        """``source`` starts a session with ``target``."""
        begun = Session(source, target, now)
        source.sessions[SessionKey(target.peer, session)] = begun
        target.sessions[SessionKey(source.peer, session)] = begun
        source.started += 1

    def forget_session(self, registration: Registration, key: SessionKey) -> Registration:
        """Remove a session from both ends; returns the other one."""
        session = registration.sessions.pop(key)
        session.starter.started -= 1
        other = session.other(registration)
        del other.sessions[SessionKey(registration.peer, key.session)]
        return other

    def _end(
        self,
        registration: Registration,
        reason: str,
        farewell: Failure | None = None,
        code: str | None = None,
    ) -> None:
        del self._registrations[registration.peer]
        self._remote -= registration.is_remote
        self._away.pop(registration.peer, None)
        registration.channel.leave_total()
        if registration.link is not None and farewell is not None:
            registration.link.close(farewell)
        registration.link = None
        undelivered = registration.undelivered()
        gone = "peer-not-found" if registration.instance is None else "peer-gone"
        for key in list(registration.sessions):
            other = self.forget_session(registration, key)
            ended, message = SessionKey(registration.peer, key.session), f"{registration.peer} {reason}"
            if code is None and (lost := undelivered[key]):
                message += f", and may have missed {lost} signal{'s' if lost > 1 else ''}"
                self.tell(other, ended, "undeliverable", message)
            else:
                self.tell(other, ended, code or gone, message)
        # After its senders were told.
        registration.channel.give_up()
        if self.cluster is not None:
            self.cluster.ended(registration)

    def _set_remote(self, registration: Registration, *, remote: bool) -> None:
        self._remote += remote - registration.is_remote
        registration.is_remote = remote

    def _is_from_here(self, message: ToClient) -> bool:
        if isinstance(message, IceServers):
            # It is asked for again.
            return False
        if isinstance(message, SessionFailure):
            return True
        sender = self._registrations.get(message.sender)
        return sender is not None and not sender.is_remote


def failure(code: str, message: str) -> Failure:
    """An error that ends a connection."""
    return Failure(data=error_data(code, message))


def _is_any(_message: ToClient) -> bool:
    return True


def _waiting_bytes(registration: Registration) -> int:
    return registration.channel.kept_bytes
