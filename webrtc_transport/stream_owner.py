"""What a stream needs of its connection."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from .abc import Attributes
from .portal import Portal

if TYPE_CHECKING:
    from .framed_stream import FramedStream


class StreamOwner(ABC):
    """What a stream needs of its connection, in the caller's loop."""

    portal: Portal
    send_window: int
    """Bytes that may be sent but not taken by the engine yet."""
    payload_limit: int
    """Payload bytes of a frame that the peer takes."""
    fin_ack_timeout: float
    payload_sent: int
    payload_received: int
    """Payload bytes of all streams so far: sent, and taken by the application."""

    @abstractmethod
    def stream_consumed(self, size: int) -> None:
        """``size`` bytes of messages were read or discarded."""

    @abstractmethod
    def stream_draining(self, stream: FramedStream) -> None:
        """FIN was sent, and the peer is to acknowledge it."""

    @abstractmethod
    def stream_closing(self, stream: FramedStream) -> None:
        """Somebody waits for the FIN_ACK from now on, if one is outstanding: :meth:`.FramedStream.timed_out` ends the
        stream after ``fin_ack_timeout``."""

    @abstractmethod
    def stream_drained(self, stream: FramedStream) -> None:
        """The peer has acknowledged all that was sent, or never will."""

    @abstractmethod
    def stream_finished(self, stream: FramedStream) -> None:
        """Both directions are over: told once. The channel may still be open."""

    @abstractmethod
    def stream_closed(self, stream: FramedStream) -> None:
        """The channel is closed in both directions: its id is free."""

    @abstractmethod
    def stream_attributes(self) -> Attributes:
        """The typed attributes of the connection."""
