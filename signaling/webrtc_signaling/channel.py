"""Messages that outlive the connection that carries them. Sans-IO.

Each end of a registration holds one :class:`ReliableChannel`, for as long as the registration lives. It numbers what
goes out and keeps it until the other end acknowledges it, and drops what comes in twice. A server acknowledges what
comes in when the peer that it is for has it; until then it is *held*.

The driver of a connection obeys one rule: after each call, it sends what :meth:`ReliableChannel.transmit` returns, and
calls that again at :attr:`ReliableChannel.ack_at`. A connection begins with :meth:`ReliableChannel.resume`, except for
the first; the end of one needs no call.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from webrtc_transport.errors import InvalidSignal

from .limits import ACK_DELAY, ACK_EVERY, HELD_ACK_DELAY
from .messages import Ack, Numbered

_T = TypeVar("_T")


class BufferFull(Exception):
    """As much is unacknowledged as may be."""


@dataclass(slots=True)
class Total:
    """Bytes that are kept in several channels together."""

    size: int = 0


@dataclass(slots=True)
class _Kept(Generic[_T]):
    message: _T
    size: int
    pushed_at: float | None
    """``None`` if nobody asks, or has been told already."""
    on_taken: Callable[[], None] | None


class ReliableChannel(Generic[_T]):
    """One end of a numbered exchange; ``_T`` is what goes out.

    :param max_messages: messages that may be unacknowledged
    :param max_bytes: their size in bytes
    :param total: counts what is kept here among other things, until :meth:`leave_total`
    :param on_transmit: is told of each message, when it is transmitted first, how many seconds it has waited
    """

    def __init__(
        self,
        *,
        max_messages: int,
        max_bytes: int,
        total: Total | None = None,
        on_transmit: Callable[[float], None] | None = None,
    ) -> None:
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._total = Total() if total is None else total
        self._on_transmit = on_transmit
        self._kept: deque[_Kept[_T]] | tuple[()] = ()
        """The unacknowledged messages, numbered ``_acked + 1`` to ``sent``. A deque takes 3/4 KiB also if it is empty,
        a fifth of what a server has for an idle client; so there is one only while there are messages."""
        self._kept_bytes = 0
        self._acked = 0
        self._transmitted = 0
        """The last number that was given to the current connection."""
        self._received = 0
        self._held: dict[int, tuple[str, str]] = {}
        """The messages in that aren't to be acknowledged yet, in order."""
        self._unannounced = 0
        self._ack_at: float | None = None

    @property
    def sent(self) -> int:
        """The number of the last message out."""
        return self._acked + len(self._kept)

    @property
    def received(self) -> int:
        """The number of the last message in."""
        return self._received

    @property
    def settled(self) -> int:
        """The number of the last message in that may be acknowledged: no message up to it is held."""
        return next(iter(self._held)) - 1 if self._held else self._received

    @property
    def held(self) -> Mapping[int, tuple[str, str]]:
        """The numbers of the messages in that are held, in order, and what they were held for."""
        return self._held

    @property
    def unacknowledged(self) -> list[_T]:
        """The messages out that the other end may not have."""
        return [kept.message for kept in self._kept]

    @property
    def kept_bytes(self) -> int:
        """The size of the messages out that the other end may not have."""
        return self._kept_bytes

    def leave_total(self) -> None:
        """Count no more in the total: this channel goes away."""
        self._total.size -= self._kept_bytes
        self._total = Total(self._kept_bytes)

    @property
    def ack_at(self) -> float | None:
        """When an acknowledgement is due, if one is owed."""
        return self._ack_at

    def push(
        self,
        message: _T,
        size: int,
        now: float | None = None,
        *,
        on_taken: Callable[[], None] | None = None,
    ) -> None:
        """Queue a message of ``size`` bytes. With ``now``, its time to its transmission is told.

        :param on_taken: called when the other end has acknowledged it

        :raises BufferFull: if too many, or too large ones, are unacknowledged
        """
        if len(self._kept) >= self._max_messages or self._kept_bytes + size > self._max_bytes:
            raise BufferFull
        if not isinstance(self._kept, deque):
            self._kept = deque()
        self._kept.append(_Kept(message, size, now, on_taken))
        self._kept_bytes += size
        self._total.size += size

    def accept(self, seq: int, now: float, *, hold: tuple[str, str] | None = None) -> bool:
        """Take note of the number of an inbound message; false means that it was here before.

        :param hold: don't acknowledge it before it is settled (:meth:`settle`); says what it is held for
        :raises InvalidSignal: if the one before it is missing
        """
        if seq > self._received + 1:
            raise InvalidSignal(f"seq: {seq} after {self._received}; a message is missing")
        is_new = seq > self._received
        if is_new:
            self._received = seq
        if is_new and hold is not None:
            self._held[seq] = hold
            due = now + HELD_ACK_DELAY
        else:
            self._unannounced += 1
            due = now if self._unannounced >= ACK_EVERY else now + ACK_DELAY
        if self._ack_at is None or due < self._ack_at:
            self._ack_at = due
        return is_new

    def settle(self, seq: int) -> None:
        """A message in that was held may be acknowledged. The next :meth:`transmit` sees to it."""
        if self._held.pop(seq, None) is not None:
            self._unannounced += 1

    def acknowledge(self, ack: int) -> None:
        """The other end has everything up to number ``ack``.

        :raises InvalidSignal: if that was never transmitted
        """
        if ack > self._transmitted:
            raise InvalidSignal(f"ack: {ack} was never sent; the last number is {self._transmitted}")
        if ack <= self._acked or not isinstance(self._kept, deque):
            return
        size, to_tell = 0, []
        for _ in range(ack - self._acked):
            kept = self._kept.popleft()
            size += kept.size
            if kept.on_taken is not None:
                to_tell.append(kept.on_taken)
        self._acked = ack
        if not self._kept:
            self._kept = ()
        self._kept_bytes -= size
        self._total.size -= size
        # They may push here, and ask how much is kept.
        for tell in to_tell:
            tell()

    def resume(self, received: int) -> None:
        """Go on over a new connection, whose other end has everything up to number ``received``.

        :raises InvalidSignal: if that can't be
        """
        if not self._acked <= received <= self.sent:
            raise InvalidSignal(f"received: {received} is not within {self._acked} and {self.sent}")
        self._transmitted = received
        self.acknowledge(received)
        # Both ends have just told what they have.
        self._unannounced, self._ack_at = 0, None

    def renewed(self, keep: Callable[[_T], bool]) -> ReliableChannel[_T]:
        """A channel to another end, which has nothing yet, for the unacknowledged messages that are to be kept.

        The others are forgotten, without a call of their ``on_taken``. This channel goes away.
        """
        other: ReliableChannel[_T] = ReliableChannel(
            max_messages=self._max_messages,
            max_bytes=self._max_bytes,
            total=self._total,
            on_transmit=self._on_transmit,
        )
        self.leave_total()
        for kept in self._kept:
            if keep(kept.message):
                other.push(kept.message, kept.size, kept.pushed_at, on_taken=kept.on_taken)
        return other

    def give_up(self) -> None:
        """The other end will acknowledge nothing any more, so that nobody is to wait for it."""
        for kept in self._kept:
            if kept.on_taken is not None:
                kept.on_taken()

    def rewind(self, received: int) -> None:
        """Give what is beyond number ``received`` to this connection again: the other end may not have it.

        A call that comes late asks for less than is acknowledged; that isn't sent again.

        :raises InvalidSignal: if that number was never transmitted
        """
        self.acknowledge(received)
        self._transmitted = self._acked

    def transmit(self, now: float, max_bytes: float = math.inf) -> list[Numbered[_T] | Ack]:
        """What is to be sent now: messages not yet given to this connection, or an acknowledgement that is due.

        :param now: ``-inf`` for messages alone
        :param max_bytes: of all messages together; the first may be larger
        """
        output: list[Numbered[_T] | Ack] = []
        settled, size = self.settled, 0
        on_transmit = self._on_transmit if math.isfinite(now) else None
        for kept in islice(self._kept, self._transmitted - self._acked, None):
            size += kept.size
            if output and size > max_bytes:
                break
            self._transmitted += 1
            if kept.pushed_at is not None and on_transmit is not None:
                on_transmit(now - kept.pushed_at)
                kept.pushed_at = None
            output.append(Numbered(kept.message, self._transmitted, settled))
        if output:
            self._unannounced, self._ack_at = 0, None
            return output
        if self._unannounced:
            # Some may have been settled since the last call.
            due = now if self._unannounced >= ACK_EVERY else now + ACK_DELAY
            self._ack_at = due if self._ack_at is None else min(self._ack_at, due)
        if self._ack_at is not None and now >= self._ack_at and now > -math.inf:
            output.append(self.announce())
        return output

    def announce(self) -> Ack:
        """An acknowledgement, whether it is due or not."""
        self._unannounced, self._ack_at = 0, None
        return Ack(ack=self.settled)
