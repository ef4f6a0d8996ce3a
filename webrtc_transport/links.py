"""The peer connections of a transport, whichever way they were set up: counted, watched, and closed with it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Final

import anyio

from .config import TransportConfig
from .errors import ConnectError, ConnectionAborted
from .link import PeerLink
from .stall_watch import LOOKS_PER_TIMEOUT
from .task_group import bare_task_group

DRAIN_LOOKS_PER_TIMEOUT: Final = 100
"""At most: a peer that acknowledges none of many streams would have each of them looked for by itself. One is given up
a hundredth of the timeout late."""


@dataclass(frozen=True)
class TransportStatistics:
    """Counters of a transport. Sizes are bytes."""

    connections: int = 0
    """Connections that stand, or are being set up."""
    streams: int = 0
    """Their streams whose channel isn't closed yet."""
    connected: int = 0
    """Connections that were set up, since the transport was made."""
    failed: int = 0
    """Connections that could not be set up."""
    payload_sent: int = 0
    """Sent on streams."""
    payload_received: int = 0
    """Received on streams, and taken by the application."""


class Links:
    """Knows the peer connections that stand, or are being set up."""

    def __init__(self) -> None:
        self._links: set[PeerLink] = set()
        self._is_closed = False
        self._past = TransportStatistics()

    @asynccontextmanager
    async def setting_up(self, link: PeerLink) -> AsyncIterator[None]:
        """A connection is made of ``link`` in the block. If that doesn't end well, the link is closed.

        :raises ConnectError: if the transport was closed
        """
        if self._is_closed:
            # Nobody would close it any more.
            reason = ConnectError("the transport was closed")
            await link.close(reason)
            raise reason
        self._links.add(link)
        try:
            yield
            self._past = replace(self._past, connected=self._past.connected + 1)
        except ConnectError as exc:
            self._past = replace(self._past, failed=self._past.failed + 1)
            await link.close(exc)
            raise
        except BaseException:
            self._past = replace(self._past, failed=self._past.failed + 1)
            await link.close(ConnectionAborted("the set-up of the connection was given up"))
            raise

    def ended(self, link: PeerLink) -> None:
        """Tell that nothing is left of ``link``."""
        self._links.discard(link)
        self._past = replace(
            self._past,
            payload_sent=self._past.payload_sent + link.payload_sent,
            payload_received=self._past.payload_received + link.payload_received,
        )

    def statistics(self) -> TransportStatistics:
        """The counters, now."""
        return replace(
            self._past,
            connections=len(self._links),
            streams=sum(len(link.streams) for link in self._links),
            payload_sent=self._past.payload_sent + sum(link.payload_sent for link in self._links),
            payload_received=self._past.payload_received + sum(link.payload_received for link in self._links),
        )

    async def close(self, reason: Exception) -> None:
        """End every peer connection, side by side, and allow no more. Not cancellable, but bounded."""
        self._is_closed = True
        with anyio.CancelScope(shield=True):
            async with bare_task_group() as task_group:
                for link in list(self._links):
                    task_group.start_soon(link.close, reason)

    @asynccontextmanager
    async def watched(self, config: TransportConfig) -> AsyncIterator[None]:
        """Streams that wait in vain are given up in the block; also when it is cancelled, for they may be closed under
        a shield.
        """
        scope = anyio.CancelScope(shield=True)

        async def watch() -> None:
            with scope:
                async with bare_task_group() as watches:
                    watches.start_soon(self.reset_unacknowledged_streams, config.fin_ack_timeout)
                    if config.stalled_stream_timeout is not None:
                        watches.start_soon(self.reset_stalled_streams, config.stalled_stream_timeout)

        async with bare_task_group() as task_group:
            task_group.start_soon(watch)
            try:
                yield
            finally:
                scope.cancel()

    async def reset_unacknowledged_streams(self, fin_ack_timeout: float) -> None:
        """Give up the streams whose FIN_ACK doesn't come within so many seconds, until cancelled."""
        while True:
            now = time.monotonic()
            due = [link.reset_unacknowledged_streams(now) for link in list(self._links)]
            # Whoever begins to wait meanwhile does so for longer than this sleeps.
            earliest = now + fin_ack_timeout / DRAIN_LOOKS_PER_TIMEOUT
            await anyio.sleep(max(earliest, min([now + fin_ack_timeout, *due])) - now)

    async def reset_stalled_streams(self, stalled_after: float) -> None:
        """Give up the streams of which nothing was read for so many seconds, until cancelled."""
        while True:
            await anyio.sleep(stalled_after / LOOKS_PER_TIMEOUT)
            for link in list(self._links):
                link.reset_stalled_streams(anyio.current_time())
