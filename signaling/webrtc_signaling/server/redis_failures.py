"""What can go wrong with Redis: a connection that is lost, and a command that is refused. Sans-IO."""

from __future__ import annotations

import logging
import math
from typing import Final

from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from webrtc_transport.errors import describe

_logger = logging.getLogger("libp2p.transport.webrtc.signaling.server")

FAILURES: Final = (RedisError, OSError, TimeoutError)

PAUSE: Final = 0.25
"""Seconds between attempts to reach Redis again."""

_MAX_PAUSE: Final = 2.0
"""The same after several that followed each other: the servers have to be back well before what Redis says of missing
clients is believed again."""

_CALM: Final = 6.0
"""Seconds without a loss after which the next one is the first."""

_MAX_KINDS: Final = 100
"""Kinds of refusals that are told; Redis knows some twenty."""


def loses_connection(error: Exception) -> bool:
    """Whether nothing else works now either. A Redis that loads its data or is a replica takes nothing."""
    return isinstance(error, ReadOnlyError) or not isinstance(error, ResponseError)


class Refusals:
    """Tells of commands that Redis refuses, once for each kind.

    :param shown_url: of Redis, for the log, without its password
    """

    def __init__(self, shown_url: str) -> None:
        self._shown_url = shown_url
        self._told: set[tuple[str, str]] = set()

    def tell(self, error: Exception) -> None:
        """A command was refused."""
        text = describe(error)
        # Those that the client has no class for begin with their code.
        kind = type(error).__name__, text.partition(" ")[0]
        if kind not in self._told and len(self._told) < _MAX_KINDS:
            self._told.add(kind)
            _logger.error(
                "Redis %s refuses a command: %s; look at the rights of its user, and at its memory. Peers of other "
                "servers may have to wait. Further refusals of this kind aren't logged",
                self._shown_url,
                text,
            )

    def forget(self) -> None:
        """Redis was away: tell again."""
        self._told.clear()


class Pauses:
    """How long to wait after a connection was lost: longer each time, if they are lost soon."""

    def __init__(self) -> None:
        self._pause = PAUSE
        self._lost_at = -math.inf

    def after_loss(self, now: float) -> float:
        """Seconds to wait now."""
        is_calm = now >= self._lost_at + self._pause + _CALM
        self._pause = PAUSE if is_calm else min(2 * self._pause, _MAX_PAUSE)
        self._lost_at = now
        return self._pause
