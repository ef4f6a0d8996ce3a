"""The ICE agent of a webrtc-direct dialer, without I/O: full and controlling (RFC 8445).

It has one socket, knows the few addresses of its peer from the start, and nominates the first that answers. A path
that has answered is *validated*: DTLS may be sent there at once, while the nomination is under way.

A listener that is no lite agent, such as js's, never answers the first check but sends one of its own. It is answered
and at once followed by a check in return, so that no retransmission has to be waited for (RFC 8445, section 7.3.1.4).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Final

from .ice_agent import IceAgent
from .ice_answers import CheckAnswers
from .ice_events import ChecksFailed, ConsentExpired, PathSelected, PathValidated
from .ice_lite import CONSENT_TIMEOUT
from .limits import MAX_PEER_ADDRESSES
from .stun_message import (
    TRANSACTION_ID_LENGTH,
    Address,
    ErrorCode,
    MessageKind,
    StunMessage,
    binding_request,
)
from .ufrag import DirectCredentials

CHECK_TIMEOUT: Final = 10.0
"""Seconds for a path to be found and nominated."""

FIRST_RETRANSMISSION: Final = 0.05
"""Seconds; RFC 8445 has 500 ms at least (section 14.3), for agents with many pairs. There are few here."""

LAST_RETRANSMISSION: Final = 0.1
"""Seconds between checks in the end: a listener under attack lets in who comes again (:mod:`.admission`), and hears
each for a quarter of a second at a time (:mod:`.load_shedding`). Two checks fall into such a time whenever it begins,
and if they are a little late."""

PACE: Final = 0.02
"""Seconds between the first checks of two candidates."""

_HURRIED_CHECK: Final = 0.5
"""Seconds, or two round trips if these are more, until a consent check that isn't answered is followed by the next
one, and at least between those that the owner asks for.

RFC 7675 (section 5.1) has 4 s at least between any two. That holds while they are answered, with the usual timeout.
But if a NAT on the way gave us another address, the checks are what tells the listener of it; one under attack hears
one in several of them (:mod:`.load_shedding`), and nothing arrives until then."""

_REMEMBERED: Final = 21
"""Checks of a path whose answers still count: all those of the first two seconds."""

# RFC 8445, section 5.1.2.1: peer-reflexive (110), one local address (65535), component 1 (256 - 1).
_PRIORITY: Final = 110 << 24 | 65535 << 8 | 255


class _Path:
    """A remote candidate, and how far its checks are."""

    __slots__ = (
        "address",
        "checks",
        "is_nominated",
        "is_validated",
        "last_error",
        "next_at",
        "round_trip",
        "sent",
    )

    def __init__(self, address: Address) -> None:
        self.address = address
        self.checks: dict[bytes, tuple[bool, float]] = {}
        """Transaction ids of checks that may still be answered, whether they nominate, and when they were sent; the
        oldest first."""
        self.is_nominated = False
        """By us, in the next checks; or by the peer, if it controls."""
        self.is_validated = False
        self.last_error: int | None = None
        self.next_at: float | None = None
        self.round_trip = 0.0
        """Seconds that the last answer took."""
        self.sent = 0

    @property
    def hurry(self) -> float:
        """Seconds between consent checks that aren't answered."""
        return max(_HURRIED_CHECK, 2 * self.round_trip)


