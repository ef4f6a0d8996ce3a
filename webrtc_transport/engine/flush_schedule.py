"""When is what is queued sent? At once, at the end of the loop's turn, or a few turns later.

A message of the application leaves at once if nothing is under way; else it waits for the end of the turn, and a little
longer while others follow it into the same packet. What answers the peer, and what opens or ends a channel, waits a few
turns for such a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..protocol.sctp.association import Association
from .driver import Driver

PACKET_WORTH: Final = 1024
"""Bytes of messages that are worth a packet of their own: no more are waited for."""

MAX_TURNS: Final = 16
"""Turns of the loop, of some 10 µs each, that messages wait for others to share their packet."""

ANSWER_TURNS: Final = 4
"""Turns that an answer waits for a message of the application: as many as it takes to wake a task, and one of its."""


class FlushSchedule:
    """Calls ``flush`` for an association when it is time. ``flush`` calls :meth:`begin_anew`."""

    def __init__(self, driver: Driver, association: Association, flush: Callable[[], None]) -> None:
        self.is_due = False
        """Whether there is something to be sent in a turn to come."""
        self._driver = driver
        self._association = association
        self._flush = flush
        self._is_awake = False
        """Whether the end of the turn is waited for."""
        self._patience = 0
        """Turns that what is due may still wait for the application to send something."""
        self._has_new = False
        """Whether a message was queued in this turn."""
        self._turns = 0

    def message_queued(self) -> None:
        """A message of the application is to be sent."""
        if self._has_new:
            # It follows others in this turn, which wait for its end.
            return
        if self._association.in_flight:
            self._has_new = True
            self.wake()
        else:
            self._flush()

    def wake(self) -> None:
        """Have everything sent at the end of this turn of the loop."""
        self._patience = 0
        self._schedule()

    def defer(self) -> None:
        """Have everything sent in a few turns, or with what is sent before."""
        if not self.is_due:
            self._patience = ANSWER_TURNS
            self._schedule()

    def begin_anew(self) -> None:
        """What was to be sent is being sent."""
        self.is_due = self._has_new = False
        self._turns = 0

    def _schedule(self) -> None:
        self.is_due = True
        if not self._is_awake:
            self._is_awake = True
            self._driver.call_soon(self._end_turn)

    def _end_turn(self) -> None:
        self._is_awake = False
        if not self.is_due:
            return
        patience = self._patience
        if self._has_new and self._association.in_flight and self._association.queued < PACKET_WORTH:
            # Whoever sends small messages has most likely not sent the last of them.
            patience = MAX_TURNS
        if self._turns < patience:
            self._has_new = False
            self._turns += 1
            self._schedule()
        else:
            self._flush()
