"""What servers keep in Redis, what they ask it about clients, and what its answers mean.

The scripts behind the questions, and the form of an entry, are in :mod:`.directory`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from redis.asyncio.client import Pipeline

from .backplane import BackplaneEvents
from .directory import CLAIM, LOCATE, RELEASE, parse_located, parse_location

INBOX: Final = "webrtc-signaling:inbox:"
"""With the name of a server: a stream of what others say to it. While it is there, so is the server."""

PEER: Final = "webrtc-signaling:peer:"
"""With a peer id: where its client is, and since when."""

MOVES: Final = "webrtc-signaling:moves"
"""The pub/sub channel that tells of new locations."""

Ask: TypeAlias = Callable[[Pipeline], object]
"""Puts a command into a pipeline."""

Answered: TypeAlias = Callable[[BackplaneEvents, object], None]
"""Tells the server what Redis says to it; raises ``InvalidSignal`` if that makes no sense."""

Command: TypeAlias = tuple[Ask, Answered]


def ignore(_events: BackplaneEvents, _answer: object) -> None:
    """For commands whose answer says nothing."""


def claim(server: str, peer: str, instance: str, *, proven: bool, stamp: int | None, ttl: float) -> Command:
    """Say that a client is at ``server``, unless it is elsewhere with more right.

    :param stamp: of the claim that is made again; ``None`` for a new one
    :param ttl: seconds for which it holds
    """
    since, milliseconds = "" if stamp is None else str(stamp), str(round(ttl * 1000))
    arguments = (server, instance, str(int(proven)), since, milliseconds, MOVES, peer, INBOX)

    def ask(pipe: Pipeline) -> None:
        pipe.eval(CLAIM, 1, f"{PEER}{peer}", *arguments)

    def answered(events: BackplaneEvents, answer: object) -> None:
        location = parse_location(answer)
        if location.server == server:
            events.on_claimed(peer, location.stamp)
        else:
            events.on_location(peer, location)

    return ask, answered


def release(server: str, peer: str) -> Command:
    """Say that a client has left ``server``."""

    def ask(pipe: Pipeline) -> None:
        pipe.eval(RELEASE, 1, f"{PEER}{peer}", server)

    return ask, ignore


def locate(peer: str, is_trusted: Callable[[], bool]) -> Command:
    """Ask where a client is.

    :param is_trusted: whether Redis is to be believed, when it answers, that the client is nowhere
    """

    def ask(pipe: Pipeline) -> None:
        pipe.eval(LOCATE, 1, f"{PEER}{peer}", INBOX)

    def answered(events: BackplaneEvents, answer: object) -> None:
        location, is_alive = parse_located(answer)
        if location is not None or is_trusted():
            events.on_located(peer, location, is_alive=is_alive)

    return ask, answered
