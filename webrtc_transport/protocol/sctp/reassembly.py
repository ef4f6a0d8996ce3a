"""Messages out of fragments, per stream (RFC 9260, section 6.9).

The fragments of a message have consecutive TSNs, from the one with BEGIN to the one with END. On a path that loses
nothing they come in order, and a list is all that is needed; anything else goes through :class:`_Pile`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from .events import MessageReceived
from .packet import DataFlag

SSN_MASK: Final = 0xFFFF
_SSN_HALF: Final = 0x8000

FRAGMENT_COST: Final = 64
"""Bytes that something held counts beside its payload: what the interpreter takes for it. Without it a peer could
have us hold a million fragments of one byte in a window of a mebibyte."""

STREAM_COST: Final = 768
"""The same of a stream on which anything is held: its tables. A peer may have a fragment of one byte on each of its
65535 streams."""

# Global names are found faster than attributes, and these are looked up for each chunk.
_BEGIN: Final = DataFlag.BEGIN
_END: Final = DataFlag.END
_UNORDERED: Final = DataFlag.UNORDERED
_WHOLE: Final = _BEGIN | _END


class ReassemblyError(ValueError):
    """The peer's fragments can't be those of a message, or the message is too large."""


class _Fragment(NamedTuple):
    flags: int
    ssn: int
    ppid: int
    payload: bytes


class _Run(NamedTuple):
    """Fragments of one message with consecutive TSNs, and the bytes of their payloads."""

    first: int
    last: int
    size: int


class _Pile:
    """What came out of order on a stream: fragments, and ordered messages that wait for their turn."""

    __slots__ = ("fragments", "messages", "runs")

    def __init__(self) -> None:
        self.fragments: dict[int, _Fragment] = {}
        """By TSN."""
        self.runs: dict[int, _Run] = {}
        """By both their edges, so that a fragment finds those beside it at once."""
        self.messages: dict[int, MessageReceived] = {}
        """By SSN."""

    def add(self, tsn: int, fragment: _Fragment) -> _Run:
        """Put a fragment to its neighbours; returns the run that it belongs to.

        :raises ReassemblyError: if it doesn't fit to them
        """
        fragments, runs = self.fragments, self.runs
        first, last, size = tsn, tsn, len(fragment.payload)
        before, after = fragments.get(tsn - 1), fragments.get(tsn + 1)
        if before is not None and _is_continued(before, fragment):
            run = runs.pop(tsn - 1)
            runs.pop(run.first, None)
            first, size = run.first, size + run.size
        if after is not None and _is_continued(fragment, after):
            run = runs.pop(tsn + 1)
            runs.pop(run.last, None)
            last, size = run.last, size + run.size
        fragments[tsn] = fragment
        runs[first] = runs[last] = run = _Run(first, last, size)
        return run

    def is_whole(self, run: _Run) -> bool:
        """Whether a run is a message."""
        fragments = self.fragments
        return bool(fragments[run.first].flags & _BEGIN and fragments[run.last].flags & _END)

    def remove(self, run: _Run) -> list[_Fragment]:
        """Take a run out; returns its fragments."""
        self.runs.pop(run.first)
        self.runs.pop(run.last, None)
        return [self.fragments.pop(tsn) for tsn in range(run.first, run.last + 1)]


def _is_continued(fragment: _Fragment, following: _Fragment) -> bool:
    """Whether the second of two neighbours goes on with the message of the first."""
    ends, begins = fragment.flags & _END, following.flags & _BEGIN
    if ends and begins:
        return False
    if ends or begins:
        raise ReassemblyError("a message begins before the one in front of it ends")
    if fragment.ssn != following.ssn or (fragment.flags ^ following.flags) & _UNORDERED:
        raise ReassemblyError("a message is continued by another one's fragment")
    return True


class InboundStream:
    """One stream's messages. TSNs are counted without wrapping around.

    :param limit: bytes that a message may have
    """

    __slots__ = (
        "_limit",
        "_next_ssn",
        "_parts",
        "_parts_ppid",
        "_parts_size",
        "_parts_tsn",
        "_pile",
        "held",
        "stream_id",
    )

    def __init__(self, stream_id: int, limit: int) -> None:
        self.stream_id = stream_id
        self.held = 0
        """Bytes that wait for others, with :data:`FRAGMENT_COST` for each fragment and message and, if there are any,
        :data:`STREAM_COST`."""
        self._limit = limit
        self._next_ssn = 0
        self._parts: list[bytes] | None = None
        """The next message's payloads, from the first fragment on, without a gap."""
        self._parts_ppid = 0
        self._parts_tsn = 0
        """The TSN after theirs."""
        self._parts_size = 0
        self._pile: _Pile | None = None

    def skip(self, ssn: int) -> bool:
        """Count a message that came whole, if it is the next one and nothing else waits; returns whether it is."""
        if ssn != self._next_ssn or self._parts is not None or self._pile is not None:
            return False
        self._next_ssn = (ssn + 1) & SSN_MASK
        return True

    def add(  # noqa: PLR0917 - the fields of a DATA chunk, on the hot path
        self, tsn: int, flags: int, ssn: int, ppid: int, payload: bytes, output: list[MessageReceived]
    ) -> None:
        """Take a fragment that wasn't there before; append what became whole to ``output``.

        :raises ReassemblyError: if it doesn't fit to the others, or makes a message that is too large
        """
        if self._pile is None and ssn == self._next_ssn and not flags & _UNORDERED:
            if self._parts is None:
                if flags & _WHOLE == _WHOLE:
                    self._check_size(len(payload))
                    self._next_ssn = (ssn + 1) & SSN_MASK
                    output.append(MessageReceived(self.stream_id, ppid, payload))
                    return
                if flags & _BEGIN:
                    self._parts, self._parts_ppid, self._parts_size = [payload], ppid, len(payload)
                    self._parts_tsn = tsn + 1
                    self.held += len(payload) + FRAGMENT_COST + STREAM_COST
                    return
            elif tsn == self._parts_tsn and not flags & _BEGIN:
                self._add_part(payload, flags & _END, output)
                return
        elif flags & _UNORDERED and flags & _WHOLE == _WHOLE:
            self._check_size(len(payload))
            output.append(MessageReceived(self.stream_id, ppid, payload))
            return
        self._add_to_pile(tsn, _Fragment(flags, ssn, ppid, payload), output)

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            raise ReassemblyError(f"a message has more than {self._limit} bytes")

    def _add_part(self, payload: bytes, is_last: int, output: list[MessageReceived]) -> None:
        parts = self._parts
        assert parts is not None
        size = self._parts_size = self._parts_size + len(payload)
        if size > self._limit:
            self._check_size(size)
        if not is_last:
            self._parts_tsn += 1
            self.held += len(payload) + FRAGMENT_COST
            parts.append(payload)
            return
        self.held -= size - len(payload) + FRAGMENT_COST * len(parts) + STREAM_COST
        parts.append(payload)
        self._parts = None
        self._next_ssn = (self._next_ssn + 1) & SSN_MASK
        output.append(MessageReceived(self.stream_id, self._parts_ppid, b"".join(parts)))

    def _add_to_pile(self, tsn: int, fragment: _Fragment, output: list[MessageReceived]) -> None:
        pile = self._open_pile()
        run = pile.add(tsn, fragment)
        self._check_size(run.size)
        self.held += len(fragment.payload) + FRAGMENT_COST
        if not pile.is_whole(run):
            return
        fragments = pile.remove(run)
        self.held -= run.size + FRAGMENT_COST * len(fragments)
        data = b"".join([part.payload for part in fragments])
        message = MessageReceived(self.stream_id, fragments[0].ppid, data)
        if fragment.flags & _UNORDERED:
            output.append(message)
        else:
            if fragment.ssn in pile.messages or (fragment.ssn - self._next_ssn) & SSN_MASK >= _SSN_HALF:
                raise ReassemblyError("two messages have one sequence number")
            pile.messages[fragment.ssn] = message
            self.held += run.size + FRAGMENT_COST
            self._deliver(pile, output)
        self._close_pile(pile)

    def _open_pile(self) -> _Pile:
        """What is out of order; from now on that is everything."""
        pile = self._pile
        if pile is None:
            pile = self._pile = _Pile()
            if self._parts is None:
                self.held += STREAM_COST
            parts, self._parts = self._parts or [], None
            flags = _BEGIN
            for tsn, part in enumerate(parts, self._parts_tsn - len(parts)):
                pile.add(tsn, _Fragment(flags, self._next_ssn, self._parts_ppid, part))
                flags = 0
        return pile

    def _close_pile(self, pile: _Pile) -> None:
        if not pile.fragments and not pile.messages:
            self._pile = None
            self.held -= STREAM_COST

    def _deliver(self, pile: _Pile, output: list[MessageReceived]) -> None:
        """Give the messages whose turn it is."""
        while (message := pile.messages.pop(self._next_ssn, None)) is not None:
            self._next_ssn = (self._next_ssn + 1) & SSN_MASK
            self.held -= len(message.data) + FRAGMENT_COST
            output.append(message)

    def abandon(self, begin: int, end: int, ssn: int | None, output: list[MessageReceived]) -> None:
        """The peer gave up everything up to a TSN, and ordered messages up to ``ssn`` (RFC 3758, section 3.6).

        :param begin: the TSN up to which it did so before
        :param end: the TSN up to which it does so now
        """
        if self._pile is None and self._parts is None:
            if ssn is not None and (ssn - self._next_ssn) & SSN_MASK < _SSN_HALF:
                self._next_ssn = (ssn + 1) & SSN_MASK
            return
        pile = self._open_pile()
        for run in _runs_within(pile.runs, begin, end):
            fragments = pile.remove(run)
            self.held -= run.size + FRAGMENT_COST * len(fragments)
        if ssn is not None and (distance := (ssn - self._next_ssn) & SSN_MASK) < _SSN_HALF:
            self._skip_messages(pile, distance, output)
        self._close_pile(pile)

    def _skip_messages(self, pile: _Pile, distance: int, output: list[MessageReceived]) -> None:
        """Go beyond the next ``distance`` messages and one. What arrived whole before the last of them still counts."""
        begin = self._next_ssn
        if distance < len(pile.messages):
            numbers = [(begin + step) & SSN_MASK for step in range(distance + 1)]
        else:
            numbers = sorted(pile.messages, key=lambda number: (number - begin) & SSN_MASK)
        for number in numbers:
            if number in pile.messages and (number - begin) & SSN_MASK <= distance:
                self._next_ssn = number
                self._deliver(pile, output)
        self._next_ssn = (begin + max(distance + 1, (self._next_ssn - begin) & SSN_MASK)) & SSN_MASK
        self._deliver(pile, output)


def _runs_within(runs: dict[int, _Run], begin: int, end: int) -> set[_Run]:
    """The runs that start after ``begin``, and not after ``end``; by whichever way is shorter.

    Many runs may lie beyond, and the end may come nearer by one TSN at a time: they aren't looked at each time.
    """
    if end - begin < len(runs):
        return {run for tsn in range(begin + 1, end + 1) if (run := runs.get(tsn)) is not None}
    return {run for run in runs.values() if run.first <= end}
