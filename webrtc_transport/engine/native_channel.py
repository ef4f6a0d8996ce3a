"""Data channels of the native stack: an SCTP stream in each direction (RFC 8831, section 6)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from ..abc import ChannelEvents, EngineChannel
from ..protocol.sctp.data_channel import PayloadProtocol, encode_message
from .driver import Driver, TimerHandle

_BINARY: Final = PayloadProtocol.BINARY
"""Global names are found faster than the members of an Enum, and this one is looked up for each message."""


class ChannelOwner(ABC):
    """What a channel needs of its stack, and of the other channels."""

    driver: Driver
    is_ended: bool
    """Whether the connection is over."""
    max_message_size: int
    """Bytes of a message that the peer takes."""

    @abstractmethod
    def queue(self, stream_id: int, ppid: int, data: bytes) -> None:
        """Send a message."""

    @abstractmethod
    def reset(self, stream_id: int) -> None:
        """End our direction of a stream, after what is queued."""

    @abstractmethod
    def remove(self, channel: NativeChannel) -> None:
        """The channel is closed; its id is free."""

    @abstractmethod
    def replay(self, stream_id: int, *, is_ended: bool = False) -> None:
        """Act on what came for the next channel of this id, and on its end if that came too."""

    @abstractmethod
    def consume(self, size: int) -> None:
        """``size`` bytes will not be read by anybody."""


class NativeChannel(EngineChannel):
    """One data channel."""

    def __init__(self, stack: ChannelOwner, stream_id: int, label: str) -> None:
        self._stack = stack
        self.is_open = True
        """Whether it is told of messages on the stream: no earlier one waits, and the peer hasn't reset it."""
        self._id = stream_id
        self._label = label
        self._events: ChannelEvents | None = None
        self._is_closing = False
        self.is_inbound_reset = False
        """Whether the peer has ended its direction: what comes now is for the next channel of this id."""
        self.is_next_ended = False
        """Whether it has ended that one, too."""
        self._is_outbound_reset = False
        self._control_unsent = 0
        self._timer: TimerHandle | None = None
        self._timer_due = 0.0

    @property
    def id(self) -> int:
        return self._id

    @property
    def label(self) -> str:
        return self._label

    def bind(self, events: ChannelEvents) -> None:
        self._events = events

    def send(self, data: bytes) -> None:
        if self._is_closing:
            return
        stack = self._stack
        if len(data) > stack.max_message_size:
            raise ValueError(
                f"the peer takes messages of up to {stack.max_message_size} bytes, not {len(data)}"
            )
        if data:
            stack.queue(self._id, _BINARY, data)
        else:
            ppid, message = encode_message(data)
            self._control_unsent += len(message)
            stack.queue(self._id, ppid, message)

    def send_control(self, data: bytes) -> None:
        """Send a DCEP message, which counts as nobody's data."""
        self._control_unsent += len(data)
        self._stack.queue(self._id, PayloadProtocol.DCEP, data)

    def close(self, delay: float = 0.0) -> None:
        if self._is_closing:
            return
        if delay > 0:
            self._close_at(self._stack.driver.now() + delay)
            return
        self._is_closing = True
        self._stack.reset(self._id)

    def _close_at(self, due: float) -> None:
        """The earliest time that was asked for counts."""
        if self._timer is not None:
            if due >= self._timer_due:
                return
            self._timer.cancel()
        self._timer, self._timer_due = self._stack.driver.call_at(due, self.close), due

    # --- for the stack --------------------------------------------------------------------------------------------

    def message_received(self, data: bytes) -> None:
        if self._events is None:
            # Closed instead of bound: nobody will ever read it.
            self._stack.consume(len(data))
        else:
            self._events.on_message(data)

    def bytes_sent(self, size: int) -> None:
        if self._control_unsent:
            control = min(size, self._control_unsent)
            self._control_unsent -= control
            size -= control
        if size and self._events is not None:
            self._events.on_sent(size)

    def inbound_reset(self, *, is_next: bool = False) -> None:
        """The peer has ended its direction: so do we (RFC 8831, section 6.7).

        :param is_next: whether it is the end of the next channel of this id, for which messages came
        """
        self.is_next_ended = is_next
        self.is_inbound_reset = True
        self.is_open = False
        self.close()
        self._finish()

    def outbound_reset(self) -> None:
        """The peer has confirmed the end of ours."""
        self._is_outbound_reset = True
        self._finish()

    def _finish(self) -> None:
        if self.is_inbound_reset and self._is_outbound_reset:
            self.closed()
            self._stack.replay(self._id, is_ended=self.is_next_ended)

    def closed(self) -> None:
        """The channel is closed, or its association is gone."""
        if self._timer is not None:
            self._timer.cancel()
        self._is_closing = True
        self._stack.remove(self)
        # The end of the whole connection is told by the peer's own on_closed.
        if self._events is not None and not self._stack.is_ended:
            self._events.on_closed()
