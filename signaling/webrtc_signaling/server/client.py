"""A client at the hub, whatever connects it: who it is, and what it sends."""

from __future__ import annotations

import asyncio
import math
import time
from typing import Final

from webrtc_transport.errors import InvalidSignal

from ..messages import (
    Ack,
    Failure,
    Numbered,
    Register,
    Registered,
    UnsupportedVersion,
    error_data,
)
from .access import Access
from .auth import Refused, check_proof, new_challenge
from .hub import Hub
from .registration import Link, Registration
from .settings import ServerSettings
from .signals import FromClient

_TOKEN_CHECK: Final = 3600.0
"""Seconds between two looks at the clock for a token that is good for long."""


class Client:
    """One connection of a client: it registers once, and then sends.

    :param address: that it comes from
    """

    def __init__(self, link: Link, address: str, hub: Hub, access: Access, settings: ServerSettings) -> None:
        self.challenge = new_challenge()
        self.registration: Registration | None = None
        self._address = address
        self._link = link
        self._hub = hub
        self._access = access
        self._settings = settings
        self._token_expiry: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        """For the log."""
        return self._address if self._peer is None else f"{self._address} ({self._peer})"

    @property
    def _peer(self) -> str | None:
        return None if self.registration is None else self.registration.peer

    def register(self, message: FromClient) -> tuple[Registration, Registered]:
        """Check who it is; returns its registration, and the answer.

        :raises Refused: if its proof is wrong, or the operator doesn't want it
        :raises InvalidSignal: if it says something else
        """
        if not isinstance(message, Register):
            raise InvalidSignal("type: register first")
        proven = check_proof(message, self.challenge, insecure=self._settings.insecure)
        unproven_from = None if proven else self._address
        expires_at = self._access.check(message, _now(), unproven_from=unproven_from)
        # It is good once, and half a KiB for each client that is there.
        del self.challenge
        self.registration, reply = self._hub.register(
            message,
            self._link,
            _now(),
            proven=proven,
            token_expires_at=math.inf if expires_at is None else expires_at,
        )
        self._hub.journal.registered(message.peer, self._address, proven=proven, resumed=reply.resumed)
        if expires_at is not None:
            self._watch_token(expires_at)
        return self.registration, reply

    def receive(self, registration: Registration, message: FromClient, now: float) -> None:
        """Handle a message.

        :raises InvalidSignal: if it breaks the protocol
        """
        if not registration.bucket.take(now):
            self._too_fast()
        elif isinstance(message, Numbered):
            self._hub.receive(registration, message, now)
        elif isinstance(message, Ack):
            registration.channel.acknowledge(message.ack)
        else:
            raise InvalidSignal("type: you are registered already")

    def may_go_on(self, registration: Registration, now: float) -> bool:
        """Whether it keeps to its rate; if not, the link is told to close."""
        if registration.bucket.take(now):
            return True
        self._too_fast()
        return False

    def _too_fast(self) -> None:
        self._link.close(Failure(data=error_data("rate-limited", "you send too many messages")))

    def superseded(self) -> None:
        """Another connection has its registration."""
        if self._token_expiry is not None:
            self._token_expiry.cancel()

    def refused(self, failure: Failure) -> None:
        """It is told that it can't go on, because of what it did."""
        self._hub.journal.refused(self._peer, self._address, failure)

    def dismissed(self, failure: Failure) -> None:
        """It is told that it has to go."""
        self._hub.journal.dismissed(self._peer, self._address, failure)

    def disconnected(self, *, leaving: bool) -> None:
        """The connection is over; ``leaving`` if the client said goodbye."""
        self.superseded()
        if self.registration is not None:
            self._hub.journal.disconnected(self.registration.peer, self._address, leaving=leaving)
            self._hub.disconnected(self.registration, self._link, _now(), leaving=leaving)

    def _watch_token(self, expires_at: float) -> None:
        # The clock may be set meanwhile, so it is looked at again: at the latest then.
        wait = min(max(0.0, expires_at - time.time()), _TOKEN_CHECK)
        self._token_expiry = asyncio.get_running_loop().call_later(wait, self._check_token, expires_at)

    def _check_token(self, expires_at: float) -> None:
        if time.time() < expires_at:
            self._watch_token(expires_at)
        else:
            self._link.close(Failure(data=error_data("token-expired", "the token has expired")))


def failure_of(error: Refused | InvalidSignal) -> Failure:
    """What a client is told that can't go on."""
    match error:
        case Refused():
            return Failure(data=error_data(error.code, str(error)))
        case UnsupportedVersion():
            return Failure(data=error_data("unsupported-version", str(error)))
        case _:
            return Failure(data=error_data("invalid-message", str(error)))


def _now() -> float:
    return asyncio.get_running_loop().time()