class ControllingAgent(IceAgent):
    """The dialer's end of one connection.

    :param remote: where the listener may be: 1 to ``MAX_PEER_ADDRESSES`` addresses, the best first
    :param random: gives random bytes
    """

    def __init__(
        self,
        credentials: DirectCredentials,
        remote: Sequence[Address],
        now: float,
        *,
        check_timeout: float = CHECK_TIMEOUT,
        consent_timeout: float = CONSENT_TIMEOUT,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if not 1 <= len(remote) <= MAX_PEER_ADDRESSES:
            raise ValueError(f"1 to {MAX_PEER_ADDRESSES} addresses can be dialed at once, not {len(remote)}")
        super().__init__(credentials.flow, now, consent_timeout)
        self.mapped_address: Address | None = None
        """Our own address, as the peer sees it."""
        self._username = credentials.username
        self._password = credentials.server.password.encode()
        self._answers = CheckAnswers(credentials.answering_username, credentials.client.password, now)
        self._random = random
        self._tie_breaker = int.from_bytes(random(8))
        self._is_controlling = True
        self._started_at = now
        self._check_timeout = check_timeout
        self._answered_at = self._consent_sent_at = now
        self._paths = {address: _Path(address) for address in remote}
        self._selected: _Path | None = None
        self._current: _Path | None = None
        """Where to send: the selected path, or before that the first that was validated."""
        for place, path in enumerate(self._paths.values()):
            path.next_at = now + place * PACE
        self.handle_timer(now)

    # --- what comes in ------------------------------------------------------------------------------------------------

    def receive(self, message: StunMessage, size: int, address: Address, now: float) -> None:
        if self.is_ended:
            return
        if message.kind == MessageKind.BINDING_REQUEST:
            self._receive_check(message, size, address, now)
        elif message.kind in (MessageKind.BINDING_SUCCESS, MessageKind.BINDING_ERROR):
            self._receive_answer(message, address, now)

    def _receive_check(self, check: StunMessage, size: int, address: Address, now: float) -> None:
        if not self._answers.is_authentic(check, size, address, now):
            return
        self.heard_at = now
        rival = check.controlling if self._is_controlling else check.controlled
        if rival is not None:
            # Both want the same role: who has the larger tie-breaker decides (RFC 8445, section 7.3.1.1).
            if (self._tie_breaker >= rival) is self._is_controlling:
                self._answers.refuse_role(check, address)
                return
            self._is_controlling = not self._is_controlling
        path = self._paths.get(address)
        if path is None:
            if len(self._paths) >= MAX_PEER_ADDRESSES:
                return
            path = self._paths[address] = _Path(address)
        self._answers.accept(check, address)
        if not self._is_controlling and check.use_candidate:
            path.is_nominated = True
        if not path.is_validated:
            # One check for each that came, so that nobody can make us send more than that to an address of his choice.
            self._check(path, now)
        elif path.is_nominated and not self._is_controlling:
            self._select(path, now)

    def _receive_answer(self, answer: StunMessage, address: Address, now: float) -> None:
        # An answer comes from where its check was sent, or it isn't one (RFC 8445, section 7.2.5.2.1).
        path = self._paths.get(address)
        if path is None or answer.transaction_id not in path.checks:
            return
        if not answer.is_authentic(self._password):
            # Anybody can say this; it ends nothing, and is told if nothing better comes.
            path.last_error = answer.error_code
            return
        nominated, sent_at = path.checks.pop(answer.transaction_id)
        path.round_trip = now - sent_at
        if answer.kind == MessageKind.BINDING_SUCCESS and not answer.unknown:
            self._succeeded(path, answer, nominated=nominated, now=now)
        elif answer.error_code == ErrorCode.ROLE_CONFLICT:
            # RFC 8445, section 7.2.5.1. All older checks said the other role: their answers mean nothing now.
            self._is_controlling = not self._is_controlling
            self._tie_breaker = int.from_bytes(self._random(8))
            path.checks.clear()
            self._check(path, now)
        else:
            path.last_error = answer.error_code

    def _succeeded(self, path: _Path, answer: StunMessage, *, nominated: bool, now: float) -> None:
        self._answered_at = self.heard_at = now
        self.mapped_address = answer.mapped_address or self.mapped_address
        if path is self._selected:
            path.next_at = self._next_consent(now)
        if not path.is_validated:
            path.is_validated = True
            path.next_at = None
            self._current = self._current or path
            self.events.append(PathValidated(path.address))
        if self._is_controlling:
            if nominated:
                self._select(path, now)
            elif not any(other.is_nominated for other in self._paths.values()):
                path.is_nominated = True
                path.sent = 0
                path.next_at = now
                self.handle_timer(now)
        elif path.is_nominated:
            self._select(path, now)

    def _select(self, path: _Path, now: float) -> None:
        if path is self._selected:
            return
        self._selected = self._current = path
        for other in self._paths.values():
            other.next_at = None
        path.next_at = self._next_consent(now)
        self.events.append(PathSelected(path.address))

    def accepts(self, size: int, address: Address) -> bool:  # noqa: ARG002 - what we dialed may be sent to
        path = self._paths.get(address)
        return path is not None and path.is_validated and not self.is_ended

    # --- what goes out ------------------------------------------------------------------------------------------------

    def confirm(self, address: Address, now: float) -> None:  # noqa: ARG002 - as above
        # Where the listener is, and whether it consents, its answers tell.
        self.heard_at = now

    def destination(self, size: int) -> Address | None:  # noqa: ARG002 - as above
        return None if self._current is None or self.is_ended else self._current.address

    @property
    def selected(self) -> Address | None:
        return None if self._selected is None else self._selected.address

    def transmit(self) -> list[tuple[bytes, Address]]:
        datagrams, self._answers.outbox = self._answers.outbox, []
        return datagrams

    def ask_consent(self, now: float) -> None:
        # If a NAT on the way gave us another address, this is how the peer learns it.
        if self._selected is not None and now - self._consent_sent_at >= self._selected.hurry:
            self._selected.next_at = now
            self.handle_timer(now)

    def _check(self, path: _Path, now: float) -> None:
        transaction_id = self._random(TRANSACTION_ID_LENGTH)
        nominate = self._is_controlling and path.is_nominated
        while len(path.checks) >= _REMEMBERED:
            del path.checks[next(iter(path.checks))]
        path.checks[transaction_id] = nominate, now
        path.sent += 1
        check = binding_request(
            transaction_id,
            username=self._username,
            password=self._password,
            priority=_PRIORITY,
            tie_breaker=self._tie_breaker,
            controlling=self._is_controlling,
            use_candidate=nominate,
        )
        self._answers.outbox.append((check, path.address))

    # --- time ---------------------------------------------------------------------------------------------------------

    @property
    def timer(self) -> float | None:
        if self.is_ended:
            return None
        due = [path.next_at for path in self._paths.values() if path.next_at is not None]
        return min(*due, self._deadline) if due else self._deadline

    @property
    def _deadline(self) -> float:
        if self._selected is None:
            return self._started_at + self._check_timeout
        return self._answered_at + self._consent_timeout

    def handle_timer(self, now: float) -> None:
        if self.is_ended:
            return
        if now >= self._deadline:
            self.is_ended = True
            if self._selected is None:
                self.events.append(ChecksFailed(self._describe(now)))
            else:
                self.events.append(ConsentExpired(now - self._answered_at))
            return
        for path in self._paths.values():
            if path.next_at is not None and now >= path.next_at:
                self._check(path, now)
                if path is self._selected:
                    self._consent_sent_at = now
                    path.next_at = now + path.hurry
                else:
                    path.next_at = now + min(
                        FIRST_RETRANSMISSION * 2 ** min(path.sent - 1, 8), LAST_RETRANSMISSION
                    )

    def _next_consent(self, now: float) -> float:
        jitter = 0.8 + 0.4 * int.from_bytes(self._random(2)) / 0xFFFF
        return now + self._consent_interval * jitter

    def _describe(self, now: float) -> str:
        tried = ", ".join(
            f"{path.address[0]} port {path.address[1]} ({_outcome(path)})" for path in self._paths.values()
        )
        return f"no path worked within {now - self._started_at:.1f} s; tried {tried}"


def _outcome(path: _Path) -> str:
    if path.is_validated:
        return "it answers, but not to its nomination"
    if path.last_error is not None:
        return f"it answers with the STUN error {path.last_error}"
    return f"no answer to {path.sent} checks"
