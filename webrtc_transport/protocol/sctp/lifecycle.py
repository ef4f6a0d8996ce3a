"""Where an association stands, what it repeats until the peer moves it on, and how it ended."""

from __future__ import annotations

from .events import Ended
from .packet import CauseCode
from .repeater import Repeater
from .states import TRANSITIONS, State
from .transmitter import Transmitter


class Lifecycle:
    """The state of an association.

    :param transmitter: sends what is repeated, and ABORT
    """

    def __init__(self, transmitter: Transmitter) -> None:
        self.state = State.CLOSED
        self.ended: Ended | None = None
        """The last event, once the association is over."""
        self._transmitter = transmitter
        self._repeater = Repeater()

    def move(self, state: State) -> None:
        """Enter a state."""
        assert state in TRANSITIONS[self.state], f"{self.state} to {state}"
        self.state = state

    # --- how it goes on -------------------------------------------------------------------------------------------

    @property
    def timer(self) -> float | None:
        """When :meth:`handle_timer` is to be called."""
        return self._repeater.timer

    def repeat(self, chunk: bytes, limit: int, now: float) -> None:
        """Send a chunk by itself, ``limit`` times at most, until :meth:`stop_repeating`."""
        self._transmitter.send(self._repeater.start(chunk, limit, now))

    def restart_repeating(self, chunk: bytes, now: float) -> None:
        """The peer is there, and busy: count from the beginning, with this chunk instead."""
        self._repeater.restart(chunk, now)

    def stop_repeating(self) -> None:
        """The chunk was answered."""
        self._repeater.stop()

    def handle_timer(self, now: float) -> None:
        """Repeat what is due, or give up."""
        chunk = self._repeater.handle_timer(now)
        if chunk is not None:
            self._transmitter.send(chunk)
        if not self._repeater.is_exhausted:
            return
        if self.state is State.SHUTDOWN_ACK_SENT:
            # Both ends have everything; only the last word is missing.
            self.end("the association was shut down", is_orderly=True)
        else:
            self.fail(CauseCode.USER_INITIATED_ABORT, f"the peer does not answer ({self.state.name})")

    # --- how it ends ----------------------------------------------------------------------------------------------

    def end(self, reason: str, *, is_orderly: bool, is_lost: bool = False) -> None:
        """End without another word."""
        self.move(State.ENDED)
        self._repeater.stop()
        self.ended = Ended(reason, is_orderly, is_lost)

    def abort(self, reason: str) -> None:
        """End because this end wants to."""
        self._transmitter.abort(CauseCode.USER_INITIATED_ABORT, reason)
        self.end(reason or "aborted by this end", is_orderly=True)

    def fail(self, cause: CauseCode, reason: str, *, is_lost: bool = False) -> None:
        """End because of what the peer did, or didn't do."""
        self._transmitter.abort(cause, reason)
        self.end(reason, is_orderly=False, is_lost=is_lost)
