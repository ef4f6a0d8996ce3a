"""The channel ``init``, which a signaled connection begins with: nothing is sent on it."""

from __future__ import annotations

from typing import Final

from .abc import ChannelEvents, EnginePeer

INIT_LABEL: Final = "init"
"""A channel that only makes a browser's offer contain a data channel (libp2p specs, webrtc/webrtc.md, step 4)."""

INIT_LINGER: Final = 0.1
"""Seconds for which an offerer keeps the channel :data:`INIT_LABEL`. A reset that comes in one packet with the
channel's opening is lost on some libraries."""

INIT_GRACE: Final = 10.0
"""Seconds that the offerer gets to close its channel :data:`INIT_LABEL`: js-libp2p's limit for a dial. It waits for the
channel to open, once it has heard that it is connected; of one that is closed by then it waits in vain."""


class InitChannel(ChannelEvents):
    """An offerer's end of it."""

    def __init__(self, peer: EnginePeer) -> None:
        self._peer = peer

    @classmethod
    def open(cls, peer: EnginePeer) -> None:
        """Open the channel, and have it closed a little later. On the engine's loop."""
        peer.open_channel(cls(peer), label=INIT_LABEL).close(INIT_LINGER)

    def on_message(self, data: bytes) -> None:
        self._peer.grant(len(data))

    def on_sent(self, size: int) -> None:
        """Nothing waits for it."""

    def on_closed(self) -> None:
        """Nothing waits for that either."""
