"""What happens at the server, counted and logged: one line an event, with its ids as fields."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal

from ..messages import Failure
from .signals import RoutedSignal
from .statistics import Statistics

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")

Wire = Literal["websocket", "long-poll"]

_PLAIN: Final = re.compile(r"[\w.:\[\]/@-]+", re.ASCII)
"""What a value may consist of to be written without quotes."""


class Event:
    """The message of a log record: a text, and fields. As text, the fields follow as ``name=value``."""

    __slots__ = ("fields", "text")

    def __init__(self, text: str, **fields: object) -> None:
        self.text = text
        self.fields: Mapping[str, object] = fields

    def __str__(self) -> str:
        return " ".join([self.text, *(f"{name}={_shown(value)}" for name, value in self.fields.items())])


class Journal:
    """Takes note of events."""

    def __init__(self) -> None:
        self.statistics = Statistics()

    @contextmanager
    def connection(self, wire: Wire) -> Iterator[None]:
        """Around a connection of a client."""
        self.opened(wire)
        try:
            yield
        finally:
            self.closed(wire)

    def opened(self, wire: Wire) -> None:
        """A connection begins."""
        self.statistics.opened[wire] += 1

    def closed(self, wire: Wire) -> None:
        """A connection is over."""
        self.statistics.closed[wire] += 1

    def registered(self, peer: str, address: str, *, proven: bool, resumed: bool) -> None:
        """A client has a registration."""
        self.statistics.registered["resumed" if resumed else "new"] += 1
        text = "resumed" if resumed else "registered"
        _log(text if proven else f"{text} WITHOUT PROOF", peer=peer, address=address)

    def refused(self, peer: str | None, address: str, failure: Failure) -> None:
        """A client broke the rules, or couldn't prove who it is."""
        self.statistics.failures[failure.data.code] += 1
        _log("refused", peer=peer, address=address, code=failure.data.code, reason=failure.data.message)

    def dismissed(self, peer: str | None, address: str, failure: Failure) -> None:
        """A client has to go."""
        self.statistics.failures[failure.data.code] += 1
        _log("has to go", peer=peer, address=address, code=failure.data.code, reason=failure.data.message)

    def disconnected(self, peer: str, address: str, *, leaving: bool) -> None:
        """The connection of a client is over."""
        _log("left" if leaving else "connection lost", peer=peer, address=address)

    def began(self, session: str, peer: str, other: str) -> None:
        """``peer`` began a session."""
        _log("session began", session=session, peer=peer, other=other)

    def ended(self, session: str, peer: str, other: str, signal: str) -> None:
        """``peer`` ended a session by ``bye`` or ``error``."""
        _log("session ended", session=session, peer=peer, other=other, by=signal)

    def failed(self, session: str, peer: str, other: str, code: str, reason: str) -> None:
        """``peer`` is told that its session with ``other`` is over."""
        self.statistics.failures[code] += 1
        _log("session failed", session=session, peer=peer, other=other, code=code, reason=reason)

    def routed(self, signal: RoutedSignal) -> None:
        """A signal is in the queue of its recipient."""
        self.statistics.routed[signal.type] += 1


def _log(text: str, **fields: object) -> None:
    # Before the event is made: a server that logs warnings alone pays nothing.
    if _logger.isEnabledFor(logging.INFO):
        given = {name: value for name, value in fields.items() if value is not None}
        _logger.info(Event(text, **given))


def _shown(value: object) -> str:
    text = str(value)
    # Quoted, with escapes: what comes from outside can't end the line, nor look like another field.
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
