"""The ICE agent of a webrtc-direct listener, without I/O: lite and controlled (RFC 8445, sections 2.5 and 8.2).

It sends no checks. It answers those of its peer, and learns from them where the peer is: an address from which an
authentic check came is a *validated* path, from which DTLS is taken; the *selected* path is where to send.

That a check is authentic doesn't show that its source receives what is sent there: the password travels in the
check itself (:mod:`.ufrag`). Until a path is *proven*, by DTLS messages that only who received ours can make, it gets
no more than three times the bytes that came from it (RFC 9000, section 8, which the libp2p specs refer to).
"""

from __future__ import annotations

from typing import Final

from .ice_agent import IceAgent
from .ice_answers import CheckAnswers
from .ice_events import ChecksFailed, ConsentExpired, PathSelected, PathValidated
from .limits import AMPLIFICATION_LIMIT, MAX_PEER_ADDRESSES
from .stun_message import Address, MessageKind, StunMessage
from .ufrag import DirectCredentials

CONSENT_TIMEOUT: Final = 30.0
"""Seconds of silence after which consent has expired (RFC 7675, section 5.1)."""

NOMINATION_TIMEOUT: Final = 10.0
"""Seconds for a peer to nominate a path: js, which is the least patient, has given its dial up by then."""

_MOVED_AFTER: Final = 1.0
"""Seconds for which the selected path is silent while the peer checks another, before we follow without being told."""

_MOVED_CHECKS: Final = 2
"""Checks in a row from another path that show that it wasn't one of many that the peer keeps open."""


class _Path:
    """An address of the peer."""

    __slots__ = ("address", "checks_alone", "heard_at", "is_proven", "priority", "received", "sent")

    def __init__(self, address: Address, now: float) -> None:
        self.address = address
        self.checks_alone = 0
        """Checks since the selected path was last heard."""
        self.heard_at = now
        self.is_proven = False
        self.priority = 0
        self.received = 0
        self.sent = 0


class LiteAgent(IceAgent):
    """The listener's end of one connection.

    :param credentials: what the peer's first check said
    """

    def __init__(
        self,
        credentials: DirectCredentials,
        now: float,
        *,
        consent_timeout: float = CONSENT_TIMEOUT,
        nomination_timeout: float = NOMINATION_TIMEOUT,
    ) -> None:
        super().__init__(credentials.flow, now, consent_timeout)
        self._answers = CheckAnswers(credentials.username, credentials.server.password, now)
        self._started_at = now
        self._nomination_timeout = nomination_timeout
        self._paths: dict[Address, _Path] = {}
        self._selected: _Path | None = None
        self._current: _Path | None = None
        """Where to send: the selected path, or before that the one that was heard last."""

    # --- checks -----------------------------------------------------------------------------------------------------

    def receive(self, message: StunMessage, size: int, address: Address, now: float) -> None:
        # Only checks mean something to a lite agent.
        if self.is_ended or message.kind != MessageKind.BINDING_REQUEST:
            return
        if not self._answers.is_authentic(message, size, address, now):
            return
        if message.controlled is not None:
            # A lite agent is always the controlled one, whatever the tie-breakers say.
            self._answers.refuse_role(message, address)
            return
        path = self._paths.get(address) or self._add_path(address, now)
        path.priority = message.priority
        path.received += size
        path.sent += self._answers.accept(message, address)
        self._heard(path, now)
        if self._is_followed(path, message, now):
            self._select(path)
        elif self._selected is None:
            self._current = path

    def _add_path(self, address: Address, now: float) -> _Path:
        if len(self._paths) >= MAX_PEER_ADDRESSES:
            others = (path for path in self._paths.values() if path is not self._selected)
            del self._paths[min(others, key=lambda path: path.heard_at).address]
        path = self._paths[address] = _Path(address, now)
        self.events.append(PathValidated(address))
        return path

    def _heard(self, path: _Path, now: float) -> None:
        path.heard_at = self.heard_at = now
        path.checks_alone += 1
        if path is self._selected:
            for other in self._paths.values():
                other.checks_alone = 0

    def _is_followed(self, path: _Path, check: StunMessage, now: float) -> bool:
        """Whether the check makes its path the selected one."""
        selected = self._selected
        if selected is None or selected is path:
            return check.use_candidate
        is_silent = now - selected.heard_at >= _MOVED_AFTER
        if check.use_candidate:
            # Who nominates aggressively nominates every path that works, and means the best of them (RFC 5245,
            # section 8.1.1.2). A NAT that gives the peer another port doesn't change the priority.
            return is_silent or path.priority >= selected.priority
        return is_silent and path.checks_alone >= _MOVED_CHECKS

    def _select(self, path: _Path) -> None:
        if path is not self._selected:
            self._selected = self._current = path
            self.events.append(PathSelected(path.address))
        for other in self._paths.values():
            other.checks_alone = 0

    # --- what else is sent and received -----------------------------------------------------------------------------

    def accepts(self, size: int, address: Address) -> bool:
        path = self._paths.get(address)
        if path is None or self.is_ended:
            return False
        if not path.is_proven:
            path.received += size
        return True

    def confirm(self, address: Address, now: float) -> None:
        # It proves the path, and consent. Once a path is selected, the peer's data show where it is: a peer that
        # nominates but once, and then moves, isn't lost until its next check.
        path = self._paths.get(address)
        if path is None or self.is_ended:
            return
        path.is_proven = True
        path.heard_at = self.heard_at = now
        if self._selected is not None:
            self._select(path)

    def destination(self, size: int) -> Address | None:
        path = self._current
        if path is None or self.is_ended:
            return None
        if not path.is_proven:
            if path.sent + size > AMPLIFICATION_LIMIT * path.received:
                return None
            path.sent += size
        return path.address

    def ask_consent(self, now: float) -> None:
        """Nothing is done: a lite agent sends no checks."""

    @property
    def selected(self) -> Address | None:
        return None if self._selected is None else self._selected.address

    def transmit(self) -> list[tuple[bytes, Address]]:
        answers, self._answers.outbox = self._answers.outbox, []
        return answers

    # --- time -------------------------------------------------------------------------------------------------------

    @property
    def timer(self) -> float | None:
        if self.is_ended:
            return None
        if self._selected is None:
            return min(self.heard_at + self._consent_timeout, self._started_at + self._nomination_timeout)
        return self.heard_at + self._consent_timeout

    def handle_timer(self, now: float) -> None:
        timer = self.timer
        if timer is None or now < timer:
            return
        self.is_ended = True
        if self._selected is None:
            self.events.append(ChecksFailed(self._describe(now)))
        else:
            self.events.append(ConsentExpired(now - self.heard_at))

    def _describe(self, now: float) -> str:
        elapsed = now - self._started_at
        if not self._paths:
            return f"no authentic check came within {elapsed:.1f} s"
        heard = ", ".join(f"{host} port {port}" for host, port in self._paths)
        return f"the peer checked from {heard} and nominated nothing within {elapsed:.1f} s"
