"""Answers to connectivity checks, which are the same whichever the agent's role is (RFC 8445, section 7.3)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from .rate_limit import Rate, TokenBucket
from .stun_message import Address, ErrorCode, StunMessage, binding_error, binding_success

_REFUSALS: Final = Rate(10, 10)
"""Refusals of one agent per second, and at once. A peer that has the credentials gets none; the others may guess."""


class CheckAnswers:
    """Decides which checks are authentic, and makes the answers.

    :param username: USERNAME of the checks that are for us
    :param password: ours
    """

    __slots__ = ("_password", "_refusals", "_username", "outbox")

    def __init__(self, username: bytes, password: str, now: float) -> None:
        self.outbox: list[tuple[bytes, Address]] = []
        self._username = username
        self._password = password.encode()
        self._refusals = TokenBucket(_REFUSALS, now)

    def is_authentic(self, check: StunMessage, size: int, address: Address, now: float) -> bool:
        """Whether a check is from our peer. One that isn't, or asks for what we don't have, is refused here.

        :param size: bytes of the datagram. No refusal is longer, so that nobody gains by a false source.
        """
        # RFC 8489, section 9.1.3 in its order, then section 6.3.1.
        if check.username is None or not check.has_integrity:
            self._refuse(check, ErrorCode.BAD_REQUEST, size, address, now)
        elif check.username != self._username or not check.is_authentic(self._password):
            self._refuse(check, ErrorCode.UNAUTHENTICATED, size, address, now)
        elif check.unknown:
            self._refuse(check, ErrorCode.UNKNOWN_ATTRIBUTE, size, address, now, unknown=check.unknown)
        else:
            return True
        return False

    def accept(self, check: StunMessage, address: Address) -> int:
        """Answer an authentic check. Returns the bytes of the answer."""
        answer = binding_success(check.transaction_id, address, self._password)
        self.outbox.append((answer, address))
        return len(answer)

    def refuse_role(self, check: StunMessage, address: Address) -> None:
        """Tell an authentic peer to take the other role (RFC 8445, section 7.3.1.1)."""
        answer = binding_error(check.transaction_id, ErrorCode.ROLE_CONFLICT, password=self._password)
        self.outbox.append((answer, address))

    def _refuse(
        self,
        check: StunMessage,
        code: ErrorCode,
        size: int,
        address: Address,
        now: float,
        *,
        unknown: Sequence[int] = (),
    ) -> None:
        if not self._refusals.take(now):
            return
        # Who couldn't be authenticated can't check a MESSAGE-INTEGRITY either.
        password = self._password if unknown else None
        answer = binding_error(check.transaction_id, code, unknown=unknown, password=password)
        if len(answer) <= size:
            self.outbox.append((answer, address))
