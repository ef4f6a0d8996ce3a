"""The states of an association, and what leads from one to the next (RFC 9260, section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, auto
from typing import Final


class State(Enum):
    """Where an association stands."""

    # The members are looked up for each frame, and the hash of Enum is made in Python.
    __hash__ = object.__hash__

    CLOSED = auto()
    COOKIE_WAIT = auto()
    COOKIE_ECHOED = auto()
    ESTABLISHED = auto()
    SHUTDOWN_PENDING = auto()
    SHUTDOWN_SENT = auto()
    SHUTDOWN_RECEIVED = auto()
    SHUTDOWN_ACK_SENT = auto()
    ENDED = auto()


TRANSITIONS: Final[Mapping[State, frozenset[State]]] = {
    State.CLOSED: frozenset({State.COOKIE_WAIT, State.ESTABLISHED, State.ENDED}),
    State.COOKIE_WAIT: frozenset({State.COOKIE_ECHOED, State.ESTABLISHED, State.ENDED}),
    State.COOKIE_ECHOED: frozenset({State.ESTABLISHED, State.ENDED}),
    State.ESTABLISHED: frozenset({State.SHUTDOWN_PENDING, State.SHUTDOWN_RECEIVED, State.ENDED}),
    State.SHUTDOWN_PENDING: frozenset({State.SHUTDOWN_SENT, State.SHUTDOWN_RECEIVED, State.ENDED}),
    State.SHUTDOWN_SENT: frozenset({State.SHUTDOWN_ACK_SENT, State.ENDED}),
    State.SHUTDOWN_RECEIVED: frozenset({State.SHUTDOWN_ACK_SENT, State.ENDED}),
    State.SHUTDOWN_ACK_SENT: frozenset({State.ENDED}),
    State.ENDED: frozenset(),
}

SENDING: Final = frozenset({State.ESTABLISHED, State.SHUTDOWN_PENDING, State.SHUTDOWN_RECEIVED})
"""Data may be sent, for the first time or again."""

SETTING_UP: Final = frozenset({State.CLOSED, State.COOKIE_WAIT, State.COOKIE_ECHOED})

TAKING: Final = SETTING_UP | {State.ESTABLISHED}
"""Messages of the application are taken."""
