"""What joins servers to a cluster: a directory of who is where, and frames from server to server.

A backplane may lose, repeat and delay. It keeps the frames from one server to another in order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from .frames import Frame


@dataclass(frozen=True, slots=True)
class Location:
    """Where a client is registered."""

    server: str
    instance: str
    proven: bool
    stamp: int
    """When it went there, on the directory's clock: of two locations the later one holds."""


class Outflow(Protocol):
    """Where frames come from when there is room for them."""

    @abstractmethod
    def frames(self) -> Iterator[Frame]:
        """Those that are to be sent now."""


class BackplaneEvents(Protocol):
    """What a backplane tells, on its loop."""

    def on_frame(self, server: str, frame: Frame) -> None:
        """Another server says something."""

    def on_claimed(self, peer: str, stamp: int) -> None:
        """Our claim holds since ``stamp``."""

    def on_location(self, peer: str, location: Location) -> None:
        """A client has registered with another server, or has done so later than here."""

    def on_located(self, peer: str, location: Location | None, *, is_alive: bool) -> None:
        """The answer to :meth:`Backplane.locate`; ``is_alive`` says whether that server still is there."""

    def on_server_gone(self, server: str) -> None:
        """A server isn't there any more."""

    def on_restored(self) -> None:
        """The backplane is there (again), and may have forgotten our claims and frames."""

    def claims_due(self) -> None:
        """It is time to make all claims again, lest they expire."""

    @abstractmethod
    def watched(self) -> Collection[str]:
        """The servers whose end we want to know of."""


class Backplane(ABC):
    """The contract. Nothing here blocks, and what is asked while it isn't ready is forgotten."""

    server: str
    """Our own name in the cluster."""

    @abstractmethod
    def joined(self, events: BackplaneEvents) -> AbstractAsyncContextManager[None]:
        """Be one of the servers while the context is open.

        :raises ConnectionError: if it can't be reached
        """

    @abstractmethod
    def is_ready(self) -> bool:
        """Whether it works now."""

    def fault(self) -> str | None:
        """Why it doesn't work now, for the operator; ``None`` if it does."""
        return None if self.is_ready() else "the other servers can't be reached"

    @abstractmethod
    def claim(self, peer: str, instance: str, *, proven: bool, stamp: int | None) -> None:
        """A client is registered here. Answered by ``on_claimed`` or ``on_location``.

        :param proven: an unproven client can't take the place of a proven one
        :param stamp: since when, if it has been claimed before; who claimed later keeps it
        """

    @abstractmethod
    def release(self, peer: str) -> None:
        """A client isn't registered here any more."""

    @abstractmethod
    def locate(self, peer: str) -> None:
        """Find a peer. Answered by ``on_located``."""

    @abstractmethod
    def send(self, server: str, frame: Frame) -> None:
        """Say something to another server."""

    @abstractmethod
    def send_from(self, server: str, outflow: Outflow) -> None:
        """Say what ``outflow`` has to say when it can be said: all that has come together by then goes at once."""
